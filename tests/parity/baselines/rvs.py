"""RvS-R as the authors' `policies.py` and `dataset.py` have it; the code is ours."""

import torch
from torch.nn import functional as F

from .networks import Gaussian, Logits, adam, ignore, step


class Rvs:
    """-log pi of the batch's actions, summed over dimensions, or the cross-entropy of discrete ones.

    Discrete actions come one-hot, BA. Nothing is drawn.
    """

    def __init__(self, observation, action, hidden, horizon, discrete=False,
                 learning_rate=1e-3):
        unbounded = (-float("inf"), float("inf"))
        self.actor = (Logits(observation + 1, action, hidden) if discrete
                      else Gaussian(observation + 1, action, hidden, unbounded, squash=False))
        self.networks = {"actor": self.actor}
        self.optimisers = {"actor": adam([self.actor], learning_rate)}
        self.horizon, self.discrete = horizon, discrete
        self.noise, self.record = None, ignore

    def update(self, observations, actions, returns_to_go, timesteps):
        """One update from a batch of BS, BA, B1 and B1; the loss as a number."""
        outcomes = returns_to_go / (self.horizon - timesteps)
        outputs = self.actor(torch.cat([observations, outcomes], 1))
        loss = (F.cross_entropy(outputs, actions.argmax(1)) if self.discrete
                else -outputs.log_prob(actions).sum(1).mean())
        self.record("outcomes", outcomes)
        step(self.optimisers["actor"], loss)
        return {"actor": loss.item()}
