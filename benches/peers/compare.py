"""Times rtg and PyTorch in turn, call by call, on this machine and prints medians and paired ratios.

    python benches/peers/compare.py [--rtg target/release/rtg] [--rounds 40] [--threads 2] [--wide] [--contexts 50,100]
                                    [--instructions avx2]
    python benches/peers/compare.py --settings    PyTorch with each of its settings

All sides stay loaded and wait; each round asks every side for one step, or for 20 decisions, in turn
and in changing order. So a machine whose speed drifts treats all alike, and a ratio is the median of
the ratios of neighbours.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent

# The settings of PyTorch that may be faster than its defaults; compiling needs a C++ compiler.
SETTINGS = {
    "sdpa": [],
    "fused AdamW": ["--optimiser", "fused"],
    "compiled": ["--compile"],
    "compiled, fused": ["--compile", "--optimiser", "fused"],
    "bf16": ["--bf16"],
    "compiled, bf16": ["--compile", "--bf16"],
}

# What limits a side's libraries to some instructions: PyTorch's own kernels, oneDNN and MKL.
LIMITS = {
    "avx2": {"RTG_SIMD": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
             "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}

# PyTorch's threads still spin for a moment after a call.
PAUSE = 0.01


class Side:
    """A program that does its work once for each line it is sent."""

    def __init__(self, command):
        words = [str(word) for word in command]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.milliseconds = []

    def turn(self, calls):
        """The median of this many calls without a pause between them."""
        milliseconds = []
        for _ in range(calls):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
            if not answer:
                sys.exit(f"{self.process.args[:3]} ended")
            milliseconds.append(float(answer))
        self.milliseconds.append(statistics.median(milliseconds))
        time.sleep(PAUSE)

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def __str__(self):
        first, median, third = statistics.quantiles(self.milliseconds, n=4)
        return f"{median:.3f} ms (least {min(self.milliseconds):.3f}, half within {first:.3f} to {third:.3f})"


def race(commands, rounds, calls=1):
    """The sides after `rounds` rounds of `calls` calls a side; the first two are not counted."""
    sides = {name: Side(command) for name, command in commands.items()}
    order = list(sides)
    for round_ in range(rounds + 2):
        for name in order:
            sides[name].turn(calls)
        order = order[1:] + order[:1]
        if round_ == 1:
            for side in sides.values():
                side.milliseconds.clear()
    for side in sides.values():
        side.close()
    return sides


def paired(ours, other):
    return statistics.median(a / b for a, b in zip(ours.milliseconds, other.milliseconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rtg", default="target/release/rtg")
    parser.add_argument("--before", help="another rtg to time as well, such as a former version")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--wide", action="store_true", help="also width 512, 4 layers, 4 heads")
    parser.add_argument("--contexts", default="", help="also windows of these lengths, such as 50,100")
    parser.add_argument("--settings", action="store_true",
                        help="only a step of the published size, with PyTorch compiled, in bfloat16, and so on")
    parser.add_argument("--instructions", choices=list(LIMITS),
                        help="limits both sides to these, as on a machine that has no others; else each takes its best")
    options = parser.parse_args()
    os.environ.update(LIMITS.get(options.instructions, {}))
    python, threads = sys.executable, ["--threads", options.threads]
    step, act = HERE / "pytorch_step.py", HERE / "pytorch_act.py"
    ours = {"ours": options.rtg}
    if options.before:
        ours["before"] = options.before
    instructions = json.loads(subprocess.run(
        [options.rtg, "bench", "act", "--json"], check=True, capture_output=True, text=True).stdout)["instructions"]
    print(f"our instructions: {instructions}; {options.threads} threads", flush=True)

    if options.settings:
        commands = {"ours": [options.rtg, "bench", "train-step", "--on-request", *threads]}
        commands["ours, bf16"] = [*commands["ours"], "--precision", "bf16"]
        for name, how in SETTINGS.items():
            commands[name] = [python, step, "--on-request", "--attention", "sdpa", *how, *threads]
        print("train step, published size:")
        show(race(commands, options.rounds))
        return

    sizes = {"published size": []}
    for context in filter(None, options.contexts.split(",")):
        sizes[f"context {context}"] = ["--context", context]
    if options.wide:
        sizes["width 512"] = ["--width", 512, "--layers", 4, "--heads", 4]
    for name, size in sizes.items():
        commands = {side: [program, "bench", "train-step", "--on-request", *size, *threads]
                    for side, program in ours.items()}
        for attention in ["sdpa", "mha"]:
            commands[attention] = [python, step, "--on-request", "--attention", attention, *size, *threads]
        sides = race(commands, options.rounds if name != "width 512" else max(6, options.rounds // 5))
        print(f"train step, {name}:")
        show(sides)

    acting = {side: [program, "bench", "act", "--on-request", *threads] for side, program in ours.items()}
    others = {"one row, streaming": ["--acting", "streaming"], "100 rows in lock-step": ["--rows", 100],
              "100 rows in lock-step, streaming": ["--rows", 100, "--acting", "streaming"]}
    for name, how in others.items():
        acting[name] = [options.rtg, "bench", "act", "--on-request", *how, *threads]
    acting["sdpa"] = [python, act, "--on-request", *threads]
    sides = race(acting, options.rounds, calls=20)
    others = {name: sides.pop(name) for name in others}
    print("act, 1 row:")
    show(sides)
    for name, side in others.items():
        faster = (100 if "100" in name else 1) / paired(side, sides["sdpa"])
        print(f"act, {name}: {side}, {faster:.2f} times sdpa's loop of one row")


def show(sides):
    for name, side in sides.items():
        ratio = "" if name == "ours" else f"; ours takes {paired(sides['ours'], side):.3f} of it, pair by pair"
        print(f"  {name:>15}: {side}{ratio}", flush=True)


if __name__ == "__main__":
    main()
