"""Times our environments, Gymnasium's and envpool's in turn on this machine; prints medians and ratios.

    python benches/peers/compare_steps.py [--pace PROGRAM] [--rounds 7] [--seconds 1]

Each round runs every side for a moment, so that a machine whose speed drifts treats all alike; a
ratio is the median of the rounds' ratios. PROGRAM is the benchmark `pace` of the crate rtg-envs,
which cargo builds if it is not given. MuJoCo is the one that this Python imports.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess

import mujoco

import envpool_steps
import gymnasium_steps

mujoco.set_mju_user_warning(lambda message: None)  # MuJoCo's own handler writes a log file
# What is compared: name, rows, threads, Gymnasium's way, whether envpool is asked.
COMPARISONS = [
    ("Hopper-v5", 1, 1, "single", False),
    ("Hopper-v5", 64, 2, None, True),
    ("CartPole-v1", 64, 1, "vector_entry_point", True),
    ("Pendulum-v1", 64, 1, "sync", True),
]


def build():
    root = pathlib.Path(__file__).resolve().parents[2]
    command = ["cargo", "bench", "-p", "rtg-envs", "--bench", "pace", "--no-run", "--message-format", "json"]
    lines = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.splitlines()
    return next(m["executable"] for m in map(json.loads, lines) if m.get("executable"))


def ours(program, name, rows, threads, seconds):
    command = [program, name, str(rows), str(threads), str(seconds)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pace", help="the built benchmark `pace`")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    program = options.pace or build()
    os.environ["RTG_MUJOCO"] = str(pathlib.Path(mujoco.__file__).parent)
    for name, rows, threads, way, with_envpool in COMPARISONS:
        sides = {"ours": lambda: ours(program, name, rows, threads, options.seconds)}
        if way:
            sides[f"Gymnasium ({way})"] = lambda: gymnasium_steps.measure(name, way, rows, options.seconds)
        if with_envpool:
            sides["envpool"] = lambda: envpool_steps.measure(name, rows, threads, options.seconds)
        rates = {side: [] for side in sides}
        for _ in range(options.rounds):
            for side, measure in sides.items():
                rates[side].append(measure())
        print(f"{name}, {rows} rows, {threads} threads: ours {statistics.median(rates['ours']):,.0f} a second", end="")
        for side in list(sides)[1:]:
            ratios = [a / b for a, b in zip(rates["ours"], rates[side], strict=True)]
            print(f"; {side} {statistics.median(rates[side]):,.0f}, ratio {statistics.median(ratios):.2f} "
                  f"({min(ratios):.2f} to {max(ratios):.2f})", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
