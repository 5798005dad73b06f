"""Trains the `corl` recipe in PyTorch on a Minari dataset and evaluates it in Gymnasium.

    MINARI_DATASETS_PATH=... python benches/peers/pytorch_learn.py sb3/pendulum/mixed-v0 \
        --steps 3000 --targets=-150,-500 [--episodes 100] [--seed 0]

The learning side of the comparison: same network (tests/parity/corl.py), windows, optimiser,
warm-up of a tenth of the run, return scale and evaluation seeds as `rtg train`. Prints one JSON
object. Needs torch, minari, gymnasium and h5py.
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
from corl import Corl  # noqa: E402

CONTEXT, WIDTH, LAYERS, BATCH = 20, 128, 3, 64


class Data:
    """Episodes as arrays, and windows of them padded on the right."""

    def __init__(self, name, scale, discrete):
        dataset = minari.load_dataset(name)
        self.env = dataset.env_spec.id
        self.episodes = []
        for episode in dataset.iterate_episodes():
            steps = len(episode.rewards)
            actions = (np.eye(discrete, dtype=np.float32)[episode.actions] if discrete
                       else episode.actions.reshape(steps, -1).astype(np.float32))
            to_go = episode.rewards[::-1].cumsum()[::-1] / scale
            self.episodes.append((episode.observations[:steps], actions, to_go))
        observations = np.concatenate([episode[0] for episode in self.episodes]).astype(np.float64)
        self.mean, self.std = observations.mean(0), observations.std(0) + 1e-6
        lengths = np.array([len(episode[2]) for episode in self.episodes])
        self.share = lengths / lengths.sum()

    def normalise(self, observations):
        return ((observations - self.mean) / self.std).astype(np.float32)

    def batch(self, rng):
        rows = []
        for index in rng.choice(len(self.episodes), BATCH, p=self.share):
            observations, actions, to_go = self.episodes[index]
            start = rng.integers(len(to_go))
            window = slice(start, start + CONTEXT)
            valid = len(to_go[window])
            pad = CONTEXT - valid
            rows.append((
                np.pad(self.normalise(observations[window]), ((0, pad), (0, 0))),
                np.pad(actions[window], ((0, pad), (0, 0))),
                np.pad(to_go[window].astype(np.float32), (0, pad)),
                np.arange(start, start + CONTEXT),
                np.pad(np.ones(valid, np.float32), (0, pad)),
            ))
        return [torch.as_tensor(np.stack(column)) for column in zip(*rows)]


def evaluate(model, data, target, scale, episodes, discrete, width):
    """Greedy returns of `episodes` episodes at once, seeds 42, 43, ..."""
    envs = [gymnasium.make(data.env) for _ in range(episodes)]
    limit = envs[0].spec.max_episode_steps
    observed = np.stack([env.reset(seed=42 + row)[0] for row, env in enumerate(envs)])
    observations = torch.zeros(episodes, limit + 1, observed.shape[1])
    actions = torch.zeros(episodes, limit + 1, width)
    to_go = torch.zeros(episodes, limit + 1)
    to_go[:, 0] = target / scale
    observations[:, 0] = torch.as_tensor(data.normalise(observed))
    returns, alive = np.zeros(episodes), np.ones(episodes, bool)
    for step in range(limit):
        window = slice(max(0, step + 1 - CONTEXT), step + 1)
        count = window.stop - window.start
        times = torch.arange(window.start, window.stop).expand(episodes, count)
        with torch.no_grad():
            out = model(observations[:, window], actions[:, window], to_go[:, window], times,
                        torch.ones(episodes, count))[:, -1]
        chosen = torch.nn.functional.one_hot(out.argmax(1), width).float() if discrete else out
        actions[:, step] = chosen
        for row in np.flatnonzero(alive):
            action = int(out[row].argmax()) if discrete else out[row].numpy()
            observed, reward, terminated, truncated, _ = envs[row].step(action)
            returns[row] += reward
            alive[row] = not (terminated or truncated)
            observations[row, step + 1] = torch.as_tensor(data.normalise(observed))
            to_go[row, step + 1] = to_go[row, step] - float(reward) / scale
        if not alive.any():
            break
    return returns


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--targets", type=lambda text: [float(part) for part in text.split(",")], required=True)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--scale", type=float, default=100.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    space = minari.load_dataset(options.dataset).action_space
    discrete = int(space.n) if hasattr(space, "n") else 0
    data = Data(options.dataset, options.scale, discrete)
    observation, width = data.mean.size, discrete or space.shape[0]
    episode = gymnasium.make(data.env).spec.max_episode_steps
    model = Corl(observation, width, WIDTH, LAYERS, 1, episode + CONTEXT, CONTEXT,
                 max_action=1.0 if discrete else float(space.high[0]), discrete=bool(discrete), dropout=0.1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4, betas=(0.9, 0.999))
    warmup = max(options.steps // 10, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min((step + 1) / warmup, 1))
    model.train()
    began, losses = time.perf_counter(), []
    for _ in range(options.steps):
        observations, actions, to_go, times, mask = data.batch(rng)
        predicted = model(observations, actions, to_go, times, mask)
        loss = model.loss(predicted, actions, mask, bool(discrete))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    seconds = time.perf_counter() - began
    model.eval()
    results = []
    for target in options.targets:
        returns = evaluate(model, data, target, options.scale, options.episodes, discrete, width)
        results.append({"target": target, "return_mean": returns.mean(), "return_std": returns.std()})
    print(json.dumps({
        "dataset": options.dataset, "steps": options.steps, "seed": options.seed,
        "ms_per_step": 1e3 * seconds / options.steps, "final_loss": float(np.mean(losses[-20:])),
        "targets": results,
    }))


if __name__ == "__main__":
    main()
