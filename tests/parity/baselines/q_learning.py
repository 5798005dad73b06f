"""Q-learning of discrete actions as CleanRL, Stable-Baselines3 and d3rlpy compute it; the code is
ours."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from .networks import adam, ignore, perceptron, soft_update


class Values(nn.Module):
    """A Q-network: observations BS to BAN, N numbers for each action; dueling where N is 1."""

    def __init__(self, observation, action, hidden, quantiles, dueling):
        super().__init__()
        outputs = action + 1 if dueling else action * quantiles
        self.net = perceptron(observation, hidden, outputs)
        self.action, self.quantiles, self.dueling = action, quantiles, dueling

    def forward(self, observations):
        outputs = self.net(observations)
        if self.dueling:
            advantages, value = outputs[:, :self.action], outputs[:, self.action:]
            outputs = value + advantages - advantages.mean(1, keepdim=True)
        return outputs.reshape(len(observations), self.action, self.quantiles)


class QLearning:
    """DQN and its offline forms.

    `recipe` decides when the target is copied: `sb3` before the updates of an environment step,
    `cleanrl` behind them, `d3rlpy` behind the updates of number 0, `target_every`, ...
    """

    def __init__(self, observation, action, hidden, recipe, learning_rate, discount=0.99, tau=1.0,
                 target_every=1, update_every=1, loss="huber", gradient_limit=0.0, double=False,
                 dueling=False, quantiles=1, alpha=0.0, discrete=True):
        assert discrete
        self.q = Values(observation, action, hidden, quantiles, dueling)
        self.q_target = copy.deepcopy(self.q)
        self.networks = {"q": self.q, "q_target": self.q_target}
        self.optimisers = {"q": adam([self.q], learning_rate)}
        self.recipe, self.discount, self.tau, self.double = recipe, discount, tau, double
        self.target_every, self.update_every = target_every, update_every
        self.loss, self.gradient_limit, self.alpha = loss, gradient_limit, alpha
        self.quantiles, self.updates, self.copied = quantiles, 0, 0
        self.noise, self.record = None, ignore

    def copy_if_passed(self):
        passed = self.updates * self.update_every // self.target_every
        if passed > self.copied:
            soft_update(self.q_target, self.q, self.tau)
        self.copied = passed

    def update(self, observations, actions, rewards, next_observations, terminated):
        """One update from a batch of BS, BA, B1, BS, B1; the losses as tensors."""
        self.updates += 1
        if self.recipe == "sb3":
            self.copy_if_passed()
        with torch.no_grad():
            next_values = self.q_target(next_observations)
            chooser = self.q(next_observations) if self.double else next_values
            best = chooser.mean(2).argmax(1)
            rows = torch.arange(len(best))
            target = rewards + self.discount * (1 - terminated) * next_values[rows, best]
        values = self.q(observations)
        taken = values[rows, actions.argmax(1)]
        if self.quantiles > 1:
            td = quantile_loss(taken, target)
        else:
            td = F.mse_loss(taken, target) if self.loss == "squared" else F.smooth_l1_loss(
                taken, target)
        losses = {"critic": td}
        if self.alpha:
            means = values.mean(2)
            gap = (torch.logsumexp(means, 1) - means[rows, actions.argmax(1)]).mean()
            losses = {"critic": td + self.alpha * gap, "td": td}
            self.record("gap", gap)
        for name, numbers in (("q", taken), ("target", target)):
            self.record(name, numbers)
            self.record(f"{name}.mean", numbers.mean())
        optimiser = self.optimisers["q"]
        optimiser.zero_grad()
        losses["critic"].backward()
        if self.gradient_limit:
            norm = nn.utils.clip_grad_norm_(self.q.parameters(), self.gradient_limit)
            self.record("gradient_norm", norm)
        optimiser.step()
        if self.recipe == "cleanrl":
            self.copy_if_passed()
        if self.recipe == "d3rlpy" and (self.updates - 1) % self.target_every == 0:
            soft_update(self.q_target, self.q, self.tau)
        return losses


def quantile_loss(quantiles, targets):
    """QR-DQN's, from quantiles BN and their targets BN."""
    count = quantiles.shape[1]
    levels = (torch.arange(count, dtype=quantiles.dtype) + 0.5) / count
    errors = targets[:, None, :] - quantiles[:, :, None]
    weights = (levels[None, :, None] - (errors < 0).to(quantiles.dtype)).abs()
    huber = F.smooth_l1_loss(errors, torch.zeros_like(errors), reduction="none")
    return (weights * huber).mean(2).sum(1).mean()
