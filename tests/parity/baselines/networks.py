"""Networks of the baselines: ReLU perceptrons with PyTorch's own initial weights.

Shapes: B batch, S observation, A action. Linear layers of a perceptron are called `net.0`, `net.2`,
`net.4`, as in an nn.Sequential with an activation between each two.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.distributions import Normal


def perceptron(inputs, hidden, outputs=None, last=()):
    """Linear layers with ReLU between; without `outputs` it ends with the last ReLU."""
    layers = []
    for narrow, wide in pairwise([inputs, *hidden]):
        layers += [nn.Linear(narrow, wide), nn.ReLU()]
    if outputs is not None:
        layers.append(nn.Linear(hidden[-1], outputs))
    return nn.Sequential(*layers, *last)


class Tanh(nn.Module):
    """A deterministic actor: observations BS to actions BA within ±`max_action`."""

    def __init__(self, observation, action, hidden, max_action=1.0):
        super().__init__()
        self.net = perceptron(observation, hidden, action, (nn.Tanh(),))
        self.max_action = max_action

    def forward(self, observations):
        return self.max_action * self.net(observations)


class Logits(nn.Module):
    """A classifier of discrete actions: observations BS to logits BA."""

    def __init__(self, observation, action, hidden):
        super().__init__()
        self.net = perceptron(observation, hidden, action)

    def forward(self, observations):
        return self.net(observations)


class Gaussian(nn.Module):
    """A Gaussian actor with one log sigma for each dimension; its mean is squashed in IQL.

    `smooth`: a sigmoid keeps log sigma within the bounds, as in d3rlpy, not a clamp.
    """

    def __init__(self, observation, action, hidden, log_sigma_bounds, squash=True, smooth=False):
        super().__init__()
        self.net = perceptron(observation, hidden, action, (nn.Tanh(),) if squash else ())
        self.log_std = nn.Parameter(torch.zeros(action))
        self.bounds, self.smooth = log_sigma_bounds, smooth

    def forward(self, observations):
        low, high = self.bounds
        log_sigma = (low + torch.sigmoid(self.log_std) * (high - low) if self.smooth
                     else self.log_std.clamp(low, high))
        return Normal(self.net(observations), log_sigma.exp())


class SquashedGaussian(nn.Module):
    """SAC's actor: mean and raw log sigma, each BA, from two heads on the same hidden layers."""

    def __init__(self, observation, action, hidden):
        super().__init__()
        self.net = perceptron(observation, hidden)
        self.mean = nn.Linear(hidden[-1], action)
        self.log_std = nn.Linear(hidden[-1], action)

    def forward(self, observations):
        features = self.net(observations)
        return self.mean(features), self.log_std(features)


class Critic(nn.Module):
    """Q: observations BS and actions BA to values B1."""

    def __init__(self, observation, action, hidden):
        super().__init__()
        self.net = perceptron(observation + action, hidden, 1)

    def forward(self, observations, actions):
        return self.net(torch.cat([observations, actions], 1))


class NormedCritic(nn.Module):
    """Q with a LayerNorm behind each ReLU, as ReBRAC has it; Flax adds 1e-6 to the variance."""

    def __init__(self, observation, action, hidden, epsilon=1e-6):
        super().__init__()
        layers = []
        for narrow, wide in pairwise([observation + action, *hidden]):
            layers += [nn.Linear(narrow, wide), nn.ReLU(), nn.LayerNorm(wide, eps=epsilon)]
        self.net = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))

    def forward(self, observations, actions):
        return self.net(torch.cat([observations, actions], 1))


class EnsembleLinear(nn.Module):
    """N linear layers side by side: N x B x inputs to N x B x outputs."""

    def __init__(self, members, inputs, outputs):
        super().__init__()
        bound = inputs ** -0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs).uniform_(-bound, bound))

    def forward(self, inputs):
        return inputs @ self.weight + self.bias


class EnsembleCritic(nn.Module):
    """N critics as batched products: observations BS and actions BA to values NB.

    With actions NBA each member has actions of its own.
    """

    def __init__(self, observation, action, hidden, members):
        super().__init__()
        layers = []
        for narrow, wide in pairwise([observation + action, *hidden]):
            layers += [EnsembleLinear(members, narrow, wide), nn.ReLU()]
        self.net = nn.Sequential(*layers, EnsembleLinear(members, hidden[-1], 1))
        self.members = members

    def forward(self, observations, actions):
        joined = torch.cat([observations, actions], -1)
        if joined.dim() == 2:
            joined = joined.unsqueeze(0).repeat_interleave(self.members, dim=0)
        return self.net(joined).squeeze(-1)


class Value(nn.Module):
    """V: observations BS to values B1."""

    def __init__(self, observation, hidden):
        super().__init__()
        self.net = perceptron(observation, hidden, 1)

    def forward(self, observations):
        return self.net(observations)


def adam(modules, learning_rate, weight_decay=0.0):
    """One Adam for the parameters of several modules, PyTorch's defaults otherwise."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return torch.optim.Adam(parameters, lr=learning_rate, weight_decay=weight_decay)


def step(optimiser, loss):
    """One optimiser step down the loss."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


@torch.no_grad()
def soft_update(target, source, tau):
    """target = (1 - tau) target + tau source, parameters only."""
    for old, new in zip(target.parameters(), source.parameters()):
        old.copy_((1 - tau) * old + tau * new)


def ignore(_name, _value):
    """The recorder of a learner without an observer."""
