"""Post-LayerNorm blocks, and two codes that have them, with their state dicts.

The body is that of nikhilbarhate99/min-decision-transformer, `decision_transformer/model.py`, on
which Dragon-Zhuang/Reinformer (`model/net.py`, `model/reinformer.py`) and kristery/Elastic-DT are
built. The code is ours; unlike theirs it masks padding, which is on the left here. Shapes: B batch, K context, T = 3K tokens,
C width, S observation, A action.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from official import MASKED, Official

# Of the return-to-go that is predicted.
EXPECTILE = 0.99
# Into how many its range is divided, the weight of their cross-entropy, and of the expectile there.
BINS, BINS_WEIGHT, EXPECTILE_WEIGHT = 5, 0.3, 0.5


class Attention(nn.Module):
    """A layer each for queries, keys and values; `mask` is the causal one, a buffer.

    Dropout is on what is attended to, not on the probabilities.
    """

    def __init__(self, width, heads, dropout, tokens):
        super().__init__()
        self.q_net, self.k_net, self.v_net, self.proj_net = (
            nn.Linear(width, width) for _ in range(4))
        self.register_buffer("mask", torch.ones(tokens, tokens).tril()[None, None])
        self.heads, self.dropout = heads, dropout

    def forward(self, x, padding):
        batch, tokens, width = x.shape
        query, key, value = (
            layer(x).view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)
            for layer in (self.q_net, self.k_net, self.v_net)
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(width // self.heads)
        # A query that is itself padding must see something.
        scores = scores.masked_fill(self.mask[:, :, :tokens, :tokens] == 0, 4 * MASKED) + padding
        attended = F.dropout(scores.softmax(dim=-1) @ value, self.dropout, self.training)
        merged = attended.transpose(1, 2).reshape(batch, tokens, width)
        return F.dropout(self.proj_net(merged), self.dropout, self.training)


class Block(nn.Module):
    """Attention and feed-forward, each with its residual and a LayerNorm behind the sum."""

    def __init__(self, width, heads, dropout, tokens):
        super().__init__()
        self.attention = Attention(width, heads, dropout, tokens)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width),
            nn.Dropout(dropout))
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x, padding):
        x = self.ln1(x + self.attention(x, padding))
        return self.ln2(x + self.mlp(x))


class Reinformer(nn.Module):
    """Tokens s_1, R_1, a_1, s_2, ...; the return from the state token, the action from R's."""

    def __init__(self, observation, action, width, layers, heads, timesteps, context,
                 discrete=False, dropout=0.0):
        super().__init__()
        self.transformer = nn.ModuleList(
            Block(width, heads, dropout, 3 * context) for _ in range(layers))
        self.embed_ln = nn.LayerNorm(width)
        self.embed_timestep = nn.Embedding(timesteps, width)
        self.embed_state = nn.Linear(observation, width)
        self.embed_rtg = nn.Linear(1, width)
        self.embed_action = nn.Linear(action, width)
        self.predict_rtg = nn.Linear(width, 1)
        head = [nn.Linear(width, action)] + ([] if discrete else [nn.Tanh()])
        self.predict_action = nn.Sequential(*head)
        self.predict_state = nn.Linear(width, observation)

    def trunk(self, observations, actions, returns_to_go, timesteps, mask):
        """The last norm of every token, B x K x 3 x C."""
        batch, context = timesteps.shape
        tokens = torch.stack((
            self.embed_state(observations),
            self.embed_rtg(returns_to_go[..., None]),
            self.embed_action(actions),
        ), dim=2) + self.embed_timestep(timesteps)[:, :, None]
        x = self.embed_ln(tokens.view(batch, 3 * context, -1))
        padding = (1.0 - mask.repeat_interleave(3, dim=1)[:, None, None]) * MASKED
        for block in self.transformer:
            x = block(x, padding)
        return x.view(batch, context, 3, -1)

    def forward(self, observations, actions, returns_to_go, timesteps, mask):
        x = self.trunk(observations, actions, returns_to_go, timesteps, mask)
        self.predicted_returns = self.predict_rtg(x[:, :, 0])[..., 0]
        self.returns = returns_to_go
        return self.predict_action(x[:, :, 1])

    def loss(self, predicted, actions, mask, discrete):
        """The actions' loss and the returns'."""
        return Official.loss(self, predicted, actions, mask, discrete) + self.returns_loss(mask)

    def returns_loss(self, mask):
        """The error is divided by the mean magnitude of the returns."""
        kept = mask > 0
        returns = self.returns[kept]
        error = (returns - self.predicted_returns[kept]) / returns.abs().mean()
        weight = (EXPECTILE - (error < 0).to(error.dtype)).abs()
        return (weight * error ** 2).mean()


class ElasticDt(Reinformer):
    """kristery/Elastic-DT, `decision_transformer/model.py` and `scripts/train_edt.py`.

    The state token gives the logits of the return's bin and an expectile of the return; what the
    action is predicted from and the predicted action give the next observation. No token attends to
    a return but the window's first. Returns that are read are in [-1, 1], as rtg encodes bins. Set
    `targets` before a loss: `scaled_returns` BK, and `next_observations` BS behind the windows.
    """

    def __init__(self, observation, action, width, *sizes, bins=BINS, **named_sizes):
        super().__init__(observation, action, width, *sizes, **named_sizes)
        self.bins = bins
        self.predict_rtg = nn.Linear(width, bins)
        self.predict_rtg2 = nn.Linear(width, 1)
        self.predict_state = nn.Linear(width + action, observation)
        # Of a variant with rewards, whose layers this one inherits.
        self.embed_reward, self.predict_reward = nn.Linear(1, width), nn.Linear(width, 1)
        for block in self.transformer:
            block.attention.mask[..., 4::3] = 0.0

    def forward(self, observations, actions, returns_to_go, timesteps, mask):
        x = self.trunk(observations, actions, returns_to_go, timesteps, mask)
        self.predicted_returns = self.predict_rtg(x[:, :, 0])
        self.estimates = self.predict_rtg2(x[:, :, 0])[..., 0]
        predicted = self.predict_action(x[:, :, 1])
        self.next_observations = self.predict_state(torch.cat((x[:, :, 1], predicted), dim=2))
        self.seen = observations, returns_to_go
        return predicted

    def returns_loss(self, mask):
        """Cross-entropy of bins, expectile regression and squared error of next observations."""
        kept = mask > 0
        observations, returns = self.seen
        bins = ((returns[kept] + 1.0) / 2.0 * self.bins).floor().long().clamp(0, self.bins - 1)
        error = self.targets["scaled_returns"][kept] - self.estimates[kept]
        weight = torch.where(error > 0, EXPECTILE, 1.0 - EXPECTILE)
        following = torch.cat((observations[:, 1:], self.targets["next_observations"][:, None]), 1)
        return (BINS_WEIGHT * F.cross_entropy(self.predicted_returns[kept], bins)
                + EXPECTILE_WEIGHT * (weight * error ** 2).mean()
                + F.mse_loss(self.next_observations[kept], following[kept]))
