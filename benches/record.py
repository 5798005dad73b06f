"""Measures this checkout and compares it with earlier measurements on the same kind of machine.

    python benches/record.py [--rtg target/release/rtg] [--rounds 5] [--limit 1.2] [--keep]

Every measurement is a call of `rtg bench`: kernels (a training step, updates of small networks),
sampler, environment steps, acting. All are taken in turn, `--rounds` times, and the least time
counts, so that work of other programs weighs little. Prints each beside the newest entry of
`benches/history.jsonl` from the same processor and exits with 1 where one takes more than `--limit`
times as long; `--keep` appends the result to the history.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HISTORY = ROOT / "benches" / "history.jsonl"
# Name: the words after `rtg bench`, and the key of the milliseconds, or of what is done in a second.
MEASUREMENTS = {
    "training step": ("train-step --threads 1", "least_ms"),
    "training step, width 512": ("train-step --threads 1 --width 512 --layers 4 --heads 4", "least_ms"),
    "training step, convolution": ("train-step --threads 1 --mixer convolution", "least_ms"),
    "decision": ("act --threads 1", "least_ms"),
    "100 decisions": ("act --threads 1 --rows 100", "least_ms"),
    "update, td3_bc": ("update td3_bc --threads 1", "least_ms"),
    "update, sac": ("update sac --threads 1", "least_ms"),
    "batch of windows": ("load builtin/pendulum/random", "per_second"),
    "CartPole steps": ("env CartPole-v1 --threads 1", "per_second"),
    "Pendulum steps": ("env Pendulum-v1 --threads 1", "per_second"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rtg", default=ROOT / "target" / "release" / "rtg")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=1.2)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    entry = {
        "date": datetime.date.today().isoformat(),
        "commit": told("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "version": told(str(arguments.rtg), "--version").split()[-1],
        "processor": processor(),
        "load": round(os.getloadavg()[0], 1),
        "milliseconds": measure(arguments.rtg, arguments.rounds),
    }
    before = earlier(entry["processor"])
    slower = show(entry, before, arguments.limit)
    if arguments.keep:
        with HISTORY.open("a") as history:
            history.write(json.dumps(entry) + "\n")
    if slower:
        sys.exit(f"slower than {arguments.limit} times the time of {before['commit']}: {', '.join(slower)}")


def measure(rtg, rounds):
    """The least milliseconds of each measurement; of rates, those of one."""
    least = {}
    for _ in range(rounds):
        for name, (words, key) in MEASUREMENTS.items():
            answer = json.loads(told(str(rtg), "bench", *words.split(), "--json"))
            milliseconds = answer[key] if key.endswith("_ms") else 1e3 / answer[key]
            least[name] = min(least.get(name, milliseconds), milliseconds)
    return {name: float(f"{milliseconds:.4g}") for name, milliseconds in least.items()}


def show(entry, before, limit):
    """Prints all measurements; returns the names of those that have become slower."""
    old = before["milliseconds"] if before else {}
    print(f"{entry['commit']} on {entry['processor']}, load {entry['load']}"
          + (f"; before: {before['commit']}, {before['date']}, load {before['load']}" if before else ""))
    slower = []
    for name, milliseconds in entry["milliseconds"].items():
        ratio = milliseconds / old[name] if name in old else None
        print(f"{name:28} {milliseconds:10.4g} ms" + (f"  {ratio:.2f} of before" if ratio else ""))
        if ratio and ratio > limit:
            slower.append(name)
    return slower


def earlier(processor):
    """The newest entry of this kind of machine."""
    lines = HISTORY.read_text().splitlines() if HISTORY.exists() else []
    entries = [entry for entry in map(json.loads, lines) if entry["processor"] == processor]
    return entries[-1] if entries else None


def processor():
    """The model of the processor and how many cores there are."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown'}, {os.cpu_count()} cores"


def told(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
