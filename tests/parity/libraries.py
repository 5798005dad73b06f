"""The Decision Transformers of two libraries, with their state dicts.

`HuggingFace` is `transformers.DecisionTransformerModel` (`modeling_decision_transformer.py`): the
official network and position 0 of GPT-2's table for every token. The class has no loss; it is the
official one. `D3rlpy` is takuseno/d3rlpy's `ContinuousDecisionTransformer` (`models/torch/
transformers.py`) with the encoder and the position encoding of its reproduction script. The code is
ours; `libraries_check.py` compares both with the packages. Shapes: B batch, K context, T = 3K
tokens, C width, S observation, A action.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from official import MASKED, POSITIONS, Official

# In the norms of d3rlpy's blocks and its last norm; the embedding's has PyTorch's 1e-5.
EPSILON = 0.003


class HuggingFace(Official):
    """Its body is called `encoder`, and its masks are in no state dict."""

    def __init__(self, observation, action, width, layers, heads, timesteps,
                 discrete=False, dropout=0.0, positions=POSITIONS):
        super().__init__(observation, action, width, layers, heads, timesteps, discrete, dropout,
                         3 * POSITIONS)
        self._modules["encoder"] = self._modules.pop("transformer")
        self.encoder.wpe = nn.Embedding(positions, width)
        for block in self.encoder.h:
            block.attn._non_persistent_buffers_set.update(("bias", "masked_bias"))
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                # The layers that add to the residual stream start smaller.
                shrink = math.sqrt(2 * layers) if "c_proj" in name else 1.0
                nn.init.normal_(parameter, std=0.02 / shrink)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    @property
    def transformer(self):
        """What the official network calls its body, behind the added vector."""
        encoder = self.encoder
        return lambda x, padding: encoder(x + encoder.wpe.weight[0], padding)


class Attention(nn.Module):
    """A layer each for queries, keys and values."""

    def __init__(self, width, heads, dropout, tokens):
        super().__init__()
        self._k, self._q, self._v, self._proj = (nn.Linear(width, width) for _ in range(4))
        causal = torch.ones(tokens, tokens).tril()
        self.register_buffer("_mask", causal[None, None])
        self.heads, self.dropout = heads, dropout

    def forward(self, x, padding):
        batch, tokens, width = x.shape
        query, key, value = (
            layer(x).view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)
            for layer in (self._q, self._k, self._v)
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(width // self.heads)
        scores = scores.masked_fill(self._mask[:, :, :tokens, :tokens] == 0, MASKED) + padding
        weights = F.dropout(scores.softmax(dim=-1), self.dropout, self.training)
        merged = (weights @ value).transpose(1, 2).reshape(batch, tokens, width)
        return F.dropout(self._proj(merged), self.dropout, self.training)


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, width, dropout):
        super().__init__()
        self._l1, self._l2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = dropout

    def forward(self, x):
        return F.dropout(self._l2(F.relu(self._l1(x))), self.dropout, self.training)


class Block(nn.Module):
    """Pre-LayerNorm attention and feed-forward, each with its residual."""

    def __init__(self, width, heads, dropout, tokens):
        super().__init__()
        self._attention = Attention(width, heads, dropout, tokens)
        self._mlp = FeedForward(width, dropout)
        self._layer_norm1 = nn.LayerNorm(width, eps=EPSILON)
        self._layer_norm2 = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x, padding):
        x = x + self._attention(self._layer_norm1(x), padding)
        return x + self._mlp(self._layer_norm2(x))


class Body(nn.Module):
    """The stack of blocks and the last norm."""

    def __init__(self, width, layers, heads, dropout, tokens):
        super().__init__()
        self._transformer = nn.Sequential(
            *(Block(width, heads, dropout, tokens) for _ in range(layers)))
        self._layer_norm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = dropout

    def forward(self, x, padding):
        x = F.dropout(x, self.dropout, self.training)
        for block in self._transformer:
            x = block(x, padding)
        return self._layer_norm(x)


class Encoder(nn.Module):
    """The observation's linear layer."""

    def __init__(self, observation, width):
        super().__init__()
        self._layers = nn.Sequential(nn.Linear(observation, width))

    def forward(self, x):
        return self._layers(x)


class Positions(nn.Module):
    """A row for each time step; the first step of an episode has row 1."""

    def __init__(self, timesteps, width):
        super().__init__()
        self._embed = nn.Embedding(timesteps, width)

    def forward(self, timesteps):
        return self._embed(timesteps)


class D3rlpy(nn.Module):
    """Predicts each action from its state token; the last norm's rows are kept for tests."""

    def __init__(self, observation, action, width, layers, heads, timesteps, context,
                 discrete=False, dropout=0.0):
        super().__init__()
        self._position_encoding = Positions(timesteps, width)
        self._embed_ln = nn.LayerNorm(width)
        self._gpt2 = Body(width, layers, heads, dropout, 3 * context)
        # The layers below are made afterwards and keep PyTorch's default.
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        self._encoder = Encoder(observation, width)
        self._rtg_embed = nn.Linear(1, width)
        self._action_embed = nn.Linear(action, width)
        self._output = nn.Linear(width, action)
        self.squash = (lambda x: x) if discrete else torch.tanh

    def forward(self, observations, actions, returns_to_go, timesteps, mask):
        """observations BKS, actions BKA, returns_to_go BK, timesteps BK, mask BK -> BKA."""
        batch, context = timesteps.shape
        tokens = torch.stack((
            self._rtg_embed(returns_to_go[..., None]),
            self._encoder(observations),
            self._action_embed(actions),
        ), dim=2) + self._position_encoding(timesteps)[:, :, None]
        x = self._embed_ln(tokens.view(batch, 3 * context, -1))
        padding = (1.0 - mask.repeat_interleave(3, dim=1)[:, None, None]) * MASKED
        return self.squash(self._output(self._gpt2(x, padding)[:, 1::3]))

    def loss(self, predicted, actions, mask, discrete):
        """The mean over all steps, padding included, of the sum over the action numbers."""
        if discrete:
            losses = F.cross_entropy(
                predicted.transpose(1, 2), actions.argmax(dim=-1), reduction="none")
        else:
            losses = ((predicted - actions) ** 2).sum(dim=-1)
        return (losses * mask).mean()
