"""SAC (Haarnoja et al., 2018) as CleanRL's `sac_continuous_action.py` and as Stable-Baselines3
compute it; the code is ours."""

import copy

import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F

from .networks import Critic, SquashedGaussian, adam, ignore, soft_update, step

# Keeps the logarithm of the squash correction finite.
EPSILON = 1e-6


class _Sac:
    """What both codes have: the networks, the optimisers, twin targets and the temperature."""

    def __init__(self, observation, action, hidden, actor_learning_rate, critic_learning_rate,
                 alpha_learning_rate, discount=0.99, tau=0.005):
        self.actor = SquashedGaussian(observation, action, hidden)
        self.critic_1 = Critic(observation, action, hidden)
        self.critic_2 = Critic(observation, action, hidden)
        self.log_alpha = nn.Parameter(torch.zeros(1))
        self.networks = {
            "actor": self.actor, "critic_1": self.critic_1, "critic_2": self.critic_2,
            "critic_1_target": copy.deepcopy(self.critic_1),
            "critic_2_target": copy.deepcopy(self.critic_2),
        }
        self.optimisers = {
            "critics": adam([self.critic_1, self.critic_2], critic_learning_rate),
            "actor": adam([self.actor], actor_learning_rate),
            "alpha": torch.optim.Adam([self.log_alpha], lr=alpha_learning_rate),
        }
        self.discount, self.tau, self.target_entropy = discount, tau, -float(action)
        self.updates = 0
        self.noise, self.record = torch.randn_like, ignore

    def sample(self, observations):
        """Actions BA drawn from the policy and their log-probabilities B1."""
        mean, raw = self.actor(observations)
        sigma = self.log_sigma(raw).exp()
        normal = Normal(mean, sigma)
        unsquashed = mean + sigma * self.noise(mean)
        squashed = torch.tanh(unsquashed)
        log_prob = normal.log_prob(unsquashed) - self.correction(squashed)
        return self.stretch(squashed), log_prob.sum(1, keepdim=True)

    def both(self, observations, actions, which=""):
        return (self.networks[f"critic_1{which}"](observations, actions),
                self.networks[f"critic_2{which}"](observations, actions))

    def bootstrap(self, rewards, next_observations, terminated, alpha):
        """The critics' target B1."""
        with torch.no_grad():
            next_actions, next_log_prob = self.sample(next_observations)
            next_q = torch.min(*self.both(next_observations, next_actions, "_target"))
            next_q = next_q - alpha * next_log_prob
            target = rewards + (1 - terminated) * self.discount * next_q
        self.record("next_actions", next_actions)
        self.record("next_log_prob", next_log_prob)
        self.record("target", target)
        return target

    def update_targets(self):
        for name in ("critic_1", "critic_2"):
            soft_update(self.networks[f"{name}_target"], self.networks[name], self.tau)


class CleanRl(_Sac):
    """CleanRL's: every second update moves actor and temperature twice.

    log sigma = -5 + 3.5 (tanh(raw) + 1); the critics see actions of the environment's box, and the
    log-probability is that of the stretched action. Noise: BA for the next actions; then, in each
    of two rounds of every second update, BA for the actor and BA for the temperature.
    """

    def __init__(self, observation, action, hidden, low, high, policy_delay=2, **others):
        super().__init__(observation, action, hidden, **others)
        low, high = torch.tensor(low), torch.tensor(high)
        self.scale, self.bias = (high - low) / 2, (high + low) / 2
        self.policy_delay = policy_delay
        self.alpha = self.log_alpha.exp().item()

    @staticmethod
    def log_sigma(raw):
        return -5 + 3.5 * (torch.tanh(raw) + 1)

    def correction(self, squashed):
        return torch.log(self.scale * (1 - squashed**2) + EPSILON)

    def stretch(self, squashed):
        return squashed * self.scale + self.bias

    def update(self, observations, actions, rewards, next_observations, terminated):
        """One update from a batch of BS, BA, B1, BS, B1; the losses as tensors."""
        self.updates += 1
        losses = {}
        self.record("alpha_before", self.alpha)
        target = self.bootstrap(rewards, next_observations, terminated, self.alpha)
        q_1, q_2 = self.both(observations, actions)
        losses["critic_1"], losses["critic_2"] = F.mse_loss(q_1, target), F.mse_loss(q_2, target)
        losses["critic"] = losses["critic_1"] + losses["critic_2"]
        self.record("q_1", q_1)
        self.record("q_2", q_2)
        step(self.optimisers["critics"], losses["critic"])

        if self.updates % self.policy_delay == 0:
            for number in range(1, self.policy_delay + 1):
                policy_actions, log_prob = self.sample(observations)
                q = torch.min(*self.both(observations, policy_actions))
                losses["actor"] = (self.alpha * log_prob - q).mean()
                step(self.optimisers["actor"], losses["actor"])
                self.record(f"round.{number}.policy_actions", policy_actions)
                self.record(f"round.{number}.log_prob", log_prob)
                self.record(f"round.{number}.loss.actor", losses["actor"])

                with torch.no_grad():
                    _, log_prob = self.sample(observations)
                losses["alpha"] = (-self.log_alpha.exp()
                                   * (log_prob + self.target_entropy)).mean()
                step(self.optimisers["alpha"], losses["alpha"])
                self.alpha = self.log_alpha.exp().item()
                self.record(f"round.{number}.log_prob_alpha", log_prob)
                self.record(f"round.{number}.loss.alpha", losses["alpha"])
                self.record(f"round.{number}.alpha", self.alpha)
        self.update_targets()
        self.record("alpha_after", self.alpha)
        return losses


class StableBaselines3(_Sac):
    """Stable-Baselines3's: temperature, critics, actor, targets, in each update.

    log sigma = clamp(raw, -20, 2); actions are those of [-1, 1], whatever the environment's box.
    Noise: BA at the observations, for temperature and actor; BA at the next observations.
    """

    @staticmethod
    def log_sigma(raw):
        return raw.clamp(-20, 2)

    @staticmethod
    def correction(squashed):
        return torch.log(1 - squashed**2 + EPSILON)

    @staticmethod
    def stretch(squashed):
        return squashed

    def update(self, observations, actions, rewards, next_observations, terminated):
        """One update from a batch of BS, BA, B1, BS, B1; the losses as numbers."""
        self.updates += 1
        losses = {}
        policy_actions, log_prob = self.sample(observations)
        alpha = self.log_alpha.detach().exp()
        alpha_loss = -(self.log_alpha * (log_prob + self.target_entropy).detach()).mean()
        losses["alpha"] = alpha_loss.item()
        self.record("alpha_before", alpha)
        self.record("policy_actions", policy_actions)
        self.record("log_prob", log_prob)
        step(self.optimisers["alpha"], alpha_loss)

        target = self.bootstrap(rewards, next_observations, terminated, alpha)
        q_1, q_2 = self.both(observations, actions)
        critic_loss = 0.5 * (F.mse_loss(q_1, target) + F.mse_loss(q_2, target))
        losses["critic"] = critic_loss.item()
        self.record("q_1", q_1)
        self.record("q_2", q_2)
        step(self.optimisers["critics"], critic_loss)

        q = torch.min(*self.both(observations, policy_actions))
        actor_loss = (alpha * log_prob - q).mean()
        losses["actor"] = actor_loss.item()
        step(self.optimisers["actor"], actor_loss)
        self.update_targets()
        self.record("alpha_after", self.log_alpha.exp())
        return losses
