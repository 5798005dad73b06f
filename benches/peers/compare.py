"""Times rtg and PyTorch in turn on this machine and prints medians and ratios.

    python benches/peers/compare.py [--rtg target/release/rtg] [--rounds 3] [--threads 2] [--wide]

Each round runs ours, then the peers, so that a machine whose speed drifts treats both alike. The
figure of a round is a median over its steps; the figure printed is the median over the rounds.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def answer(command):
    output = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
    return json.loads(output.stdout[output.stdout.index("{"):])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rtg", default="target/release/rtg")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--wide", action="store_true", help="also width 512, 4 layers, 4 heads")
    options = parser.parse_args()
    python, threads = sys.executable, ["--threads", options.threads]
    step, act = HERE / "pytorch_step.py", HERE / "pytorch_act.py"
    sizes = {"published size": []}
    if options.wide:
        sizes["width 512"] = ["--width", 512, "--layers", 4, "--heads", 4]

    for name, size in sizes.items():
        few = ["--steps", 6, "--warmup", 1] if size else ["--steps", 12]
        commands = {
            "ours": [options.rtg, "bench", "train-step", "--json", *size, *threads],
            "sdpa": [python, step, "--attention", "sdpa", *size, *threads, *few],
            "mha": [python, step, "--attention", "mha", *size, *threads, *few],
        }
        times = {side: [] for side in commands}
        shares = []
        for _ in range(options.rounds):
            for side, command in commands.items():
                result = answer(command)
                times[side].append(result["median_ms"])
                if side == "ours":
                    shares.append(result["peak_share"])
        medians = {side: statistics.median(values) for side, values in times.items()}
        print(f"train step, {name}, {options.threads} threads: ours {medians['ours']:.1f} ms "
              f"({100 * statistics.median(shares):.0f} % of peak), "
              f"sdpa {medians['sdpa']:.1f} ms (ratio {medians['ours'] / medians['sdpa']:.3f}), "
              f"mha {medians['mha']:.1f} ms (ratio {medians['ours'] / medians['mha']:.3f})", flush=True)

    one, many, peer = [], [], []
    for _ in range(options.rounds):
        one.append(answer([options.rtg, "bench", "act", "--json", *threads])["median_ms"])
        many.append(answer([options.rtg, "bench", "act", "--rows", 100, "--json", *threads])["per_second"])
        peer.append(answer([python, act, *threads])["median_ms"])
    one, many, peer = map(statistics.median, (one, many, peer))
    print(f"act, 1 row: ours {one:.3f} ms, sdpa {peer:.3f} ms (ratio {one / peer:.3f})")
    print(f"act, 100 rows: ours {many:.0f} actions/s, sdpa batch-1 loop {1e3 / peer:.0f} (ratio {many * peer / 1e3:.2f})")


if __name__ == "__main__":
    main()
