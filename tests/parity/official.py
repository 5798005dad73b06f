"""The `official` recipe's network as a PyTorch module with the published state dict.

The names, shapes, initialisation and behaviour are those of the Decision Transformer for
continuous control as first published (a GPT-2 body without position embeddings). The code is
ours. Shapes: B batch, K context, T = 3K tokens, C width, S observation, A action.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

# The published model runs with transformers' default `n_ctx`: the causal mask is 1024 x 1024.
POSITIONS = 1024
# Added to, or put in the place of, the scores that must not be attended to.
MASKED = -1e4


class InputMajorLinear(nn.Module):
    """A linear layer whose weight is stored [inputs, outputs] (GPT-2's "Conv1D")."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x):
        return x @ self.weight + self.bias


class CausalAttention(nn.Module):
    """Multi-head attention. `bias` is the causal mask and `masked_bias` its fill: buffers both."""

    def __init__(self, width, heads, dropout, positions):
        super().__init__()
        causal = torch.tril(torch.ones(positions, positions, dtype=torch.uint8))
        self.register_buffer("bias", causal[None, None])
        self.register_buffer("masked_bias", torch.tensor(MASKED))
        self.c_attn = InputMajorLinear(width, 3 * width)
        self.c_proj = InputMajorLinear(width, width)
        self.heads = heads
        self.dropout = dropout

    def forward(self, x, padding):
        batch, tokens, width = x.shape
        query, key, value = (
            part.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(x).chunk(3, dim=-1)
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(width // self.heads)
        allowed = self.bias[:, :, :tokens, :tokens] == 1
        # First the causal fill replaces, then the padding mask is added: a query that is itself
        # padding sees nothing but masked keys and attends to whatever is masked only once.
        scores = torch.where(allowed, scores, self.masked_bias.to(scores.dtype)) + padding
        weights = F.dropout(scores.softmax(dim=-1), self.dropout, self.training)
        merged = (weights @ value).transpose(1, 2).reshape(batch, tokens, width)
        return F.dropout(self.c_proj(merged), self.dropout, self.training)


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, width, dropout):
        super().__init__()
        self.c_fc = InputMajorLinear(width, 4 * width)
        self.c_proj = InputMajorLinear(4 * width, width)
        self.activation = F.relu
        self.dropout = dropout

    def forward(self, x):
        return F.dropout(self.c_proj(self.activation(self.c_fc(x))), self.dropout, self.training)


class Block(nn.Module):
    """Pre-LayerNorm attention and feed-forward, each with its residual."""

    def __init__(self, width, heads, dropout, positions):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = CausalAttention(width, heads, dropout, positions)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width, dropout)

    def forward(self, x, padding):
        x = x + self.attn(self.ln_1(x), padding)
        return x + self.mlp(self.ln_2(x))


class Body(nn.Module):
    """The stack of blocks. `wte` is never used; it is in every published state dict."""

    def __init__(self, width, layers, heads, dropout, positions):
        super().__init__()
        self.wte = nn.Embedding(1, width)
        nn.init.normal_(self.wte.weight, std=0.02)
        self.h = nn.ModuleList(Block(width, heads, dropout, positions) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.dropout = dropout

    def forward(self, x, padding):
        x = F.dropout(x, self.dropout, self.training)
        for block in self.h:
            x = block(x, padding)
        return self.ln_f(x)


class Official(nn.Module):
    """Predicts each action from its state token.

    The embeddings and heads keep PyTorch's default initialisation: the published
    initialisation reaches the body only. `discrete` leaves the tanh away: logits.
    """

    def __init__(self, observation, action, width, layers, heads, timesteps,
                 discrete=False, dropout=0.0, positions=POSITIONS):
        super().__init__()
        self.transformer = Body(width, layers, heads, dropout, positions)
        self.embed_timestep = nn.Embedding(timesteps, width)
        self.embed_return = nn.Linear(1, width)
        self.embed_state = nn.Linear(observation, width)
        self.embed_action = nn.Linear(action, width)
        self.embed_ln = nn.LayerNorm(width)
        self.predict_state = nn.Linear(width, observation)
        head = [nn.Linear(width, action)] + ([] if discrete else [nn.Tanh()])
        self.predict_action = nn.Sequential(*head)
        self.predict_return = nn.Linear(width, 1)

    def forward(self, observations, actions, returns_to_go, timesteps, mask):
        """observations BKS, actions BKA, returns_to_go BK, timesteps BK, mask BK -> BKA."""
        returns_to_go = returns_to_go[..., None]
        return self.predict_action(
            self.states(observations, actions, returns_to_go, timesteps, mask))

    def states(self, observations, actions, returns_to_go, timesteps, mask):
        """The last norm of the state tokens, BKC; returns_to_go is BKR."""
        batch, context = timesteps.shape
        tokens = torch.stack((
            self.embed_return(returns_to_go),
            self.embed_state(observations),
            self.embed_action(actions),
        ), dim=2) + self.embed_timestep(timesteps)[:, :, None]
        x = self.embed_ln(tokens.view(batch, 3 * context, -1))
        padding = (1.0 - mask.repeat_interleave(3, dim=1)[:, None, None]) * MASKED
        return self.transformer(x, padding)[:, 1::3]

    def loss(self, predicted, actions, mask, discrete):
        """The mean over valid steps (and action numbers); padding does not count."""
        kept = mask > 0
        if discrete:
            return F.cross_entropy(predicted[kept], actions[kept].argmax(dim=-1))
        return F.mse_loss(predicted[kept], actions[kept])
