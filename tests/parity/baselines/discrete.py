"""IQL and AWAC for a choice among actions: no published code has them; the formulas are those of
src/algorithms/discrete_iql and discrete_awac."""

import copy

import torch
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR

from .networks import Logits, Value, adam, ignore, soft_update, step


class _Discrete:
    """An actor and twin critics with targets, each BS to BA."""

    def __init__(self, observation, action, hidden, discrete, discount, tau, learning_rate,
                 weight_limit):
        assert discrete
        self.actor = Logits(observation, action, hidden)
        self.critic_1 = Logits(observation, action, hidden)
        self.critic_2 = Logits(observation, action, hidden)
        self.networks = {
            "actor": self.actor, "critic_1": self.critic_1, "critic_2": self.critic_2,
            "critic_1_target": copy.deepcopy(self.critic_1),
            "critic_2_target": copy.deepcopy(self.critic_2),
        }
        self.optimisers = {"critics": adam([self.critic_1, self.critic_2], learning_rate),
                           "actor": adam([self.actor], learning_rate)}
        self.discount, self.tau, self.weight_limit = discount, tau, weight_limit
        self.noise, self.record = None, ignore

    @torch.no_grad()
    def least(self, observations, which=""):
        return torch.min(self.networks[f"critic_1{which}"](observations),
                         self.networks[f"critic_2{which}"](observations))

    def step_critics(self, observations, chosen, target, losses, factor):
        q_1 = self.critic_1(observations).gather(1, chosen).squeeze(1)
        q_2 = self.critic_2(observations).gather(1, chosen).squeeze(1)
        losses["critic"] = factor * (F.mse_loss(q_1, target) + F.mse_loss(q_2, target))
        for name, numbers in (("target", target), ("q_1", q_1), ("q_2", q_2)):
            self.record(name, numbers)
        step(self.optimisers["critics"], losses["critic"])

    def step_actor(self, observations, chosen, exponent, losses):
        weight = exponent.exp().clamp(max=self.weight_limit)
        log = F.log_softmax(self.actor(observations), 1).gather(1, chosen).squeeze(1)
        losses["actor"] = (weight * -log).mean()
        self.record("weight", weight)
        self.record("cloning", -log)
        step(self.optimisers["actor"], losses["actor"])

    def update_targets(self):
        for name in ("critic_1", "critic_2"):
            soft_update(self.networks[f"{name}_target"], self.networks[name], self.tau)


class DiscreteIql(_Discrete):
    """Value function, critics, actor, all with the value function of before the update."""

    def __init__(self, observation, action, hidden, discrete=True, discount=0.99, tau=0.005,
                 expectile=0.7, beta=3.0, weight_limit=100.0, learning_rate=3e-4,
                 schedule_steps=1_000_000):
        super().__init__(observation, action, hidden, discrete, discount, tau, learning_rate,
                         weight_limit)
        self.value = Value(observation, hidden)
        self.networks["value"] = self.value
        self.optimisers["value"] = adam([self.value], learning_rate)
        self.schedule = CosineAnnealingLR(self.optimisers["actor"], schedule_steps)
        self.expectile, self.beta = expectile, beta

    def update(self, observations, actions, rewards, next_observations, terminated):
        """One update from a batch of BS, BA (one-hot), B1, BS, B1; the losses as tensors."""
        rewards, terminated = rewards.squeeze(1), terminated.squeeze(1)
        chosen, losses = actions.argmax(1, keepdim=True), {}
        target_q = self.least(observations, "_target").gather(1, chosen).squeeze(1)
        with torch.no_grad():
            next_value = self.value(next_observations).squeeze(1)
        value = self.value(observations).squeeze(1)
        advantage = target_q - value
        losses["value"] = ((self.expectile - (advantage < 0).to(advantage.dtype)).abs()
                           * advantage**2).mean()
        self.record("value", value)
        self.record("advantage", advantage)
        step(self.optimisers["value"], losses["value"])
        target = rewards + (1 - terminated) * self.discount * next_value
        self.step_critics(observations, chosen, target, losses, 0.5)
        self.update_targets()
        self.record("learning_rate.actor", self.schedule.get_last_lr()[0])
        self.step_actor(observations, chosen, self.beta * advantage.detach(), losses)
        self.schedule.step()
        return losses


class DiscreteAwac(_Discrete):
    """Critics, actor, targets; expectations over the actor's actions are sums."""

    def __init__(self, observation, action, hidden, discrete=True, discount=0.99, tau=0.005,
                 temperature=1 / 3, weight_limit=100.0, learning_rate=3e-4):
        super().__init__(observation, action, hidden, discrete, discount, tau, learning_rate,
                         weight_limit)
        self.temperature = temperature

    @torch.no_grad()
    def expected(self, observations, which=""):
        """The critics' values BA, and their mean over the actor's actions B."""
        values = self.least(observations, which)
        return values, (self.actor(observations).softmax(1) * values).sum(1)

    def update(self, observations, actions, rewards, next_observations, terminated):
        """One update from a batch of BS, BA (one-hot), B1, BS, B1; the losses as tensors."""
        rewards, terminated = rewards.squeeze(1), terminated.squeeze(1)
        chosen, losses = actions.argmax(1, keepdim=True), {}
        _, next_value = self.expected(next_observations, "_target")
        target = rewards + (1 - terminated) * self.discount * next_value
        self.step_critics(observations, chosen, target, losses, 1.0)
        values, expected = self.expected(observations)
        advantage = values.gather(1, chosen).squeeze(1) - expected
        self.record("advantage", advantage)
        self.record("q_policy", expected)
        self.step_actor(observations, chosen, advantage / self.temperature, losses)
        self.update_targets()
        return losses
