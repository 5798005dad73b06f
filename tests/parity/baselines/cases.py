"""The cases of the baselines' parity fixtures: hyperparameters, weights, batches and noise.

Everything is drawn from NumPy's PCG64 with the case's own seed. Batches hold the corners that the
losses have; `make_baseline_fixtures.py` asserts that they are there.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from .awac import Awac
from .bc import Bc
from .bcq import DiscreteBcq
from .cql import Cql, D3rlpyCql
from .discrete import DiscreteAwac, DiscreteIql
from .edac import Edac
from .fqe import FittedQ
from .iql import Iql
from .ppo import Ppo, collection
from .q_learning import QLearning
from .rebrac import Rebrac
from .rvs import Rvs
from .sac import CleanRl, StableBaselines3
from .td3 import Td3
from .td3_bc import Td3Bc

OBSERVATION, ACTION, HIDDEN, BATCH, UPDATES = 11, 3, (32, 32), 32, 3
# Where numbers start that are learned and are no weights.
SCALARS = {"log_alpha": -0.7, "log_alpha_prime": 0.4, "actor.log_std_multiplier": 1.3,
           "actor.log_std_offset": -0.8}
# Cases whose first row is zeros and whose critics' hidden biases are negative: every ReLU is off
# there, and the values are the last biases. EDAC's gradients at the action vanish, two actions of
# double DQN tie, and a quantile is its target exactly.
DEAD = ("edac", "edac_two_members", "dqn_sb3_double_dueling", "discrete_cql_quantiles")
LAST_BIASES = {
    # Three advantages and the value.
    "dqn_sb3_double_dueling": np.array([0.3, 0.3, -0.2, 0.1]),
    # Five quantiles of three actions.
    "discrete_cql_quantiles": np.tile([-0.5, -0.125, 0.25, 0.5, 1.0], 3),
}
# sigma below this is left without noise: float32 does not resolve (u - mean) / sigma there.
SMALLEST_LOG_SIGMA = -4.0
# Largest |u| of a sample: float32 does not resolve 1 - tanh(u)^2 far beyond.
LARGEST_UNSQUASHED = 3.0


@dataclass(frozen=True)
class Case:
    """One fixture. `hyperparameters` are the keyword arguments of the learner."""

    name: str
    algorithm: str
    recipe: str
    seed: int
    hyperparameters: dict = field(default_factory=dict)
    # The actions of the batch: their bounds.
    low: tuple = (-1.0,) * ACTION
    high: tuple = (1.0,) * ACTION
    hidden: tuple = HIDDEN

    @property
    def discrete(self):
        return self.hyperparameters.get("discrete", False)

    def learner(self, dtype):
        """The learner with the case's weights, in float32 or float64."""
        kinds = {"bc": Bc, "rvs": Rvs, "td3": Td3, "td3_bc": Td3Bc, "iql": Iql, "awac": Awac,
                 "rebrac": Rebrac,
                 "cql": D3rlpyCql if self.recipe == "d3rlpy" else Cql, "edac": Edac,
                 "dqn": QLearning, "discrete_cql": QLearning, "discrete_bcq": DiscreteBcq,
                 "discrete_iql": DiscreteIql, "discrete_awac": DiscreteAwac,
                 "ppo": Ppo, "fqe": FittedQ,
                 "sac": CleanRl if self.recipe == "cleanrl" else StableBaselines3}
        torch.set_default_dtype(dtype)
        learner = kinds[self.algorithm](OBSERVATION, ACTION, self.hidden, **self.hyperparameters)
        torch.set_default_dtype(torch.float32)
        set_weights(self, learner)
        return learner


TD3_BC = dict(discount=0.99, tau=0.005, policy_noise=0.2, noise_clip=0.5, policy_delay=2,
              alpha=2.5, learning_rate=3e-4)
# The schedule ends after ten steps, so that three of them are seen to fall.
IQL = dict(discount=0.99, tau=0.005, expectile=0.7, beta=3.0, learning_rate=3e-4,
           schedule_steps=10)
