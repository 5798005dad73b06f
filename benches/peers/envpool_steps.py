"""Counts envpool's steps a second: rows of one environment on a number of threads, resets included.

    envpool_steps.py [--env Hopper-v5] [--rows 64] [--threads 2] [--seconds 2] [--repetitions 3]

Actions are drawn beforehand. A row counts as a step, the best repetition is told. Prints one JSON
object. envpool brings its own MuJoCo, another version than Python's.
"""

import argparse
import json
import time

import envpool
import numpy as np


def main():
    parser = argparse.ArgumentParser(description="count envpool's steps a second")
    parser.add_argument("--env", default="Hopper-v5")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one repetition")
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    rates = [measure(arguments.env, arguments.rows, arguments.threads, arguments.seconds)
             for _ in range(arguments.repetitions)]
    print(json.dumps({"what": "env envpool", "env": arguments.env, "rows": arguments.rows,
                      "threads": arguments.threads, "per_second": round(max(rates)),
                      "envpool": envpool.__version__, "numpy": np.__version__}))


def measure(name, rows, threads, seconds):
    """Environment steps a second."""
    envs = envpool.make_gymnasium(name, num_envs=rows, num_threads=threads, seed=0)
    space = envs.action_space
    space.seed(0)
    actions = [np.array([space.sample() for _ in range(rows)]) for _ in range(200)]
    envs.reset()
    steps = 0
    began = time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        # A tenth at a time, for environments that take long.
        for turn in range(20):
            envs.step(actions[(steps + turn) % len(actions)])
        steps += 20
    envs.close()
    return steps * rows / elapsed


if __name__ == "__main__":
    main()
