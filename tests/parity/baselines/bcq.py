"""Discrete BCQ (Fujimoto et al., 2019) as the authors' `FC_Q` computes it; the code is ours."""

import copy

import torch
from torch.nn import functional as F

from .networks import Logits, adam, ignore, soft_update, step


class DiscreteBcq:
    """`bcq_1` gives values, `bcq_2` the logits of the imitation."""

    def __init__(self, observation, action, hidden, learning_rate, threshold=0.3,
                 logit_weight=0.01, discount=0.99, tau=0.005, discrete=True):
        assert discrete
        self.q, self.imitation = (Logits(observation, action, hidden) for _ in range(2))
        self.networks = {
            "bcq_1": self.q, "bcq_2": self.imitation,
            "bcq_1_target": copy.deepcopy(self.q), "bcq_2_target": copy.deepcopy(self.imitation),
        }
        self.optimisers = {"both": adam([self.q, self.imitation], learning_rate)}
        self.threshold, self.logit_weight = threshold, logit_weight
        self.discount, self.tau = discount, tau
        self.noise, self.record = None, ignore

    def update(self, observations, actions, rewards, next_observations, terminated):
        """One update from a batch of BS, BA, B1, BS, B1; the losses as tensors."""
        labels = actions.argmax(1, keepdim=True)
        with torch.no_grad():
            values = self.q(next_observations)
            likelihood = F.softmax(self.imitation(next_observations), 1)
            likelihood = likelihood / likelihood.max(1, keepdim=True).values
            allowed = likelihood > self.threshold
            best = torch.where(allowed, values, torch.full_like(values, -1e8)).argmax(1, True)
            next_values = self.networks["bcq_1_target"](next_observations).gather(1, best)
            target = rewards + self.discount * (1 - terminated) * next_values
        self.record("likelihood", likelihood)
        self.record("allowed", allowed.to(values.dtype).mean())
        values, logits = self.q(observations).gather(1, labels), self.imitation(observations)
        td = F.smooth_l1_loss(values, target)
        cloning = F.nll_loss(F.log_softmax(logits, 1), labels[:, 0])
        loss = td + cloning + self.logit_weight * logits.pow(2).mean()
        self.record("q", values)
        self.record("target", target)
        step(self.optimisers["both"], loss)
        for name in ("bcq_1", "bcq_2"):
            soft_update(self.networks[f"{name}_target"], self.networks[name], self.tau)
        return {"critic": loss, "td": td, "cloning": cloning}
