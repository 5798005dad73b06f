"""AWAC (Nair et al., 2020) as CORL's `awac.py` and d3rlpy compute it; the code is ours."""

import copy
import math

import torch
from torch.distributions import Normal
from torch.nn import functional as F

from .networks import Critic, Gaussian, adam, ignore, soft_update, step


class Awac:
    """Twin critics, and an actor that clones the data's actions, weighted by advantage.

    `weights`: `clip` is min(exp(advantage / temperature), limit), `softmax` the softmax over the
    batch times the batch's rows. Noise, drawn through `noise(like)`: BA at the next observations,
    then BA at the observations.

    `recipe` "d3rlpy": the mean is a tanh and a sigmoid bounds log sigma; the targets are those of SAC
    with a temperature of 1; the actor's loss is a sum over the batch, and its Adam has a weight decay.
    """

    def __init__(self, observation, action, hidden, discount=0.99, tau=0.005, temperature=1 / 3,
                 weight_limit=100.0, weights="clip", learning_rate=3e-4,
                 log_sigma_bounds=(-20.0, 2.0), recipe="corl", weight_decay=0.0):
        self.recipe = recipe
        self.actor = Gaussian(observation, action, hidden, log_sigma_bounds,
                              squash=recipe == "d3rlpy", smooth=recipe == "d3rlpy")
        self.critic_1 = Critic(observation, action, hidden)
        self.critic_2 = Critic(observation, action, hidden)
        self.networks = {
            "actor": self.actor, "critic_1": self.critic_1, "critic_2": self.critic_2,
            "critic_1_target": copy.deepcopy(self.critic_1),
            "critic_2_target": copy.deepcopy(self.critic_2),
        }
        self.optimisers = {
            "actor": adam([self.actor], learning_rate, weight_decay),
            "critic_1": adam([self.critic_1], learning_rate),
            "critic_2": adam([self.critic_2], learning_rate),
        }
        self.discount, self.tau, self.temperature = discount, tau, temperature
        self.weight_limit, self.weights = weight_limit, weights
        self.noise, self.record = torch.randn_like, ignore

    def sample(self, observations):
        normal = self.actor(observations)
        return (normal.mean + normal.stddev * self.noise(normal.mean)).clamp(-1.0, 1.0)

    def soft_sample(self, observations):
        """SAC's actions, and their log-probabilities."""
        unbounded, sigma = self.actor.net[:-1](observations), self.actor(observations).stddev
        drawn = unbounded + sigma * self.noise(unbounded)
        slope = 2.0 * (math.log(2.0) - drawn - F.softplus(-2.0 * drawn))
        log_prob = Normal(unbounded, sigma).log_prob(drawn) - slope
        return drawn.tanh(), log_prob.sum(-1, keepdim=True)

    def least(self, observations, actions, which=""):
        return torch.min(self.networks[f"critic_1{which}"](observations, actions),
                         self.networks[f"critic_2{which}"](observations, actions))

    def update(self, observations, actions, rewards, next_observations, terminated):
        """One update from a batch of BS, BA, B1, BS, B1; the losses as numbers."""
        losses = {}
        with torch.no_grad():
            if self.recipe == "d3rlpy":
                next_actions, next_log_prob = self.soft_sample(next_observations)
            else:
                next_actions, next_log_prob = self.sample(next_observations), 0.0
            next_q = self.least(next_observations, next_actions, "_target") - next_log_prob
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

        with torch.no_grad():
            policy_actions = self.sample(observations)
            value = self.least(observations, policy_actions)
            advantage = self.least(observations, actions) - value
            if self.weights == "clip":
                weight = (advantage / self.temperature).exp().clamp(max=self.weight_limit)
            else:
                weight = F.softmax(advantage / self.temperature, dim=0) * len(advantage)
        cloning = -self.actor(observations).log_prob(actions).sum(-1, keepdim=True)
        actor_loss = (cloning * weight).mean()
        if self.recipe == "d3rlpy":
            actor_loss = (cloning * weight).sum()
        losses["actor"] = actor_loss.item()
        self.record("policy_actions", policy_actions)
        self.record("advantage", advantage)
        self.record("weight", weight)
        self.record("cloning", cloning)
        step(self.optimisers["actor"], actor_loss)
        for name in ("critic_1", "critic_2"):
            soft_update(self.networks[f"{name}_target"], self.networks[name], self.tau)
        return losses
