"""CQL (Kumar et al., 2020) as CORL's `cql.py` and d3rlpy compute it; the code is ours."""

import copy
import math

import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F

from .networks import Critic, adam, ignore, perceptron, soft_update, step


class Policy(nn.Module):
    """Mean and log sigma, each (..)A; `scaled` by two trained numbers, a factor and an offset."""

    def __init__(self, observation, action, hidden, scaled=True):
        super().__init__()
        self.net, self.scaled = perceptron(observation, hidden, 2 * action), scaled
        if not scaled:
            return
        self.log_std_multiplier = nn.Parameter(torch.ones(1))
        self.log_std_offset = nn.Parameter(-torch.ones(1))

    def forward(self, observations):
        mean, raw = self.net(observations).chunk(2, -1)
        if not self.scaled:
            return mean, raw
        return mean, self.log_std_multiplier * raw + self.log_std_offset


class Cql:
    """SAC offline, with a penalty on values of actions that the data do not have.

    Draws in each update: through `noise(like)` BA at the observations, BA (BnA with
    `max_target_backup`) at the next ones; through `uniform(like)` BnA; through `noise` BnA at the
    observations and BnA at the next ones. With returns it is Cal-QL (Nakamoto et al., 2023), as
    CORL's `cal_ql.py`.
    """

    def __init__(self, observation, action, hidden, discount=0.99, tau=0.005, penalty=10.0,
                 samples=10, temperature=1.0, actor_learning_rate=3e-5, critic_learning_rate=3e-4,
                 lagrange=False, gap=0.8, penalty_low=-math.inf, max_target_backup=False):
        self.actor = Policy(observation, action, hidden)
        self.critic_1 = Critic(observation, action, hidden)
        self.critic_2 = Critic(observation, action, hidden)
        self.log_alpha = nn.Parameter(torch.zeros(1))
        self.networks = {
            "actor": self.actor, "critic_1": self.critic_1, "critic_2": self.critic_2,
            "critic_1_target": copy.deepcopy(self.critic_1),
            "critic_2_target": copy.deepcopy(self.critic_2),
        }
        self.optimisers = {
            "alpha": torch.optim.Adam([self.log_alpha], lr=actor_learning_rate),
            "actor": adam([self.actor], actor_learning_rate),
            "critics": adam([self.critic_1, self.critic_2], critic_learning_rate),
        }
        self.lagrange, self.gap = lagrange, gap
        if lagrange:
            self.log_alpha_prime = nn.Parameter(torch.ones(1))
            self.optimisers["alpha_prime"] = torch.optim.Adam(
                [self.log_alpha_prime], lr=critic_learning_rate)
        self.discount, self.tau, self.penalty, self.samples = discount, tau, penalty, samples
        self.temperature, self.penalty_low = temperature, penalty_low
        self.max_target_backup = max_target_backup
        self.noise, self.record = torch.randn_like, ignore
        self.uniform = lambda like: torch.empty_like(like).uniform_(-1.0, 1.0)

    @staticmethod
    def log_sigma(raw):
        return raw.clamp(-20.0, 2.0)

    def sample(self, observations, repeat=None):
        """Actions (..)A and their log-probabilities; with `repeat` n of each: BnA and Bn."""
        if repeat is not None:
            observations = observations.unsqueeze(1).repeat(1, repeat, 1)
        mean, raw = self.actor(observations)
        sigma = self.log_sigma(raw).exp()
        unsquashed = mean + sigma * self.noise(mean)
        correction = 2.0 * (math.log(2.0) - unsquashed - F.softplus(-2.0 * unsquashed))
        log_prob = (Normal(mean, sigma).log_prob(unsquashed) - correction).sum(-1)
        return torch.tanh(unsquashed), log_prob

    @staticmethod
    def values(critic, observations, actions):
        """Values B of actions BA, Bn of actions BnA."""
        if actions.dim() == 3:
            observations = observations.unsqueeze(1).repeat(1, actions.shape[1], 1)
            flat = critic(observations.flatten(0, 1), actions.flatten(0, 1))
            return flat.reshape(actions.shape[:2])
        return critic(observations, actions).squeeze(-1)

    def update(self, observations, actions, rewards, next_observations, terminated, returns=None):
        """One update from a batch of BS, BA, B1, BS, B1, B1; the losses as numbers."""
        losses, networks = {}, self.networks
        rewards, terminated = rewards.squeeze(-1), terminated.squeeze(-1)
        count, width = self.samples, actions.shape[1]
        policy_actions, log_prob = self.sample(observations)
        alpha_loss = -(self.log_alpha * (log_prob - width).detach()).mean()
        losses["alpha"] = alpha_loss.item()
        alpha = self.log_alpha.exp().detach()
        self.record("alpha_before", alpha)
        self.record("log_prob", log_prob)
        q = torch.min(self.values(self.critic_1, observations, policy_actions),
                      self.values(self.critic_2, observations, policy_actions))
        actor_loss = (alpha * log_prob - q).mean()
        losses["actor"] = actor_loss.item()

        q_1 = self.values(self.critic_1, observations, actions)
        q_2 = self.values(self.critic_2, observations, actions)
        with torch.no_grad():
            repeat = count if self.max_target_backup else None
            next_actions, _ = self.sample(next_observations, repeat)
            next_q = torch.min(
                self.values(networks["critic_1_target"], next_observations, next_actions),
                self.values(networks["critic_2_target"], next_observations, next_actions))
            if self.max_target_backup:
                next_q = next_q.max(-1).values
            target = rewards + (1 - terminated) * self.discount * next_q
        self.record("target", target)
        self.record("q_1", q_1)
        self.record("q_2", q_2)
        squares = F.mse_loss(q_1, target) + F.mse_loss(q_2, target)
        losses["critic"] = squares.item()

        random_actions = self.uniform(actions.unsqueeze(1).repeat(1, count, 1))
        with torch.no_grad():
            current_actions, current_log_prob = self.sample(observations, count)
            next_actions, next_log_prob = self.sample(next_observations, count)
        differences, bounded, clipped = [], [], []
        for critic, q in ((self.critic_1, q_1), (self.critic_2, q_2)):
            of_policy = [self.values(critic, observations, policy_actions)
                         for policy_actions in (next_actions, current_actions)]
            if returns is not None:
                bounded += [(values < returns).to(values.dtype) for values in of_policy]
                of_policy = [torch.maximum(values, returns) for values in of_policy]
            candidates = torch.cat([
                self.values(critic, observations, random_actions) + width * math.log(2.0),
                of_policy[0] - next_log_prob, of_policy[1] - current_log_prob], 1)
            outside = self.temperature * torch.logsumexp(candidates / self.temperature, 1)
            clipped.append((outside - q < self.penalty_low).to(q.dtype))
            differences.append((outside - q).clamp(min=self.penalty_low).mean())
        self.record("difference", sum(differences) / 2)
        if self.penalty_low > -math.inf:
            self.record("clipped", torch.stack(clipped).mean())
        if bounded:
            self.record("bounded", torch.stack(bounded).mean())
        if self.lagrange:
            alpha_prime = self.log_alpha_prime.exp().clamp(0.0, 1e6)
            terms = [alpha_prime * self.penalty * (difference - self.gap)
                     for difference in differences]
            alpha_prime_loss = -sum(terms) * 0.5
            losses["alpha_prime"] = alpha_prime_loss.item()
            self.optimisers["alpha_prime"].zero_grad()
            alpha_prime_loss.backward(retain_graph=True, inputs=[self.log_alpha_prime])
            alpha_prime = alpha_prime.detach()
            self.record("alpha_prime", alpha_prime)
            self.optimisers["alpha_prime"].step()
            conservative = sum(alpha_prime * self.penalty * (difference - self.gap)
                               for difference in differences).sum()
        else:
            conservative = self.penalty * sum(differences)
        critic_loss = squares + conservative
        losses["total"] = critic_loss.item()

        step(self.optimisers["alpha"], alpha_loss)
        self.optimisers["actor"].zero_grad()
        actor_loss.backward(retain_graph=True)
        self.optimisers["critics"].zero_grad()
        critic_loss.backward(retain_graph=True)
        self.optimisers["actor"].step()
        self.optimisers["critics"].step()
        self.record("alpha_after", self.log_alpha.exp())
        for name in ("critic_1", "critic_2"):
            soft_update(networks[f"{name}_target"], networks[name], self.tau)
        return losses