SAC = dict(discount=0.99, tau=0.005, actor_learning_rate=3e-4)
AWAC = dict(discount=0.99, tau=0.005, temperature=1 / 3, learning_rate=3e-4)
REBRAC = dict(discount=0.99, tau=0.005, policy_noise=0.2, noise_clip=0.5, policy_delay=2,
              actor_penalty=0.1, critic_penalty=0.5, learning_rate=1e-3)
# Few samples: with ten some ReLU's input is always next to zero.
CQL = dict(discount=0.99, tau=0.005, samples=3, temperature=1.0, actor_learning_rate=3e-5,
           critic_learning_rate=3e-4)
EDAC = dict(discount=0.99, tau=0.005, actor_learning_rate=3e-4, critic_learning_rate=3e-4,
            alpha_learning_rate=3e-4)
TD3 = dict(discount=0.99, tau=0.005, policy_noise=0.2, noise_clip=0.5, policy_delay=2)
DISCRETE = dict(discrete=True, discount=0.99)
LOW, HIGH = (-1.0, -2.0, 0.0), (3.0, 2.0, 0.5)

# Seeds are chosen: with others a gradient near zero or a ReLU near its kink lets float32, through
# Adam's division, move a weight by more than the tolerance. The script asserts that these do not.
CASES = (
    Case("bc_continuous", "bc", "corl", 48, dict(max_action=2.0, learning_rate=3e-4),
         low=(-2.0,) * ACTION, high=(2.0,) * ACTION),
    Case("bc_discrete", "bc", "corl", 107, dict(discrete=True, learning_rate=3e-4)),
    Case("rvs", "rvs", "authors", 40, dict(horizon=40, learning_rate=1e-3)),
    Case("rvs_discrete", "rvs", "authors", 41, dict(
        horizon=40, discrete=True, learning_rate=1e-3)),
    Case("td3_bc", "td3_bc", "corl", 17, dict(max_action=1.0, **TD3_BC)),
    Case("td3_bc_max_action_2", "td3_bc", "corl", 26, dict(max_action=2.0, **TD3_BC),
         low=(-2.0,) * ACTION, high=(2.0,) * ACTION),
    Case("td3_bc_d3rlpy", "td3_bc", "d3rlpy", 18, dict(max_action=1.0, count_from=0, **TD3_BC)),
    Case("iql_corl_gaussian", "iql", "corl", 121, IQL | dict(
        recipe="corl", deterministic=False, log_sigma_bounds=(-20.0, 2.0))),
    Case("iql_corl_deterministic", "iql", "corl", 34, IQL | dict(
        recipe="corl", deterministic=True)),
    Case("iql_paper", "iql", "paper", 35, IQL | dict(
        recipe="paper", deterministic=False, log_sigma_bounds=(-5.0, 2.0)),
        # The authors clip the actions of the data.
        low=(-1 + 1e-5,) * ACTION, high=(1 - 1e-5,) * ACTION),
    Case("iql_d3rlpy", "iql", "d3rlpy", 283, IQL | dict(
        recipe="d3rlpy", deterministic=False, log_sigma_bounds=(-5.0, 2.0))),
    Case("sac_cleanrl", "sac", "cleanrl", 104, SAC | dict(
        critic_learning_rate=1e-3, alpha_learning_rate=1e-3, policy_delay=2,
        low=LOW, high=HIGH), low=LOW, high=HIGH),
    Case("sac_sb3", "sac", "sb3", 50, SAC | dict(
        critic_learning_rate=3e-4, alpha_learning_rate=3e-4)),
    Case("td3_cleanrl", "td3", "cleanrl", 111, TD3 | dict(
        learning_rate=3e-4, low=LOW, high=HIGH), low=LOW, high=HIGH),
    Case("td3_sb3", "td3", "sb3", 111, TD3 | dict(learning_rate=1e-3)),
    Case("awac_clip", "awac", "corl", 60, dict(AWAC | dict(temperature=0.1), weights="clip",
                                               weight_limit=10.0)),
    Case("awac_softmax", "awac", "corl", 62, dict(AWAC, weights="softmax")),
    Case("awac_d3rlpy", "awac", "d3rlpy", 62, dict(
        AWAC | dict(temperature=1.0), weights="softmax", recipe="d3rlpy", weight_decay=1e-4,
        log_sigma_bounds=(-6.0, 0.0))),
    Case("rebrac", "rebrac", "corl", 61, REBRAC),
    Case("rebrac_d3rlpy", "rebrac", "d3rlpy", 65, dict(REBRAC, lag=False, epsilon=1e-5)),
    Case("cql", "cql", "corl", 70, dict(CQL, penalty=10.0)),
    Case("cql_antmaze", "cql", "corl", 91, dict(
        CQL, penalty=5.0, lagrange=True, gap=0.8, penalty_low=3.0, max_target_backup=True)),
    Case("cql_young_geng", "cql", "young_geng", 66, dict(
        CQL | dict(actor_learning_rate=3e-4), penalty=5.0),
        # The actions of the data are clipped.
        low=(-0.999,) * ACTION, high=(0.999,) * ACTION),
    Case("cql_d3rlpy", "cql", "d3rlpy", 81, dict(
        CQL | dict(actor_learning_rate=1e-4), penalty=5.0, alpha_learning_rate=1e-4,
        threshold=10.0)),
    Case("cal_ql", "cql", "cal_ql", 72, dict(CQL, penalty=10.0)),
    Case("edac_sac_n", "edac", "sac_n", 61, dict(EDAC, members=3, eta=0.0), hidden=(24, 24)),
    Case("edac", "edac", "edac", 61, dict(EDAC, members=5, eta=1.0), hidden=(20, 20)),
    Case("edac_two_members", "edac", "edac", 61, dict(EDAC, members=2, eta=5.0),
         hidden=(20, 20)),
    Case("dqn_cleanrl", "dqn", "cleanrl", 60, DISCRETE | dict(
        recipe="cleanrl", learning_rate=2.5e-4, loss="squared", update_every=10,
        target_every=20)),
    Case("dqn_sb3_double_dueling", "dqn", "sb3", 60, DISCRETE | dict(
        recipe="sb3", learning_rate=1e-4, update_every=10, target_every=20,
        gradient_limit=0.5, double=True, dueling=True)),
    Case("discrete_cql", "discrete_cql", "d3rlpy", 62, DISCRETE | dict(
        recipe="d3rlpy", learning_rate=6.25e-5, target_every=2, double=True, alpha=1.0)),
    Case("discrete_cql_quantiles", "discrete_cql", "rtg", 63, DISCRETE | dict(
        recipe="d3rlpy", learning_rate=3e-4, tau=0.005, double=True, alpha=4.0, quantiles=5)),
    Case("discrete_bcq", "discrete_bcq", "authors", 66, DISCRETE | dict(learning_rate=3e-4)),
    Case("discrete_iql", "discrete_iql", "rtg", 121, DISCRETE | dict(
        tau=0.005, expectile=0.7, beta=3.0, weight_limit=2.0, learning_rate=3e-4,
        schedule_steps=10)),
    Case("discrete_awac", "discrete_awac", "rtg", 130, DISCRETE | dict(
        tau=0.005, temperature=1 / 3, weight_limit=2.0, learning_rate=3e-4)),
    Case("fqe", "fqe", "d3rlpy", 71, dict(
        learning_rate=1e-4, discount=0.99, target_every=2, reward_scale=0.25)),
    Case("fqe_discrete", "fqe", "d3rlpy", 72, DISCRETE | dict(
        learning_rate=1e-4, target_every=2, reward_scale=0.25)),
    Case("ppo_cleanrl", "ppo", "cleanrl", 68, dict(
        recipe="cleanrl", discrete=True, learning_rate=2.5e-4, bootstrap=False, clip=0.002,
        value_clip=0.002, entropy_weight=0.01)),
    Case("ppo_sb3", "ppo", "sb3", 69, dict(
        recipe="sb3", learning_rate=3e-4, bootstrap=True, clip=0.004, clip_schedule="linear",
        value_clip=0.004, entropy_weight=0.01)),
)


