"""The `corl` recipe's network as a PyTorch module with that library's state dict.

The names, shapes, initialisation and behaviour are those of CORL's single-file Decision
Transformer. The code is ours. Shapes: B batch, K context, T = 3K tokens, C width,
S observation, A action.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """Pre-LayerNorm attention and feed-forward, each with its residual."""

    def __init__(self, width, heads, dropout, tokens):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )
        # True where a query may not look: the future.
        future = torch.ones(tokens, tokens, dtype=torch.bool).triu(diagonal=1)
        self.register_buffer("causal_mask", future)
        self.residual_dropout = dropout

    def forward(self, x, padded):
        tokens = x.shape[1]
        normed = self.norm1(x)
        attended, _ = self.attention(
            normed, normed, normed,
            key_padding_mask=padded,
            attn_mask=self.causal_mask[:tokens, :tokens],
            need_weights=False,
        )
        x = x + F.dropout(attended, self.residual_dropout, self.training)
        return x + self.mlp(self.norm2(x))


class Corl(nn.Module):
    """Predicts each action from its state token, stretched to `max_action`.

    Windows are padded on the right and their time steps run on, so the table holds
    `timesteps` = episode length + context rows. `discrete` leaves tanh and stretch away: logits.
    """

    def __init__(self, observation, action, width, layers, heads, timesteps,
                 context, max_action=1.0, discrete=False, dropout=0.0):
        super().__init__()
        self.emb_norm = nn.LayerNorm(width)
        self.out_norm = nn.LayerNorm(width)
        self.timestep_emb = nn.Embedding(timesteps, width)
        self.state_emb = nn.Linear(observation, width)
        self.action_emb = nn.Linear(action, width)
        self.return_emb = nn.Linear(1, width)
        self.blocks = nn.ModuleList(
            Block(width, heads, dropout, 3 * context) for _ in range(layers)
        )
        head = [nn.Linear(width, action)] + ([] if discrete else [nn.Tanh()])
        self.action_head = nn.Sequential(*head)
        self.stretch = 1.0 if discrete else max_action
        self.embedding_dropout = dropout
        self.apply(initialise)

    def forward(self, observations, actions, returns_to_go, timesteps, mask):
        """observations BKS, actions BKA, returns_to_go BK, timesteps BK, mask BK -> BKA."""
        batch, context = timesteps.shape
        tokens = torch.stack((
            self.return_emb(returns_to_go[..., None]),
            self.state_emb(observations),
            self.action_emb(actions),
        ), dim=2) + self.timestep_emb(timesteps)[:, :, None]
        x = self.emb_norm(tokens.view(batch, 3 * context, -1))
        x = F.dropout(x, self.embedding_dropout, self.training)
        padded = mask.repeat_interleave(3, dim=1) == 0
        for block in self.blocks:
            x = block(x, padded)
        return self.action_head(self.out_norm(x)[:, 1::3]) * self.stretch

    def loss(self, predicted, actions, mask, discrete):
        """Errors of valid steps, divided by the number of all steps (times action numbers)."""
        if discrete:
            losses = F.cross_entropy(
                predicted.transpose(1, 2), actions.argmax(dim=-1), reduction="none")
            return (losses * mask).mean()
        return ((predicted - actions) ** 2 * mask[..., None]).mean()


def initialise(module):
    """N(0, 0.02) and zero biases for every linear layer and table.

    `MultiheadAttention` keeps its input projection outside any linear layer, so that one stays
    Xavier-uniform, as in the original.
    """
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
