"""IQL (Kostrikov et al., 2021) as CORL, its authors and d3rlpy compute it; the code is ours."""

import copy

import torch
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR

from .networks import Critic, Gaussian, Tanh, Value, adam, ignore, soft_update, step

ADVANTAGE_WEIGHT_LIMIT = 100.0


class Iql:
    """Expectile value function, twin critics, an actor by advantage-weighted regression.

    `corl`: V, critics and actor all see V as it was before the update; the critics' loss is half
    the sum of two squared errors. `paper`: V, then the actor and then the critics with the new V;
    the sum of two. `d3rlpy`: one step of V and critics, both with the old V, then the actor with
    the new V and the old targets. Nothing is drawn: an update is deterministic.
    """

    def __init__(self, observation, action, hidden, recipe="corl", deterministic=False,
                 discount=0.99, tau=0.005, expectile=0.7, beta=3.0, learning_rate=3e-4,
                 schedule_steps=1_000_000, log_sigma_bounds=(-20.0, 2.0)):
        self.actor = (Tanh(observation, action, hidden) if deterministic
                      else Gaussian(observation, action, hidden, log_sigma_bounds,
                                    smooth=recipe == "d3rlpy"))
        self.critic_1 = Critic(observation, action, hidden)
        self.critic_2 = Critic(observation, action, hidden)
        self.value = Value(observation, hidden)
        self.networks = {
            "actor": self.actor, "critic_1": self.critic_1, "critic_2": self.critic_2,
            "value": self.value,
            "critic_1_target": copy.deepcopy(self.critic_1).requires_grad_(False),
            "critic_2_target": copy.deepcopy(self.critic_2).requires_grad_(False),
        }
        self.optimisers = {
            "value": adam([self.value], learning_rate),
            "critics": adam([self.critic_1, self.critic_2], learning_rate),
            "actor": adam([self.actor], learning_rate),
        }
        self.schedule = CosineAnnealingLR(self.optimisers["actor"], schedule_steps)
        self.recipe, self.deterministic = recipe, deterministic
        self.discount, self.tau, self.expectile, self.beta = discount, tau, expectile, beta
        self.noise, self.record = None, ignore

    def update(self, observations, actions, rewards, next_observations, terminated):
        """One update from a batch of BS, BA, B1, BS, B1; the losses as numbers."""
        losses = {}
        rewards, terminated = rewards.squeeze(-1), terminated.squeeze(-1)
        if self.recipe == "corl":
            with torch.no_grad():
                next_value = self.value(next_observations).squeeze(-1)
            _, advantage = self._update_value(observations, actions, losses)
            self._update_critics(observations, actions, rewards, terminated, next_value, losses)
            self._update_actor(observations, actions, advantage, losses)
        elif self.recipe == "d3rlpy":
            with torch.no_grad():
                next_value = self.value(next_observations).squeeze(-1)
            target_q, _ = self._update_value(observations, actions, losses)
            with torch.no_grad():
                advantage = target_q - self.value(observations).squeeze(-1)
            self._update_critics(observations, actions, rewards, terminated, next_value, losses)
            self._update_actor(observations, actions, advantage, losses)
        else:
            target_q, _ = self._update_value(observations, actions, losses)
            with torch.no_grad():
                advantage = target_q - self.value(observations).squeeze(-1)
                next_value = self.value(next_observations).squeeze(-1)
            self._update_actor(observations, actions, advantage, losses)
            self._update_critics(observations, actions, rewards, terminated, next_value, losses)
        return losses

    def _update_value(self, observations, actions, losses):
        with torch.no_grad():
            joined = torch.cat([observations, actions], 1)
            target_q = torch.min(self.networks["critic_1_target"].net(joined).squeeze(-1),
                                 self.networks["critic_2_target"].net(joined).squeeze(-1))
        value = self.value(observations).squeeze(-1)
        advantage = target_q - value
        loss = ((self.expectile - (advantage < 0).to(advantage.dtype)).abs()
                * advantage**2).mean()
        losses["value"] = loss.item()
        self.record("value", value)
        self.record("advantage", advantage)
        step(self.optimisers["value"], loss)
        return target_q, advantage

    def _update_critics(self, observations, actions, rewards, terminated, next_value, losses):
        target = rewards + (1.0 - terminated) * self.discount * next_value
        joined = torch.cat([observations, actions], 1)
        q_1 = self.critic_1.net(joined).squeeze(-1)
        q_2 = self.critic_2.net(joined).squeeze(-1)
        loss = F.mse_loss(q_1, target) + F.mse_loss(q_2, target)
        if self.recipe == "corl":
            loss = loss / 2
        losses["critic"] = loss.item()
        self.record("next_value", next_value)
        self.record("target", target)
        self.record("q_1", q_1)
        self.record("q_2", q_2)
        step(self.optimisers["critics"], loss)
        for name in ("critic_1", "critic_2"):
            soft_update(self.networks[f"{name}_target"], self.networks[name], self.tau)

    def _update_actor(self, observations, actions, advantage, losses):
        weight = torch.exp(self.beta * advantage.detach()).clamp(max=ADVANTAGE_WEIGHT_LIMIT)
        if self.deterministic:
            cloning = ((self.actor(observations) - actions) ** 2).sum(1)
        else:
            cloning = -self.actor(observations).log_prob(actions).sum(-1)
        loss = (weight * cloning).mean()
        losses["actor"] = loss.item()
        self.record("advantage_actor", advantage)
        self.record("weight", weight)
        self.record("cloning", cloning)
        self.record("learning_rate.actor", self.schedule.get_last_lr()[0])
        step(self.optimisers["actor"], loss)
        self.schedule.step()
