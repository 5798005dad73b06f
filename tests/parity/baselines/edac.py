"""SAC-N and EDAC (An et al., 2021) as CORL's `sac_n.py` and `edac.py` compute them; the code is
ours."""

import copy

import torch
from torch import nn
from torch.distributions import Normal

from .networks import EnsembleCritic, SquashedGaussian, adam, ignore, soft_update, step


class Edac:
    """SAC offline with N critics: their least value is the target; `eta` 0 is SAC-N.

    Noise: BA at the observations for the temperature, BA there for the actor, BA at the next ones.
    """

    def __init__(self, observation, action, hidden, members=10, eta=1.0, discount=0.99, tau=0.005,
                 actor_learning_rate=3e-4, critic_learning_rate=3e-4, alpha_learning_rate=3e-4):
        self.actor = SquashedGaussian(observation, action, hidden)
        self.critic = EnsembleCritic(observation, action, hidden, members)
        self.log_alpha = nn.Parameter(torch.zeros(1))
        self.networks = {
            "actor": self.actor, "critic": self.critic,
            "critic_target": copy.deepcopy(self.critic),
        }
        self.optimisers = {
            "alpha": torch.optim.Adam([self.log_alpha], lr=alpha_learning_rate),
            "actor": adam([self.actor], actor_learning_rate),
            "critics": adam([self.critic], critic_learning_rate),
        }
        self.members, self.eta, self.discount, self.tau = members, eta, discount, tau
        self.target_entropy = -float(action)
        self.noise, self.record = torch.randn_like, ignore

    @staticmethod
    def log_sigma(raw):
        return raw.clamp(-5.0, 2.0)

    def sample(self, observations):
        """Actions BA drawn from the policy and their log-probabilities B."""
        mean, raw = self.actor(observations)
        sigma = self.log_sigma(raw).exp()
        unsquashed = mean + sigma * self.noise(mean)
        squashed = torch.tanh(unsquashed)
        log_prob = Normal(mean, sigma).log_prob(unsquashed) - torch.log(1 - squashed**2 + 1e-6)
        return squashed, log_prob.sum(-1)

    def diversity(self, observations, actions):
        """How alike the members' gradients at the actions are: mean over rows and pairs."""
        observations = observations.unsqueeze(0).repeat_interleave(self.members, dim=0)
        actions = actions.unsqueeze(0).repeat_interleave(self.members, dim=0).requires_grad_(True)
        values = self.critic(observations, actions)
        gradients, = torch.autograd.grad(values.sum(), actions, retain_graph=True,
                                         create_graph=True)
        gradients = gradients / (torch.norm(gradients, p=2, dim=2).unsqueeze(-1) + 1e-10)
        gradients = gradients.transpose(0, 1)
        products = gradients @ gradients.permute(0, 2, 1)
        products = (1 - torch.eye(self.members, dtype=products.dtype)) * products
        return products.sum(dim=(1, 2)).mean() / (self.members - 1)

    def update(self, observations, actions, rewards, next_observations, terminated):
        """One update from a batch of BS, BA, B1, BS, B1; the losses as numbers."""
        losses = {}
        rewards, terminated = rewards.squeeze(-1), terminated.squeeze(-1)
        with torch.no_grad():
            _, log_prob = self.sample(observations)
        alpha_loss = -(self.log_alpha * (log_prob + self.target_entropy)).mean()
        losses["alpha"] = alpha_loss.item()
        step(self.optimisers["alpha"], alpha_loss)
        alpha = self.log_alpha.exp().detach()
        self.record("alpha_after", alpha)

        policy_actions, log_prob = self.sample(observations)
        q = self.critic(observations, policy_actions).min(0).values
        actor_loss = (alpha * log_prob - q).mean()
        losses["actor"] = actor_loss.item()
        self.record("log_prob", log_prob)
        step(self.optimisers["actor"], actor_loss)

        with torch.no_grad():
            next_actions, next_log_prob = self.sample(next_observations)
            next_q = self.networks["critic_target"](next_observations, next_actions).min(0).values
            next_q = next_q - alpha * next_log_prob
            target = rewards + (1 - terminated) * self.discount * next_q
        values = self.critic(observations, actions)
        critic_loss = ((values - target.view(1, -1)) ** 2).mean(dim=1).sum(dim=0)
        losses["critic"] = critic_loss.item()
        self.record("target", target)
        self.record("q_1", values[0])
        self.record("q_2", values[1])
        if self.eta > 0:
            diversity = self.diversity(observations, actions)
            losses["diversity"] = diversity.item()
            critic_loss = critic_loss + self.eta * diversity
        step(self.optimisers["critics"], critic_loss)
        soft_update(self.networks["critic_target"], self.critic, self.tau)
        return losses
