"""TD3 (Fujimoto et al., 2018) as CleanRL's `td3_continuous_action.py` and Stable-Baselines3's
`td3.py` compute it; the code is ours."""

import copy

import torch
from torch.nn import functional as F

from .networks import Critic, Tanh, adam, ignore, soft_update, step


class Td3:
    """Twin critics with smoothed targets; every `policy_delay`-th update moves actor and targets.

    CleanRL's networks see actions of the environment's box, from `low` to `high`; without these
    they are in [-1, 1], as Stable-Baselines3 scales them. CleanRL cuts all numbers of a smoothed
    action off at the bounds of the first; here each has its own. Noise: one BA standard normal in
    each update.
    """

    def __init__(self, observation, action, hidden, low=None, high=None, discount=0.99, tau=0.005,
                 policy_noise=0.2, noise_clip=0.5, policy_delay=2, learning_rate=3e-4):
        self.low = torch.tensor(low or [-1.0] * action)
        self.high = torch.tensor(high or [1.0] * action)
        self.scale, self.bias = (self.high - self.low) / 2, (self.high + self.low) / 2
        self.actor = Tanh(observation, action, hidden)
        self.critic_1 = Critic(observation, action, hidden)
        self.critic_2 = Critic(observation, action, hidden)
        self.networks = {
            "actor": self.actor, "critic_1": self.critic_1, "critic_2": self.critic_2,
            "actor_target": copy.deepcopy(self.actor),
            "critic_1_target": copy.deepcopy(self.critic_1),
            "critic_2_target": copy.deepcopy(self.critic_2),
        }
        self.optimisers = {"critics": adam([self.critic_1, self.critic_2], learning_rate),
                           "actor": adam([self.actor], learning_rate)}
        self.discount, self.tau = discount, tau
        self.policy_noise, self.noise_clip = policy_noise, noise_clip
        self.policy_delay, self.updates = policy_delay, 0
        self.noise, self.record = torch.randn_like, ignore

    def act(self, observations, which=""):
        return self.networks[f"actor{which}"](observations) * self.scale + self.bias

    def update(self, observations, actions, rewards, next_observations, terminated):
        """One update from a batch of BS, BA, B1, BS, B1; the losses as tensors."""
        self.updates += 1
        networks, losses = self.networks, {}
        with torch.no_grad():
            noise = (self.noise(actions) * self.policy_noise).clamp(
                -self.noise_clip, self.noise_clip) * self.scale
            next_actions = torch.clamp(
                self.act(next_observations, "_target") + noise, self.low, self.high)
            next_q = torch.min(networks["critic_1_target"](next_observations, next_actions),
                               networks["critic_2_target"](next_observations, next_actions))
            target = rewards + (1 - terminated) * self.discount * next_q
        self.record("next_actions", next_actions)
        self.record("target", target)
        q_1, q_2 = self.critic_1(observations, actions), self.critic_2(observations, actions)
        losses["critic"] = F.mse_loss(q_1, target) + F.mse_loss(q_2, target)
        self.record("q_1", q_1)
        self.record("q_2", q_2)
        step(self.optimisers["critics"], losses["critic"])

        if self.updates % self.policy_delay == 0:
            q = self.critic_1(observations, self.act(observations))
            losses["actor"] = -q.mean()
            self.record("q_policy", q)
            step(self.optimisers["actor"], losses["actor"])
            for name in ("critic_1", "critic_2", "actor"):
                soft_update(networks[f"{name}_target"], networks[name], self.tau)
        return losses
