"""Fitted Q evaluation as d3rlpy computes it; the code is ours."""

import copy

import torch
from torch.nn import functional as F

from .networks import adam, ignore, perceptron, soft_update, step


class FittedQ:
    """The values of a policy whose actions at the next observations come with the batch.

    Rewards are multiplied by `reward_scale` before they are learned from.
    """

    def __init__(self, observation, action, hidden, learning_rate, discount=0.99,
                 target_every=100, discrete=False, reward_scale=1.0):
        inputs, outputs = (observation, action) if discrete else (observation + action, 1)
        self.q = torch.nn.Module()
        self.q.net = perceptron(inputs, hidden, outputs)
        self.q_target = copy.deepcopy(self.q)
        self.networks = {"q": self.q, "q_target": self.q_target}
        self.optimisers = {"q": adam([self.q], learning_rate)}
        self.discount, self.target_every, self.discrete = discount, target_every, discrete
        self.reward_scale, self.updates = reward_scale, 0
        self.noise, self.record = None, ignore

    def value(self, network, observations, actions):
        if self.discrete:
            return network.net(observations).gather(1, actions.argmax(1, keepdim=True))
        return network.net(torch.cat([observations, actions], 1))

    def update(self, observations, actions, rewards, next_observations, terminated,
               following_actions):
        """One update from a batch of BS, BA, B1, BS, B1, BA; the loss as a tensor."""
        with torch.no_grad():
            next_value = self.value(self.q_target, next_observations, following_actions)
            target = (rewards * self.reward_scale
                      + self.discount * (1 - terminated) * next_value)
        value = self.value(self.q, observations, actions)
        loss = F.smooth_l1_loss(value, target) if self.discrete else F.mse_loss(value, target)
        self.record("q", value)
        self.record("target", target)
        # What an estimate reports: in the rewards' own units.
        self.record("value", value / self.reward_scale)
        step(self.optimisers["q"], loss)
        if self.updates % self.target_every == 0:
            soft_update(self.q_target, self.q, 1.0)
        self.updates += 1
        return {"critic": loss}