def parameters(learner):
    """Every parameter by name, those of target networks included."""
    named = {f"{network}.{name}": parameter for network, module in learner.networks.items()
             for name, parameter in module.named_parameters()}
    named |= {name: getattr(learner, name) for name in ("log_alpha", "log_alpha_prime")
              if hasattr(learner, name)}
    return named


@torch.no_grad()
def set_weights(case, learner):
    """PyTorch's distribution of initial weights, then last layers wide enough to reach corners.

    Targets differ from the networks that they follow, as they do after some training.
    """
    rng = np.random.default_rng(1000 + case.seed)
    named = parameters(learner)
    last = f"net.{3 * len(case.hidden)}" if case.algorithm == "rebrac" else "net.4"
    for name, parameter in named.items():
        weight = named.get(name.replace("bias", "weight"))
        inputs = weight.shape[1] if weight.dim() > 1 else 1
        drawn = rng.uniform(-1.0, 1.0, parameter.shape) / np.sqrt(inputs)
        layer = name.split(".", 1)[1] if "." in name else name
        if layer == f"{last if 'critic' in name else 'net.4'}.weight" and not case.discrete:
            wide = name.startswith(("critic_1_target", "critic_2_target"))
            drawn *= (3.0 if name.startswith("actor") and case.name == "awac_d3rlpy" else
                      8.0 if name.startswith("actor") else
                      12.0 if wide and case.algorithm == "iql" else 4.0)
        if case.algorithm in ("discrete_iql", "discrete_awac") and layer == "net.4.weight":
            # Values far apart, so that some weights reach their limit.
            drawn *= 4.0
        if layer == "net.4.weight" and name.startswith("bcq_2"):
            # Some actions become unlikely.
            drawn *= 12.0
        if layer == "mean.weight":
            drawn *= 3.0
        if layer == "log_std.weight":
            # The first dimension reaches both bounds of log sigma.
            drawn[0] *= 40.0 if case.recipe == "cleanrl" else 200.0
        if case.algorithm == "cql" and name == "actor.net.4.weight":
            drawn *= 0.5
            drawn[ACTION] *= 40.0
        if layer == "log_std":
            # The last one is above the upper bound.
            drawn = np.array([0.3, -0.5, 2.5])
        if case.algorithm == "rebrac" and "critic" in name and (".2." in name or ".5." in name):
            # Gain and bias of a LayerNorm.
            drawn = 0.3 * drawn + (1.0 if name.endswith("weight") else 0.0)
        if name in SCALARS:
            drawn = np.array([SCALARS[name]])
        if case.algorithm == "iql" and name.startswith(("value", "critic")):
            if layer in ("net.0.bias", "net.2.bias"):
                drawn = -np.abs(drawn)
            # At a row of zeros only the last biases are left: its advantage is exactly zero.
            drawn = {"value.net.4.bias": np.array([0.25]),
                     "critic_1_target.net.4.bias": np.array([0.25]),
                     "critic_2_target.net.4.bias": np.array([1.0])}.get(name, drawn)
        if case.name in DEAD and name.startswith(("critic.", "q.")):
            if layer in ("net.0.bias", "net.2.bias"):
                drawn = -np.abs(drawn)
            elif layer == "net.4.bias":
                drawn = LAST_BIASES.get(case.name, drawn)
        parameter.copy_(torch.from_numpy(drawn.astype(np.float32)))
    if case.algorithm == "sac" and case.recipe == "cleanrl":
        learner.alpha = learner.log_alpha.exp().item()