class D3rlpyCql(Cql):
    """CQL in d3rlpy's order: critics, temperature, actor, each with what the step before it left.

    The targets' actions are the greedy ones. Draws: `uniform` BnA; `noise` BnA at the observations,
    BnA at the next ones, BA at the observations for the actor.
    """

    def __init__(self, observation, action, hidden, threshold=10.0, alpha_learning_rate=1e-4,
                 **others):
        super().__init__(observation, action, hidden, **others)
        self.actor = self.networks["actor"] = Policy(observation, action, hidden, scaled=False)
        self.optimisers |= {
            "actor": adam([self.actor], others["actor_learning_rate"]),
            "alpha": torch.optim.Adam([self.log_alpha], lr=alpha_learning_rate),
        }
        self.threshold = threshold

    def update(self, observations, actions, rewards, next_observations, terminated):
        """One update from a batch of BS, BA, B1, BS, B1; the losses as numbers."""
        losses, networks = {}, self.networks
        rewards, terminated = rewards.squeeze(-1), terminated.squeeze(-1)
        count, width = self.samples, actions.shape[1]
        with torch.no_grad():
            next_actions = torch.tanh(self.actor(next_observations)[0])
            next_q = torch.min(
                self.values(networks["critic_1_target"], next_observations, next_actions),
                self.values(networks["critic_2_target"], next_observations, next_actions))
            target = rewards + (1 - terminated) * self.discount * next_q
            random_actions = self.uniform(actions.unsqueeze(1).repeat(1, count, 1))
            current_actions, current_log_prob = self.sample(observations, count)
            next_samples, next_log_prob = self.sample(next_observations, count)
        squares, differences = 0.0, []
        for number, critic in enumerate((self.critic_1, self.critic_2), 1):
            q = self.values(critic, observations, actions)
            self.record(f"q_{number}", q)
            squares = squares + F.mse_loss(q, target)
            candidates = torch.cat([
                self.values(critic, observations, current_actions) - current_log_prob,
                self.values(critic, observations, next_samples) - next_log_prob,
                self.values(critic, observations, random_actions) - math.log(0.5 ** width)], 1)
            differences.append((torch.logsumexp(candidates, 1) - q).mean())
        self.record("target", target)
        self.record("difference", sum(differences) / 2)
        losses["critic"] = squares.item()
        loss = squares + sum(self.penalty * (difference - self.threshold)
                             for difference in differences)
        losses["total"] = loss.item()
        step(self.optimisers["critics"], loss)

        policy_actions, log_prob = self.sample(observations)
        self.record("log_prob", log_prob)
        self.record("alpha_before", self.log_alpha.exp())
        alpha_loss = -(self.log_alpha.exp() * (log_prob.detach() - width)).mean()
        losses["alpha"] = alpha_loss.item()
        step(self.optimisers["alpha"], alpha_loss)
        self.record("alpha_after", self.log_alpha.exp())
        q = torch.min(self.values(self.critic_1, observations, policy_actions),
                      self.values(self.critic_2, observations, policy_actions))
        actor_loss = (self.log_alpha.exp().detach() * log_prob - q).mean()
        losses["actor"] = actor_loss.item()
        step(self.optimisers["actor"], actor_loss)
        for name in ("critic_1", "critic_2"):
            soft_update(networks[f"{name}_target"], networks[name], self.tau)
        return losses
