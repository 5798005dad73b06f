"""Behaviour cloning as CORL's `any_percent_bc.py` has it, and its classifier; the code is ours."""

from torch.nn import functional as F

from .networks import Logits, Tanh, adam, ignore, step


class Bc:
    """Mean squared error over rows and dimensions, or the mean cross-entropy of discrete actions.

    Discrete actions come one-hot, BA. Nothing is drawn.
    """

    def __init__(self, observation, action, hidden, discrete=False, max_action=1.0,
                 learning_rate=3e-4):
        self.actor = (Logits(observation, action, hidden) if discrete
                      else Tanh(observation, action, hidden, max_action))
        self.networks = {"actor": self.actor}
        self.optimisers = {"actor": adam([self.actor], learning_rate)}
        self.discrete = discrete
        self.noise, self.record = None, ignore

    def update(self, observations, actions):
        """One update from a batch of BS and BA; the loss as a number."""
        outputs = self.actor(observations)
        loss = (F.cross_entropy(outputs, actions.argmax(1)) if self.discrete
                else F.mse_loss(outputs, actions))
        self.record("outputs", outputs)
        step(self.optimisers["actor"], loss)
        return {"actor": loss.item()}
