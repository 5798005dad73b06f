"""Trains TD3+BC in PyTorch on a Minari dataset as CORL does and evaluates it in Gymnasium.

    MINARI_DATASETS_PATH=... python benches/peers/td3_bc_hopper.py [sb3/hopper/medium-v0] \
        --updates 100000 [--seed 0] [--episodes 10] [--every 5000]

The learning side of the comparison: the learner of tests/parity/baselines with CORL's values, its
rows (the last step of a truncated episode is dropped, and the dataset's last one, as by D4RL's
`qlearning_dataset`), observations normalised by mean and standard deviation + 1e-3 of the kept rows,
rewards as they are. Evaluation is greedy, on episodes seeded 42, 43, ... as `rtg evaluate` does.
Prints one JSON object. Needs torch, minari, gymnasium, mujoco and h5py.
"""

import argparse
import json
import pathlib
import sys
import time

import gymnasium
import minari
import numpy as np
import torch

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "parity"))
from baselines.td3_bc import Td3Bc  # noqa: E402

HIDDEN, BATCH, NORMALISER_EPSILON = (256, 256), 256, 1e-3
# Losses at the end of a report are means over this many updates.
RECENT = 1000


class Table:
    """The rows that CORL would learn from: observations and next ones normalised, all float32."""

    def __init__(self, dataset):
        columns = [[] for _ in range(5)]
        for episode in dataset.iterate_episodes():
            kept = len(episode.rewards) - int(episode.truncations[-1])
            for column, values in zip(columns, (
                    episode.observations[:-1], episode.actions, episode.rewards,
                    episode.observations[1:], episode.terminations)):
                column.append(np.asarray(values, dtype=np.float64)[:kept])
            last_kept = kept == len(episode.rewards)
        observations, actions, rewards, next_observations, terminated = (
            np.concatenate(column)[:-1 if last_kept else None] for column in columns)
        self.mean = observations.mean(0)
        self.std = observations.std(0) + NORMALISER_EPSILON
        self.columns = [torch.tensor(column, dtype=torch.float32) for column in (
            self.normalise(observations), actions, rewards[:, None],
            self.normalise(next_observations), terminated[:, None])]
        self.rows = len(rewards)

    def normalise(self, observations):
        return (observations - self.mean) / self.std

    def batch(self):
        indices = np.random.randint(0, self.rows, size=BATCH)
        return [column[indices] for column in self.columns]


def evaluate(actor, table, env, episodes):
    """Returns and lengths of greedy episodes, all stepped at once."""
    envs = [gymnasium.make(env) for _ in range(episodes)]
    observed = np.stack([env.reset(seed=42 + row)[0] for row, env in enumerate(envs)])
    returns, lengths = np.zeros(episodes), np.zeros(episodes, int)
    alive = np.ones(episodes, bool)
    while alive.any():
        with torch.no_grad():
            actions = actor(torch.tensor(table.normalise(observed), dtype=torch.float32)).numpy()
        for row in np.flatnonzero(alive):
            observed[row], reward, terminated, truncated, _ = envs[row].step(actions[row])
            returns[row] += reward
            lengths[row] += 1
            alive[row] = not (terminated or truncated)
    return {"return_mean": returns.mean(), "return_std": returns.std(),
            "returns": returns.round(3).tolist(), "length_mean": lengths.mean()}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", default="sb3/hopper/medium-v0")
    parser.add_argument("--updates", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--every", type=int, default=0, help="also evaluate after this many updates")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    dataset = minari.load_dataset(options.dataset)
    env, space = dataset.env_spec.id, dataset.action_space
    table = Table(dataset)
    np.random.seed(options.seed)
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    learner = Td3Bc(len(table.mean), space.shape[0], HIDDEN, max_action=float(space.high[0]))
    losses, evaluations, seconds = {"critic": [], "actor": []}, [], 0.0
    for update in range(1, options.updates + 1):
        began = time.perf_counter()
        for name, loss in learner.update(*table.batch()).items():
            losses[name].append(loss)
        seconds += time.perf_counter() - began
        if update == options.updates or options.every and update % options.every == 0:
            evaluations.append({"updates": update}
                               | evaluate(learner.actor, table, env, options.episodes))
            print(f"{update}: {evaluations[-1]['return_mean']:.1f}", file=sys.stderr)
    print(json.dumps({
        "algorithm": "td3_bc", "dataset": options.dataset, "env": env, "rows": table.rows,
        "updates": options.updates, "seed": options.seed, "episodes": options.episodes,
        "ms_per_update": 1e3 * seconds / options.updates,
        "losses": {name: float(np.mean(values[-RECENT:])) for name, values in losses.items()},
        "evaluations": evaluations,
    }))


if __name__ == "__main__":
    main()
