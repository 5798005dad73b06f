"""TD3+BC (Fujimoto and Gu, 2021) as CORL's `td3_bc.py` and d3rlpy compute it; the code is ours."""

import copy

import torch
from torch.nn import functional as F

from .networks import Critic, Tanh, adam, ignore, soft_update, step


class Td3Bc:
    """Twin critics with smoothed targets; every `policy_delay`-th update moves actor and targets.

    The first update has the number `count_from`: 1, in d3rlpy 0. Noise, drawn through
    `noise(like)`: one BA standard normal in each update.
    """

    def __init__(self, observation, action, hidden, max_action=1.0, discount=0.99, tau=0.005,
                 policy_noise=0.2, noise_clip=0.5, policy_delay=2, alpha=2.5, learning_rate=3e-4,
                 count_from=1):
        self.actor = Tanh(observation, action, hidden, max_action)
        self.critic_1 = Critic(observation, action, hidden)
        self.critic_2 = Critic(observation, action, hidden)
        self.networks = {
            "actor": self.actor, "critic_1": self.critic_1, "critic_2": self.critic_2,
            "actor_target": copy.deepcopy(self.actor),
            "critic_1_target": copy.deepcopy(self.critic_1),
            "critic_2_target": copy.deepcopy(self.critic_2),
        }
        self.optimisers = {name: adam([self.networks[name]], learning_rate)
                           for name in ("actor", "critic_1", "critic_2")}
        self.max_action, self.discount, self.tau, self.alpha = max_action, discount, tau, alpha
        # Both in the units of the action.
        self.policy_noise, self.noise_clip = policy_noise * max_action, noise_clip * max_action
        self.policy_delay, self.updates = policy_delay, count_from - 1
        self.noise, self.record = torch.randn_like, ignore

    def update(self, observations, actions, rewards, next_observations, terminated):
        """One update from a batch of BS, BA, B1, BS, B1; the losses as numbers."""
        self.updates += 1
        networks, losses = self.networks, {}
        with torch.no_grad():
            noise = (self.noise(actions) * self.policy_noise).clamp(
                -self.noise_clip, self.noise_clip)
            next_actions = (networks["actor_target"](next_observations) + noise).clamp(
                -self.max_action, self.max_action)
            next_q = torch.min(networks["critic_1_target"](next_observations, next_actions),
                               networks["critic_2_target"](next_observations, next_actions))
            target = rewards + (1 - terminated) * self.discount * next_q
        self.record("next_actions", next_actions)
        self.record("target", target)

        q_1, q_2 = self.critic_1(observations, actions), self.critic_2(observations, actions)
        critic_loss = F.mse_loss(q_1, target) + F.mse_loss(q_2, target)
        losses["critic"] = critic_loss.item()
        self.record("q_1", q_1)
        self.record("q_2", q_2)
        self.optimisers["critic_1"].zero_grad()
        self.optimisers["critic_2"].zero_grad()
        critic_loss.backward()
        self.optimisers["critic_1"].step()
        self.optimisers["critic_2"].step()

        if self.updates % self.policy_delay == 0:
            policy_actions = self.actor(observations)
            q = self.critic_1(observations, policy_actions)
            weight = self.alpha / q.abs().mean().detach()
            cloning = F.mse_loss(policy_actions, actions)
            actor_loss = -weight * q.mean() + cloning
            losses["actor"] = actor_loss.item()
            self.record("policy_actions", policy_actions)
            self.record("q_policy", q)
            self.record("lambda", weight)
            self.record("loss.cloning", cloning)
            step(self.optimisers["actor"], actor_loss)
            for name in ("critic_1", "critic_2", "actor"):
                soft_update(networks[f"{name}_target"], networks[name], self.tau)
        return losses
