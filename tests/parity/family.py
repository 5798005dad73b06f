"""The relatives of the Decision Transformer: other conditions, other mixers.

`LinearAttention` is the attention of Katharopoulos and others (2020), after the paper's formula,
with the state dict of the official attention but its masks.

`Ddt` has the return-to-go outside the sequence (the Decoupled Decision Transformer; after the
paper's formula). `Convformer` has convolutions instead of attention, with the state dict of
beanie00/Decision-ConvFormer, `gym/models/decision_convformer.py`. `DecisionMamba` has selective
scans, with the state dict of Toshihiro-Ota/decision-mamba, `gym/models/decision_mamba.py`, whose
blocks are `mamba_ssm.Mamba`. `LstmTransformer` is the official model with `torch.nn.LSTM` instead
of attention. Stochastic policies are in `stochastic.py`. The code is ours. Shapes: B batch, K
context, p tokens a step, T tokens, C width, E = 2C channels of a scan, N numbers of memory, S
observation, A action.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from official import POSITIONS, FeedForward, InputMajorLinear, Official

TAPS = 6
# Mamba's filter, and its numbers of memory in a channel.
SCAN_TAPS, STATES = 4, 16


def adaptive_norm(norm, condition, x, returns_to_go):
    """A LayerNorm with gain and bias linear in the return: Linear(1 -> 2C), whose bias is the norm's.

    `condition` is Linear(1 -> 2C) without bias: how far gain and bias move. x BKC, returns BK.
    """
    gain, bias = condition(returns_to_go[..., None]).chunk(2, dim=-1)
    normed = F.layer_norm(x, norm.normalized_shape, eps=norm.eps)
    return (norm.weight + gain) * normed + norm.bias + bias


def new_condition(width):
    """Starts as the unconditioned model."""
    condition = nn.Linear(1, 2 * width, bias=False)
    nn.init.zeros_(condition.weight)
    return condition


class Ddt(Official):
    """Tokens s_1, a_1, s_2, ...; the action from the state token behind an adaptive norm."""

    def __init__(self, observation, action, width, layers, heads, timesteps,
                 discrete=False, dropout=0.0, positions=POSITIONS):
        super().__init__(observation, action, width, layers, heads, timesteps, discrete, dropout,
                         positions)
        del self.embed_return
        self.condition = new_condition(width)

    def forward(self, observations, actions, returns_to_go, timesteps, mask):
        batch, context = timesteps.shape
        tokens = torch.stack((self.embed_state(observations), self.embed_action(actions)), dim=2)
        tokens = tokens + self.embed_timestep(timesteps)[:, :, None]
        x = self.embed_ln(tokens.view(batch, 2 * context, -1))
        padding = (1.0 - mask.repeat_interleave(2, dim=1)[:, None, None]) * -1e4
        x = F.dropout(x, self.transformer.dropout, self.training)
        for block in self.transformer.h:
            x = block(x, padding)
        normed = adaptive_norm(self.transformer.ln_f, self.condition, x[:, ::2], returns_to_go)
        return self.predict_action(normed)


class Nullable(Official):
    """The official model where returns can be absent: returns_to_go is BK2.

    Its second number is 0 with a return and 1 without, where the first is 0: the null.
    """

    def __init__(self, observation, action, width, *sizes, **named_sizes):
        super().__init__(observation, action, width, *sizes, **named_sizes)
        self.embed_return = nn.Linear(2, width)

    def forward(self, observations, actions, returns_to_go, timesteps, mask):
        return self.predict_action(
            self.states(observations, actions, returns_to_go, timesteps, mask))

    def guided(self, factor, returns_to_go, **others):
        """The actions between those without returns (0) and those with (1), or beyond."""
        null = torch.zeros_like(returns_to_go)
        null[..., 1] = 1
        linear, squash = self.predict_action
        with_returns, without = (linear(self.states(returns_to_go=returns, **others))
                                 for returns in (returns_to_go, null))
        return squash(without + factor * (with_returns - without))


class LinearAttention(nn.Module):
    """Scores are products of features, and are divided by their sum. Nothing of them is dropped."""

    EPSILON = 1e-6

    def __init__(self, width, heads, dropout):
        super().__init__()
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
        # Padding has the score of a mask behind a softmax; here its features are omitted.
        key = (F.elu(key) + 1) * (padding == 0).to(x.dtype).transpose(2, 3)
        query = F.elu(query) + 1
        # The recurrent form: sums over all tokens up to each one.
        states = (key[..., :, None] * value[..., None, :]).cumsum(dim=2)
        sums = (query * key.cumsum(dim=2)).sum(dim=-1, keepdim=True)
        mixed = (query[..., None, :] @ states)[..., 0, :] / (sums + self.EPSILON)
        merged = mixed.transpose(1, 2).reshape(batch, tokens, width)
        return F.dropout(self.c_proj(merged), self.dropout, self.training)


def with_linear_attention(model, width, heads, dropout):
    """The model, an `Official` or one like it, with linear attention in every block."""
    for block in model.transformer.h:
        block.attn = LinearAttention(width, heads, dropout)
    return model


class Convolution(nn.Module):
    """Depthwise and causal; each token is filtered by the filter of its own kind."""

    def __init__(self, width, has_returns):
        super().__init__()
        kinds = (["rtg"] if has_returns else []) + ["obs", "act"]
        self.names = [f"{kind}_conv1d" for kind in kinds]
        for name in self.names:
            self.add_module(name, nn.Conv1d(width, width, TAPS, groups=width))

    def forward(self, x):
        kinds = len(self.names)
        before = F.pad(x.transpose(1, 2), (TAPS - 1, 0))
        filtered = [getattr(self, name)(before)[:, :, kind::kinds]
                    for kind, name in enumerate(self.names)]
        return torch.stack(filtered, dim=-1).flatten(2).transpose(1, 2)


def perceptron(width, dropout):
    """The second half of a block, C -> 4C -> C."""
    up, down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
    for layer in (up, down):
        nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(up, nn.GELU(), down, nn.Dropout(dropout))


class ConvolutionBlock(nn.Module):
    """Pre-norm; nothing of the convolution is dropped."""

    def __init__(self, width, has_returns, dropout):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.conv = Convolution(width, has_returns)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = perceptron(width, dropout)

    def forward(self, x):
        x = x + self.conv(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class ConvolutionBody(nn.Module):
    """The stack of blocks and its last norm, which the model applies."""

    def __init__(self, width, layers, has_returns, dropout):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.h = nn.ModuleList(ConvolutionBlock(width, has_returns, dropout) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)


class Convformer(nn.Module):
    """Predicts each action from its state token. For windows without padding."""

    def __init__(self, observation, action, width, layers, timesteps, has_returns=True,
                 discrete=False, dropout=0.0):
        super().__init__()
        self.transformer = ConvolutionBody(width, layers, has_returns, dropout)
        self.embed_timestep = nn.Embedding(timesteps, width)
        if has_returns:
            self.embed_return = nn.Linear(1, width)
        self.embed_state = nn.Linear(observation, width)
        self.embed_action = nn.Linear(action, width)
        self.embed_ln = nn.LayerNorm(width)
        head = [nn.Linear(width, action)] + ([] if discrete else [nn.Tanh()])
        self.predict_action = nn.Sequential(*head)
        self.condition = None if has_returns else new_condition(width)

    def forward(self, observations, actions, returns_to_go, timesteps, mask):
        batch, context = timesteps.shape
        kinds = [self.embed_state(observations), self.embed_action(actions)]
        if self.condition is None:
            kinds.insert(0, self.embed_return(returns_to_go[..., None]))
        tokens = torch.stack(kinds, dim=2) + self.embed_timestep(timesteps)[:, :, None]
        x = self.transformer.drop(self.embed_ln(tokens.view(batch, len(kinds) * context, -1)))
        for block in self.transformer.h:
            x = block(x)
        states = x[:, len(kinds) - 2::len(kinds)]
        if self.condition is None:
            return self.predict_action(self.transformer.ln_f(states))
        normed = adaptive_norm(self.transformer.ln_f, self.condition, states, returns_to_go)
        return self.predict_action(normed)

    loss = Official.loss


class Scan(nn.Module):
    """A block of Mamba-1: a filter, steps chosen by the input, a scan, a gate."""

    def __init__(self, width):
        super().__init__()
        inner, self.rank = 2 * width, math.ceil(width / 16)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, SCAN_TAPS, groups=inner)
        self.x_proj = nn.Linear(inner, self.rank + 2 * STATES, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        rates = torch.arange(1.0, STATES + 1)
        self.A_log = nn.Parameter(rates.log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)
        for layer in (self.in_proj, self.x_proj, self.dt_proj, self.out_proj):
            nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(self.dt_proj.bias)

    def forward(self, x):
        u, z = self.in_proj(x).chunk(2, dim=-1)
        before = F.pad(u.transpose(1, 2), (SCAN_TAPS - 1, 0))
        u = F.silu(self.conv1d(before).transpose(1, 2))
        rows, b, c = self.x_proj(u).split([self.rank, STATES, STATES], dim=-1)
        steps = F.softplus(self.dt_proj(rows))
        decay = -self.A_log.exp()
        memory = u.new_zeros(u.shape[0], u.shape[2], STATES)
        y = []
        for token in range(u.shape[1]):
            step = steps[:, token, :, None]
            drive = (steps * u)[:, token, :, None] * b[:, token, None]
            memory = (step * decay).exp() * memory + drive
            y.append((memory * c[:, token, None]).sum(dim=-1))
        y = torch.stack(y, dim=1) + self.D * u
        return self.out_proj(y * F.silu(z))


class ScanBlock(nn.Module):
    """Pre-norm; nothing of the scan is dropped."""

    def __init__(self, width, dropout):
        super().__init__()
        self.norm_mamba = nn.LayerNorm(width)
        self.mamba = Scan(width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp_channels = perceptron(width, dropout)

    def forward(self, x):
        x = x + self.mamba(self.norm_mamba(x))
        return x + self.mlp_channels(self.ln_2(x))


class DecisionMamba(Convformer):
    """Predicts each action from its state token. For windows without padding."""

    def __init__(self, observation, action, width, layers, timesteps, has_returns=True,
                 discrete=False, dropout=0.0):
        super().__init__(observation, action, width, layers, timesteps, has_returns, discrete,
                         dropout)
        self.transformer.h = nn.ModuleList(ScanBlock(width, dropout) for _ in range(layers))


class LstmBlock(nn.Module):
    """Pre-norm; nothing of the memory is dropped, and no padding is masked.

    Of the two biases only the sum has an effect. If both were trained, it would move twice as far as
    the one bias of rtg, so the second stays at zero.
    """

    def __init__(self, width, dropout):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        nn.init.zeros_(self.lstm.bias_hh_l0.requires_grad_(False))
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width, dropout)

    def forward(self, x, padding):
        x = x + self.lstm(self.ln_1(x))[0]
        return x + self.mlp(self.ln_2(x))


class LstmTransformer(Official):
    """The official model with memories. For windows without padding."""

    def __init__(self, observation, action, width, layers, timesteps, discrete=False, dropout=0.0):
        super().__init__(observation, action, width, layers, 1, timesteps, discrete, dropout, 1)
        self.transformer.h = nn.ModuleList(LstmBlock(width, dropout) for _ in range(layers))
