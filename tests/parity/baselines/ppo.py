"""PPO (Schulman et al., 2017) as CleanRL and Stable-Baselines3 compute it; the code is ours.

A collection has T steps of each of E environments; row t E + e is environment e's step t.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical, Normal
from torch.nn import functional as F

from .networks import ignore

ENVIRONMENTS, EPOCHS, MINIBATCH = 4, 2, 16
# Updates of the whole run, over which schedules fall.
PLANNED = 10


class Tanh(nn.Module):
    """A perceptron with tanh, and a vector of log sigma for a Gaussian policy."""

    def __init__(self, inputs, hidden, outputs, log_sigma=False):
        super().__init__()
        layers = []
        for narrow, wide in pairwise([inputs, *hidden]):
            layers += [nn.Linear(narrow, wide), nn.Tanh()]
        self.net = nn.Sequential(*layers, nn.Linear(hidden[-1], outputs))
        if log_sigma:
            self.log_std = nn.Parameter(torch.zeros(outputs))

    def forward(self, observations):
        return self.net(observations)


class Ppo:
    """`bootstrap`: whether a truncated episode continues with the value of its last observation."""

    def __init__(self, observation, action, hidden, recipe, learning_rate, bootstrap, discrete=False,
                 discount=0.99, gae_lambda=0.95, clip=0.2, clip_schedule="constant",
                 value_clip=0.0, entropy_weight=0.0, value_weight=0.5, gradient_limit=0.5):
        self.actor = Tanh(observation, hidden, action, log_sigma=not discrete)
        self.critic = Tanh(observation, hidden, 1)
        self.networks = {"actor": self.actor, "critic": self.critic}
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimisers = {"both": torch.optim.Adam(self.parameters, lr=learning_rate, eps=1e-5)}
        self.recipe, self.learning_rate, self.bootstrap = recipe, learning_rate, bootstrap
        self.discrete, self.discount, self.gae_lambda = discrete, discount, gae_lambda
        self.clip, self.clip_schedule, self.value_clip = clip, clip_schedule, value_clip
        self.entropy_weight, self.value_weight = entropy_weight, value_weight
        self.gradient_limit, self.updates = gradient_limit, 0
        self.noise, self.record = None, ignore

    def distribution(self, observations, actions):
        """log pi of the actions and the entropy, B each."""
        outputs = self.actor(observations)
        if self.discrete:
            categorical = Categorical(logits=outputs)
            return categorical.log_prob(actions.argmax(1)), categorical.entropy()
        normal = Normal(outputs, self.actor.log_std.exp())
        return normal.log_prob(actions).sum(1), normal.entropy().sum(1)

    @torch.no_grad()
    def advantages(self, observations, rewards, next_observations, terminated, truncated):
        """Advantages and returns by GAE, and the values they are made of, B each."""
        values, beyond = self.critic(observations)[:, 0], self.critic(next_observations)[:, 0]
        advantages = torch.zeros_like(values)
        for row in reversed(range(len(values))):
            ends = bool(terminated[row] or truncated[row])
            goes_on = not terminated[row] and (self.bootstrap or not truncated[row])
            delta = rewards[row, 0] + self.discount * beyond[row] * goes_on - values[row]
            later = row + ENVIRONMENTS
            follows = later < len(values) and not ends
            advantages[row] = delta + (self.discount * self.gae_lambda * advantages[later]
                                       if follows else 0.0)
        return advantages, advantages + values, values, beyond

    def update(self, observations, actions, rewards, next_observations, terminated, truncated,
               order):
        """One update from a collection; means over its minibatches. `order`: epochs x B."""
        self.updates += 1
        done = self.updates - (1 if self.recipe == "cleanrl" else 0)
        remaining = 1.0 - done / PLANNED
        rate = self.learning_rate * remaining
        clip = self.clip * (remaining if self.clip_schedule == "linear" else 1.0)
        self.optimisers["both"].param_groups[0]["lr"] = rate
        advantages, returns, old_values, beyond = self.advantages(
            observations, rewards, next_observations, terminated, truncated)
        for name, numbers in (("advantages", advantages), ("returns", returns),
                              ("values", old_values), ("beyond", beyond)):
            self.record(name, numbers)
        with torch.no_grad():
            old_logs, _ = self.distribution(observations, actions)
        found = {name: [] for name in
                 ("actor", "critic", "entropy", "kl", "clipped", "norm", "held")}
        for epoch in order.long():
            for rows in epoch.split(MINIBATCH):
                logs, entropy = self.distribution(observations[rows], actions[rows])
                ratio = (logs - old_logs[rows]).exp()
                normal = advantages[rows]
                normal = (normal - normal.mean()) / (normal.std() + 1e-8)
                actor = torch.max(-normal * ratio,
                                  -normal * ratio.clamp(1 - clip, 1 + clip)).mean()
                values, wanted = self.critic(observations[rows])[:, 0], returns[rows]
                moved = values - old_values[rows]
                held = old_values[rows] + moved.clamp(-self.value_clip, self.value_clip)
                if self.recipe == "cleanrl":
                    squares = (values - wanted) ** 2
                    if self.value_clip:
                        squares = torch.max(squares, (held - wanted) ** 2)
                    critic = 0.5 * squares.mean()
                else:
                    critic = F.mse_loss(held if self.value_clip else values, wanted)
                loss = (actor - self.entropy_weight * entropy.mean()
                        + self.value_weight * critic)
                self.optimisers["both"].zero_grad()
                loss.backward()
                norm = nn.utils.clip_grad_norm_(self.parameters, self.gradient_limit)
                self.optimisers["both"].step()
                beyond_clip = ((ratio - 1).abs() > clip).to(ratio.dtype).mean()
                far = (moved.abs() > self.value_clip).to(ratio.dtype).mean()
                kl = (ratio - 1 - (logs - old_logs[rows])).mean()
                for name, value in (("actor", actor), ("critic", critic), ("kl", kl),
                                    ("entropy", entropy.mean()), ("clipped", beyond_clip),
                                    ("norm", norm), ("held", far)):
                    found[name].append(value.detach())
        mean = {name: torch.stack(values).mean() for name, values in found.items()}
        for name in ("entropy", "clipped", "held", "norm"):
            self.record(name, mean[name])
        # Both are differences of numbers near 1, and compared with that size.
        for name in ("actor", "kl"):
            self.record(f"{name}_and_1", torch.stack([mean[name], torch.ones_like(mean[name])]))
        self.record("learning_rate", rate)
        return {"critic": mean["critic"]}


def collection(seed, number, observation, action, batch, discrete):
    """The arrays of a collection by name, float32: BS, BA, B, and the orders of the epochs."""
    rng = np.random.default_rng([2000 + seed, number])
    observations = rng.standard_normal((batch, observation))
    ends = np.zeros(batch)
    terminated, truncated = ends.copy(), ends.copy()
    terminated[[5, 10, batch - 2]] = 1.0
    truncated[[8, 15, batch - 1]] = 1.0
    next_observations = rng.standard_normal((batch, observation))
    for row in range(batch - ENVIRONMENTS):
        if not terminated[row] and not truncated[row]:
            next_observations[row] = observations[row + ENVIRONMENTS]
    actions = (np.eye(action)[rng.integers(action, size=batch)] if discrete
               else rng.standard_normal((batch, action)))
    order = np.stack([rng.permutation(batch) for _ in range(EPOCHS)])
    arrays = dict(observations=observations, actions=actions, rewards=rng.normal(1.0, 1.0, batch),
                  next_observations=next_observations, terminated=terminated,
                  truncated=truncated, order=order)
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}