def batch(case, number):
    """The arrays of an update by name, float32: BS, BA, B."""
    if case.algorithm == "ppo":
        return collection(case.seed, number, OBSERVATION, ACTION, BATCH, case.discrete)
    rng = np.random.default_rng([2000 + case.seed, number])
    observations = rng.standard_normal((BATCH, OBSERVATION))
    low, high = np.array(case.low), np.array(case.high)
    actions = low + (high - low) * rng.uniform(0.0, 1.0, (BATCH, ACTION))
    # At the bounds exactly.
    actions[1], actions[2], actions[3, 0] = low, high, high[0]
    next_observations = observations + 0.3 * rng.standard_normal(observations.shape)
    rewards = rng.normal(1.0, 1.0, BATCH)
    rewards[4] *= 10.0
    terminated = np.zeros(BATCH)
    terminated[[5, 11, 12, BATCH - 1]] = 1.0
    if case.algorithm == "iql" or case.name in DEAD:
        observations[0], actions[0] = 0.0, 0.0
    if case.name in DEAD and case.discrete:
        next_observations[0], terminated[0], rewards[0] = 0.0, 0.0, 0.25
    if case.name == "discrete_cql_quantiles":
        terminated[0] = 1.0
    if case.discrete:
        actions = np.eye(ACTION)[rng.integers(ACTION, size=BATCH)]
    arrays = dict(observations=observations, actions=actions)
    if case.algorithm == "rvs":
        timesteps = rng.integers(0, 40, BATCH)
        # The first step of an episode, and the last one of the longest.
        timesteps[:2] = 0, 39
        arrays |= dict(returns_to_go=20.0 * rng.standard_normal(BATCH) * (1 - timesteps / 40),
                       timesteps=timesteps)
    elif case.algorithm != "bc":
        arrays |= dict(rewards=rewards, next_observations=next_observations,
                       terminated=terminated)
    if case.algorithm == "fqe" and case.discrete:
        following_actions = np.eye(ACTION)[rng.integers(ACTION, size=BATCH)]
        arrays |= dict(following_actions=following_actions)
    elif case.algorithm in ("rebrac", "fqe"):
        following_actions = low + (high - low) * rng.uniform(0.0, 1.0, (BATCH, ACTION))
        following_actions[terminated == 1] = 0.0
        arrays |= dict(following_actions=following_actions)
    if case.recipe == "cal_ql":
        arrays |= dict(returns=rng.normal(0.0, 1.0, BATCH))
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}


