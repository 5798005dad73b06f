"""Counts Gymnasium's steps a second: one environment, and 64 rows of a vector environment.

    gymnasium_steps.py [--rows 64] [--seconds 2] [--repetitions 3]

Rows in lock-step come as `vector_entry_point`, NumPy code for all rows at once, where Gymnasium
has it (CartPole does, Pendulum does not), and as `sync`, one Python environment a row. Actions
are drawn beforehand. A row counts as a step, the best repetition is told. Prints one JSON object.
"""

import argparse
import json
import time

import gymnasium
import numpy as np

ENVIRONMENTS = ("CartPole-v1", "Pendulum-v1")


def main():
    parser = argparse.ArgumentParser(description="count Gymnasium's steps a second")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one repetition")
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    results = []
    for name in ENVIRONMENTS:
        modes = ["single", "sync"]
        if gymnasium.spec(name).vector_entry_point:
            modes.append("vector_entry_point")
        for mode in modes:
            rows = 1 if mode == "single" else arguments.rows
            rates = [measure(name, mode, rows, arguments.seconds)
                     for _ in range(arguments.repetitions)]
            results.append({"env": name, "mode": mode, "rows": rows,
                            "per_second": round(max(rates))})
    print(json.dumps({"what": "env gymnasium", "threads": 1, "results": results,
                      "gymnasium": gymnasium.__version__, "numpy": np.__version__}))


def measure(name, mode, rows, seconds):
    """Environment steps a second."""
    if mode == "single":
        env = gymnasium.make(name)
        step = single_stepper(env)
    else:
        env = gymnasium.make_vec(name, num_envs=rows, vectorization_mode=mode)
        step = env.step
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(200)]
    env.reset(seed=0)
    steps = 0
    began = time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        for action in actions:
            step(action)
        steps += len(actions)
    env.close()
    return steps * rows / elapsed


def single_stepper(env):
    """A step that starts the next episode by itself, as vector environments do."""
    def step(action):
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return step


if __name__ == "__main__":
    main()
