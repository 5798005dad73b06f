"""Times one update of a baseline in PyTorch, and ours in turn with it.

    python benches/peers/updates.py td3_bc|iql|awac|rebrac|cql|edac|sac|td3 \\
        [--program target/release/rtg] [--rounds 5]

Hopper's sizes: 11 observations, 3 actions, and each algorithm's published networks and batches: two
hidden layers of 256, three in AWAC, ReBRAC, CQL and EDAC; 256 rows, in ReBRAC 1024; ten critics in
EDAC. PyTorch's side is written as CORL writes the offline ones (ReBRAC is JAX there) and as CleanRL
writes SAC and TD3: the networks and losses of tests/parity/baselines, batches drawn as those codes draw
them from 100,000 rows, losses fetched with `.item()` when they fetch them. What those codes send to
a logger is omitted. Every second update of TD3+BC, TD3, ReBRAC and SAC also moves the actor; the time
of an update is that of such a pair, halved.

In each round both sides run with each number of threads, one after the other, so that a machine
whose speed drifts treats both alike. The figure of a round is the median over its updates, the
figure printed the median over the rounds; the ratio is between the best of both.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "parity"))
from baselines.awac import Awac  # noqa: E402
from baselines.cql import Cql  # noqa: E402
from baselines.edac import Edac  # noqa: E402
from baselines.iql import Iql  # noqa: E402
from baselines.rebrac import Rebrac  # noqa: E402
from baselines.sac import CleanRl  # noqa: E402
from baselines.td3 import Td3  # noqa: E402
from baselines.td3_bc import Td3Bc  # noqa: E402

OBSERVATION, ACTION, ROWS = 11, 3, 100_000
TWO, THREE = (256, 256), (256, 256, 256)
# The learner, its hidden layers, the rows of a batch, and the updates after which the actor has
# moved once.
KINDS = {
    "td3_bc": (Td3Bc, TWO, 256, 2), "iql": (Iql, TWO, 256, 1), "awac": (Awac, THREE, 256, 1),
    "rebrac": (Rebrac, THREE, 1024, 2), "cql": (Cql, THREE, 256, 1), "edac": (Edac, THREE, 256, 1),
    "sac": (CleanRl, TWO, 256, 2), "td3": (Td3, TWO, 256, 2),
}
BOX = dict(low=[-1.0] * ACTION, high=[1.0] * ACTION)
OPTIONS = {
    "sac": BOX | dict(actor_learning_rate=3e-4, critic_learning_rate=1e-3,
                      alpha_learning_rate=1e-3),
    "td3": BOX,
}
CLEANRL_LOGS_EVERY = 100


def rows():
    """Made-up transitions: observations, actions, rewards, next observations, terminated, and the
    actions that follow."""
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((ROWS, OBSERVATION), np.float32)
    return (observations, rng.uniform(-1, 1, (ROWS, ACTION)).astype(np.float32),
            rng.standard_normal((ROWS, 1), np.float32),
            observations + 0.1 * rng.standard_normal((ROWS, OBSERVATION), np.float32),
            (rng.random((ROWS, 1)) < 0.005).astype(np.float32),
            rng.uniform(-1, 1, (ROWS, ACTION)).astype(np.float32))


class TensorTable:
    """CORL's way: tensors, indexed with an array of NumPy's random integers."""

    def __init__(self, columns, rows):
        self.columns, self.rows = [torch.tensor(column) for column in columns], rows

    def batch(self):
        indices = np.random.randint(0, ROWS, size=self.rows)
        return [column[indices] for column in self.columns]


class ArrayTable:
    """CleanRL's way, that of Stable-Baselines3: arrays by row and environment, then copies."""

    def __init__(self, columns, rows):
        self.columns, self.rows = [column[:, None, :] for column in columns], rows

    def batch(self):
        indices = np.random.randint(0, ROWS, size=self.rows)
        environments = np.random.randint(0, high=1, size=(self.rows,))
        return [torch.tensor(column[indices, environments, :]) for column in self.columns]


class Peer:
    """PyTorch's side: a learner, its table, and what it reads back from its losses."""

    def __init__(self, algorithm):
        kind, hidden, batch, self.period = KINDS[algorithm]
        self.cleanrl = algorithm in OPTIONS
        self.learner = kind(OBSERVATION, ACTION, hidden, **OPTIONS.get(algorithm, {}))
        columns = rows() if algorithm == "rebrac" else rows()[:5]
        self.table = (ArrayTable if self.cleanrl else TensorTable)(columns, batch)
        self.updates = 0

    def update(self):
        self.updates += 1
        losses = self.learner.update(*self.table.batch())
        if self.cleanrl and self.updates % CLEANRL_LOGS_EVERY == 0:
            for loss in losses.values():
                loss.item()

    def median_ms(self, threads, updates):
        torch.set_num_threads(threads)
        milliseconds = []
        # The first periods warm up caches and threads.
        for number in range(updates // self.period + 5):
            began = time.perf_counter()
            for _ in range(self.period):
                self.update()
            if number >= 5:
                milliseconds.append(1e3 * (time.perf_counter() - began) / self.period)
        return statistics.median(milliseconds)


def ours_ms(program, algorithm, threads):
    command = [program, "bench", "update", algorithm, "--threads", str(threads), "--json"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answer = json.loads(output[output.index("{"):])
    assert (answer["what"], answer["algorithm"], answer["threads"]) == (
        "update", algorithm, threads), f"another benchmark answered: {answer}"
    return answer["median_ms"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algorithm", choices=KINDS)
    parser.add_argument("--program", help="the rtg to time; PyTorch alone without it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=200, help="PyTorch's in each round")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()

    np.random.seed(0)
    torch.manual_seed(0)
    peer, times = Peer(options.algorithm), {}
    for _ in range(options.rounds):
        for threads in options.threads:
            if options.program:
                times.setdefault(("rtg", threads), []).append(
                    ours_ms(options.program, options.algorithm, threads))
            times.setdefault(("pytorch", threads), []).append(
                peer.median_ms(threads, options.updates))
    medians = {key: statistics.median(values) for key, values in times.items()}
    best = {side: min(value for (other, _), value in medians.items() if other == side)
            for side, _ in medians}
    ratio = best["rtg"] / best["pytorch"] if options.program else None

    if options.json:
        print(json.dumps({
            "what": "update", "algorithm": options.algorithm, "rounds": options.rounds,
            "sides": [{"side": side, "threads": threads, "median_ms": medians[side, threads],
                       "rounds_ms": values} for (side, threads), values in times.items()],
            "ratio": ratio,
        }))
        return
    batch = KINDS[options.algorithm][2]
    print(f"{options.algorithm}, one update of {batch} rows, {options.rounds} rounds")
    print(f"{'side':<9}{'threads':>8}{'median ms':>11}{'least':>9}{'most':>9}")
    for (side, threads), values in sorted(times.items()):
        print(f"{side:<9}{threads:>8}{medians[side, threads]:>11.3f}"
              f"{min(values):>9.3f}{max(values):>9.3f}")
    if ratio is not None:
        print(f"ours over PyTorch's, each at its best: {ratio:.3f}")


if __name__ == "__main__":
    main()