def noise(case, number):
    """The BA standard normals of an update, in the order in which the learner draws them."""
    rng = np.random.default_rng([3000 + case.seed, number])
    if case.algorithm in ("bc", "rvs", "iql", "dqn", "discrete_cql", "discrete_bcq", "discrete_iql",
                          "discrete_awac", "ppo", "fqe"):
        return []
    if case.algorithm in ("td3", "td3_bc", "rebrac"):
        drawn = rng.standard_normal((BATCH, ACTION))
        # Beyond the clip, on both sides.
        drawn[0], drawn[1] = 3.0, -4.0
        return [torch.from_numpy(drawn.astype(np.float32))]
    arrays = batch(case, number)
    here, there = arrays["observations"], arrays["next_observations"]
    if case.algorithm == "awac":
        return [torch.from_numpy(rng.standard_normal((BATCH, ACTION)).astype(np.float32))
                for _ in range(2)]
    if case.algorithm == "cql":
        count = case.hyperparameters["samples"]
        many = [array.unsqueeze(1).repeat(1, count, 1) for array in (here, there)]
        there = many[1] if case.hyperparameters.get("max_target_backup") else there
        normal = lambda source: resolvable(
            case, rng.standard_normal((*source.shape[:-1], ACTION)), source)
        uniform = lambda: torch.from_numpy(
            rng.uniform(-1.0, 1.0, (BATCH, count, ACTION)).astype(np.float32))
        if case.recipe == "d3rlpy":
            return [uniform(), *map(normal, many), normal(here)]
        return [normal(here), normal(there), uniform(), *map(normal, many)]
    if case.algorithm == "edac":
        sources = [here, here, there]
    elif case.recipe == "sb3":
        sources = [here, there]
    else:
        sources = [there] + ([here] * 4 if number % 2 == 0 else [])
    return [resolvable(case, rng.standard_normal((BATCH, ACTION)), source) for source in sources]


def resolvable(case, drawn, observations):
    """The draws where float32 can follow: see the two limits above."""
    learner = case.learner(torch.float64)
    with torch.no_grad():
        mean, raw = (output.numpy() for output in learner.actor(observations.double()))
        log_sigma = learner.log_sigma(torch.from_numpy(raw)).numpy()
    sigma = np.exp(log_sigma)
    drawn = np.clip(drawn, (-LARGEST_UNSQUASHED - mean) / sigma,
                    (LARGEST_UNSQUASHED - mean) / sigma)
    drawn[log_sigma < SMALLEST_LOG_SIGMA] = 0.0
    return torch.from_numpy(drawn.astype(np.float32))
