"""ReBRAC (Tarasov et al., 2023) as its authors' and d3rlpy's code compute it; the code is ours."""

import copy

import torch
from torch.nn import functional as F

from .networks import NormedCritic, Tanh, adam, ignore, soft_update


class Rebrac:
    """TD3 with penalties on leaving the data, in the actor's loss and in the critics' target.

    The first of every `policy_delay` updates moves actor and targets; the actor's target follows
    the actor as it was before its step, but in d3rlpy as it is behind it. Noise: one BA standard
    normal in each update.
    """

    def __init__(self, observation, action, hidden, discount=0.99, tau=0.005, policy_noise=0.2,
                 noise_clip=0.5, policy_delay=2, actor_penalty=0.01, critic_penalty=0.01,
                 learning_rate=1e-3, lag=True, epsilon=1e-6):
        self.actor = Tanh(observation, action, hidden)
        self.critic_1 = NormedCritic(observation, action, hidden, epsilon)
        self.critic_2 = NormedCritic(observation, action, hidden, epsilon)
        self.networks = {
            "actor": self.actor, "critic_1": self.critic_1, "critic_2": self.critic_2,
            "actor_target": copy.deepcopy(self.actor),
            "critic_1_target": copy.deepcopy(self.critic_1),
            "critic_2_target": copy.deepcopy(self.critic_2),
        }
        self.optimisers = {
            "actor": adam([self.actor], learning_rate),
            "critics": adam([self.critic_1, self.critic_2], learning_rate),
        }
        self.discount, self.tau, self.lag = discount, tau, lag
        self.policy_noise, self.noise_clip, self.policy_delay = policy_noise, noise_clip, policy_delay
        self.actor_penalty, self.critic_penalty, self.updates = actor_penalty, critic_penalty, 0
        self.noise, self.record = torch.randn_like, ignore

    def update(self, observations, actions, rewards, next_observations, terminated,
               following_actions):
        """One update from a batch of BS, BA, B1, BS, B1, BA; the losses as numbers."""
        networks, losses = self.networks, {}
        with torch.no_grad():
            noise = (self.noise(actions) * self.policy_noise).clamp(
                -self.noise_clip, self.noise_clip)
            next_actions = (networks["actor_target"](next_observations) + noise).clamp(-1.0, 1.0)
            penalty = ((next_actions - following_actions) ** 2).sum(-1, keepdim=True)
            next_q = torch.min(networks["critic_1_target"](next_observations, next_actions),
                               networks["critic_2_target"](next_observations, next_actions))
            next_q = next_q - self.critic_penalty * penalty
            target = rewards + (1 - terminated) * self.discount * next_q
        self.record("next_actions", next_actions)
        self.record("penalty", penalty)
        self.record("target", target)
        q_1, q_2 = self.critic_1(observations, actions), self.critic_2(observations, actions)
        critic_loss = F.mse_loss(q_1, target) + F.mse_loss(q_2, target)
        losses["critic"] = critic_loss.item()
        self.record("q_1", q_1)
        self.record("q_2", q_2)
        self.optimisers["critics"].zero_grad()
        critic_loss.backward()
        self.optimisers["critics"].step()

        if self.updates % self.policy_delay == 0:
            policy_actions = self.actor(observations)
            q = torch.min(self.critic_1(observations, policy_actions),
                          self.critic_2(observations, policy_actions))
            scale = 1 / q.abs().mean().detach()
            cloning = ((policy_actions - actions) ** 2).sum(-1, keepdim=True)
            actor_loss = (self.actor_penalty * cloning - scale * q).mean()
            losses["actor"] = actor_loss.item()
            self.record("policy_actions", policy_actions)
            self.record("q_policy", q)
            self.record("lambda", scale)
            self.record("cloning", cloning)
            self.optimisers["actor"].zero_grad()
            actor_loss.backward()
            if self.lag:
                soft_update(networks["actor_target"], networks["actor"], self.tau)
            self.optimisers["actor"].step()
            if not self.lag:
                soft_update(networks["actor_target"], networks["actor"], self.tau)
            for name in ("critic_1", "critic_2"):
                soft_update(networks[f"{name}_target"], networks[name], self.tau)
        self.updates += 1
        return losses
