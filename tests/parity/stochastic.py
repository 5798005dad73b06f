"""Policies with a distribution of actions, their loss, and the optimiser of their codes.

`OnlineDt` is facebookresearch/online-dt: a squashed Gaussian, no positions. `GaussianReinformer`
is Dragon-Zhuang/Reinformer with its Gaussian. The code is ours. Shapes: B
batch, K context, A action.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from min_dt import Reinformer
from official import Official

# Bounds of log sigma.
SQUASHED, FREE = (-5.0, 2.0), (-20.0, 2.0)
# Actions are clamped to this in front of atanh, in float32.
LARGEST = torch.tensor(1.0 - 1e-6, dtype=torch.float32)
INITIAL_ALPHA, ALPHA_LEARNING_RATE = 0.1, 1e-4

WORD = (1 << 64) - 1


def mix(value):
    """The finaliser of SplitMix64."""
    z = (value + 0x9E3779B97F4A7C15) & WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & WORD
    return z ^ (z >> 31)


def derive(seed, name):
    """The key of a named random stream: FNV-1a of the name, mixed with the seed."""
    found = 0xCBF29CE484222325
    for byte in name.encode():
        found = (found ^ byte) * 0x100000001B3 & WORD
    return mix((mix(seed) + found) & WORD)


def noise(batches, windows, steps, action):
    """The noise of a batch with this many before it, in a run of seed 0: B x K x A, float32."""
    key = mix((derive(0, "entropy") + batches) & WORD)
    drawn = torch.empty(windows, steps, action, dtype=torch.float64)
    for window in range(windows):
        for step in range(steps):
            row = mix((key + mix(window << 32 | step)) & WORD)
            for number in range(action):
                bits = mix((row + number) & WORD)
                radius = ((bits >> 32) + 0.5) / 2.0 ** 32
                angle = 2.0 * math.pi * (bits & 0xFFFFFFFF) / 2.0 ** 32
                drawn[window, step, number] = math.sqrt(-2.0 * math.log(radius)) * math.cos(angle)
    return drawn.float()


def log_slope(u):
    """log(1 - tanh(u)^2)."""
    return 2.0 * (math.log(2.0) - u - F.softplus(-2.0 * u))


class Stochastic:
    """The loss of a distribution of actions with a learned temperature, and the temperature's step.

    As in both codes: the negative log-likelihood over valid steps, less the temperature times the
    entropy over all steps. Windows without padding, then, in both codes and in rtg.
    """

    def begin(self):
        """A new run: the temperature, in no state dict, as there."""
        kind = next(self.parameters()).dtype
        self.log_alpha = torch.tensor(math.log(INITIAL_ALPHA), dtype=kind, requires_grad=True)
        self.of_alpha = torch.optim.Adam([self.log_alpha], lr=ALPHA_LEARNING_RATE)
        self.batches = 0

    def actions_loss(self, actions, mask):
        """NLL - alpha H; keeps H for the temperature's step."""
        assert (mask > 0).all()
        drawn = noise(self.batches, *actions.shape).to(actions.dtype)
        self.batches += 1
        nll, entropy = self.terms(actions, drawn)
        self.entropy = entropy.mean().detach()
        return nll.mean() - self.log_alpha.exp().detach() * entropy.mean()

    def step_temperature(self):
        """Towards an entropy of minus the number of action dimensions; returns the temperature."""
        target = -float(self.mean.shape[-1])
        loss = self.log_alpha.exp() * (self.entropy - target)
        self.of_alpha.zero_grad()
        loss.backward()
        self.of_alpha.step()
        return self.log_alpha.exp().detach().clone()


class SquashedHead(nn.Module):
    """Mean and log standard deviation from linear layers."""

    def __init__(self, width, action):
        super().__init__()
        self.mu, self.log_std = nn.Linear(width, action), nn.Linear(width, action)

    def forward(self, x):
        low, high = SQUASHED
        return self.mu(x), low + 0.5 * (high - low) * (1.0 + torch.tanh(self.log_std(x)))


class FreeHead(nn.Module):
    """The mean from a linear layer, the log standard deviation a vector of parameters."""

    def __init__(self, width, action):
        super().__init__()
        self.mu, self.log_std = nn.Linear(width, action), nn.Parameter(torch.zeros(action))

    def forward(self, x):
        return torch.tanh(self.mu(x)), self.log_std.clamp(*FREE)


class OnlineDt(Official, Stochastic):
    """The action's distribution is a normal one squashed by tanh. `timesteps` is 1."""

    def __init__(self, observation, action, width, *sizes, **named_sizes):
        super().__init__(observation, action, width, *sizes, **named_sizes)
        self.predict_action = SquashedHead(width, action)

    def forward(self, *tensors, **named_tensors):
        self.mean, self.log_sigma = super().forward(*tensors, **named_tensors)
        return torch.tanh(self.mean)

    def terms(self, actions, drawn):
        """-log pi of the actions taken, and of a sample, at each step."""
        largest = LARGEST.to(actions.dtype)
        a = actions.clamp(-largest, largest)
        x = 0.5 * (a.log1p() - (-a).log1p())
        u = self.mean + self.log_sigma.exp() * drawn
        normal = torch.distributions.Normal(self.mean, self.log_sigma.exp())
        return [-(normal.log_prob(at) - log_slope(at)).sum(dim=-1) for at in (x, u)]

    def loss(self, predicted, actions, mask, discrete):
        return self.actions_loss(actions, mask)


class GaussianReinformer(Reinformer, Stochastic):
    """The action's distribution is a normal one around a mean squashed by tanh."""

    def __init__(self, observation, action, width, *sizes, **named_sizes):
        super().__init__(observation, action, width, *sizes, **named_sizes)
        self.predict_action = FreeHead(width, action)

    def forward(self, *tensors, **named_tensors):
        self.mean, self.log_sigma = super().forward(*tensors, **named_tensors)
        return self.mean

    def terms(self, actions, drawn):
        """-log pi of the actions taken, and the entropy, at each step."""
        normal = torch.distributions.Normal(self.mean, self.log_sigma.exp())
        return [-normal.log_prob(actions).sum(dim=-1), normal.entropy().sum(dim=-1)]

    def loss(self, predicted, actions, mask, discrete):
        return self.actions_loss(actions, mask) + self.returns_loss(mask)


class Lamb(torch.optim.Optimizer):
    """Adam's direction plus decay, scaled to the length of the tensor that it moves."""

    def __init__(self, parameters, lr, weight_decay, betas, eps):
        super().__init__(parameters, dict(lr=lr, decay=weight_decay, betas=betas, eps=eps))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            first, second = group["betas"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state.update(n=0, m=torch.zeros_like(weight), v=torch.zeros_like(weight))
                state["n"] += 1
                state["m"].lerp_(weight.grad, 1.0 - first)
                state["v"].mul_(second).addcmul_(weight.grad, weight.grad, value=1.0 - second)
                m = state["m"] / (1.0 - first ** state["n"])
                v = state["v"] / (1.0 - second ** state["n"])
                move = m / (v.sqrt() + group["eps"]) + group["decay"] * weight
                lengths = weight.norm(), move.norm()
                ratio = lengths[0] / lengths[1] if min(lengths) > 0.0 else 1.0
                weight.sub_(group["lr"] * ratio * move)
