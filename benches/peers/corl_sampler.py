"""Sampling batches as CORL's Decision Transformer does, for comparison with ours.

    python benches/peers/corl_sampler.py [--episodes 1000] [--steps 1000000] [--workers 0 4]

What CORL's `SequenceDataset` (algorithms/offline/dt.py) does for each sample, said again in our
own words: draw an episode with a probability proportional to its length, a start in it uniformly,
slice the arrays, normalise the observations, scale the returns-to-go, pad at the end, make
timesteps and a mask; PyTorch's DataLoader collates 64 of them. CORL runs it with four worker
processes; without any it is faster on few cores, so both are measured and the better one counts.
The data are those of `cargo run --release -p rtg-datasets --example sample_speed`: random numbers
of Hopper's widths. Prints JSON.
"""
import argparse
import json
import random
import statistics
import time

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

CONTEXT, ROWS, OBSERVATION, ACTION, SCALE = 20, 64, 11, 3, 0.001


def padded(rows):
    missing = CONTEXT - rows.shape[0]
    if missing == 0:
        return rows
    return np.pad(rows, [(0, missing)] + [(0, 0)] * (rows.ndim - 1))


class Windows(IterableDataset):
    def __init__(self, episodes, steps):
        draw = np.random.default_rng(0)
        self.episodes = []
        for _ in range(episodes):
            rewards = draw.random(steps, dtype=np.float32)
            self.episodes.append({
                "observations": draw.random((steps, OBSERVATION), dtype=np.float32),
                "actions": draw.random((steps, ACTION), dtype=np.float32),
                "returns": np.cumsum(rewards[::-1])[::-1].astype(np.float32),
            })
        everything = np.concatenate([episode["observations"] for episode in self.episodes])
        self.mean = everything.mean(0, keepdims=True)
        self.std = everything.std(0, keepdims=True) + 1e-6
        lengths = np.array([len(episode["returns"]) for episode in self.episodes])
        self.probability = lengths / lengths.sum()

    def window(self, index, start):
        episode = self.episodes[index]
        part = slice(start, start + CONTEXT)
        observations = (episode["observations"][part] - self.mean) / self.std
        actions = episode["actions"][part]
        returns = episode["returns"][part] * SCALE
        timesteps = np.arange(start, start + CONTEXT)
        count = observations.shape[0]
        mask = np.hstack([np.ones(count), np.zeros(CONTEXT - count)])
        return padded(observations), padded(actions), padded(returns), timesteps, mask

    def __iter__(self):
        while True:
            index = np.random.choice(len(self.episodes), p=self.probability)
            yield self.window(index, random.randint(0, len(self.episodes[index]["returns"]) - 1))


def measured(windows, workers, batches):
    batches_of = iter(DataLoader(windows, batch_size=ROWS, num_workers=workers))
    for _ in range(5):
        next(batches_of)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(batches):
            next(batches_of)
        times.append((time.perf_counter() - began) / batches)
    return 1e6 * statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 4])
    parser.add_argument("--batches", type=int, default=50)
    options = parser.parse_args()
    torch.manual_seed(0)
    windows = Windows(options.episodes, options.steps // options.episodes)
    figures = {workers: measured(windows, workers, options.batches) for workers in options.workers}
    print(json.dumps({
        "what": "CORL's sampler", "episodes": options.episodes, "steps": options.steps,
        "us_by_workers": figures, "best_us": min(figures.values()),
    }))


if __name__ == "__main__":
    main()
