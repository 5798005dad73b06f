"""Times vector environments through Python: rtg's module beside Gymnasium, step by step in turn.

    python benches/peers/python_steps.py [--rows 64] [--steps 4000]

Needs the module `returntogo` and Gymnasium in this Python. A round is a few calls of `step()` of each
side, one side after the other, so that a machine whose speed drifts treats all alike. Prints the
median and the least time of a step and the median of the rounds' ratios; then where the time of rtg's
step goes, by leaving parts out.
"""

import argparse
import json
import statistics
import time

import gymnasium
import numpy as np

import returntogo

# Environment, and Gymnasium's fastest way to step many rows of it.
SIDES = [("CartPole-v1", "vector_entry_point"), ("Pendulum-v1", "sync")]
# Calls of one side before the next one's turn.
CALLS = {"vector_entry_point": 10, "sync": 2}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4000, help="of each side")
    options = parser.parse_args()
    told = {"rows": options.rows, "gymnasium": gymnasium.__version__, "numpy": np.__version__}
    for name, way in SIDES:
        told[name] = compare(name, way, options.rows, options.steps)
    print(json.dumps(told, indent=1))


def compare(name, way, rows, steps):
    """Times in microseconds."""
    ours = returntogo.make_vec(name, rows)
    peer = gymnasium.make_vec(name, rows, vectorization_mode=way)
    ours.action_space.seed(0)
    actions = [ours.action_space.sample() for _ in range(200)]
    calls = CALLS[way]
    sides = {"rtg": ours.step, f"gymnasium ({way})": peer.step}
    for envs in (ours, peer):
        envs.reset(seed=0)
    times = {side: [] for side in sides}
    for number in range(steps // calls):
        chosen = [actions[(number * calls + call) % len(actions)] for call in range(calls)]
        for side, step in sides.items():
            began = time.perf_counter()
            for action in chosen:
                step(action)
            times[side].append((time.perf_counter() - began) / calls * 1e6)
    ratios = [theirs / own for own, theirs in zip(*times.values(), strict=True)]
    result = {side: {"median_us": round(statistics.median(taken), 3), "least_us": round(min(taken), 3)}
              for side, taken in times.items()}
    result["times as fast"] = round(statistics.median(ratios), 2)
    result["least over least"] = round(min(times[f"gymnasium ({way})"]) / min(times["rtg"]), 2)
    result["parts of rtg's step"] = parts(name, rows, actions)
    return result


def parts(name, rows, actions, calls=3000):
    """The least time of pieces of the step, in microseconds."""
    envs = returntogo.make_vec(name, rows)
    envs.reset(seed=0)
    native = envs._rows  # What VectorEnv.step calls.
    observation = np.zeros((rows, 4), dtype=np.float32)
    pieces = {
        "all": lambda action: envs.step(action),
        "the native call": native.step,
        "four new arrays and a dictionary in Python": lambda action: (
            observation.copy(), np.zeros(rows), np.zeros(rows, bool), np.zeros(rows, bool), {}),
        "an empty call": lambda action: None,
    }
    least = {}
    for piece, call in pieces.items():
        taken = []
        for number in range(calls):
            action = actions[number % len(actions)]
            began = time.perf_counter()
            call(action)
            taken.append(time.perf_counter() - began)
        least[piece] = round(min(taken) * 1e6, 3)
    return least


if __name__ == "__main__":
    main()
