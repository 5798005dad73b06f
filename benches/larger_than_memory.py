"""Draws from a store three times larger than a memory limit, beside one that fits.

    cargo build --release -p rtg-datasets --example larger_than_memory
    python benches/larger_than_memory.py target/release/examples/larger_than_memory DIRECTORY [--limit-gb 1]

Needs Linux and the right to make a control group (root, usually); `ulimit -v` would count mapped
files as memory, which they are not. DIRECTORY, on a real disk, gets two stores, of 3 and of 0.3
times the limit. Both are drawn from inside the group while a training step's time is spent between
batches. Prints JSON; full speed means that the larger store's step takes as long as the smaller's.
"""
import argparse
import json
import os
import subprocess
from pathlib import Path

GROUP = "rtg-larger-than-memory"


def make_group(limit):
    """A control group of either version with this limit in bytes; gives its directory."""
    old, new = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    if old.is_dir():
        group, file = old / GROUP, "memory.limit_in_bytes"
    else:
        group, file = new / GROUP, "memory.max"
    group.mkdir(exist_ok=True)
    (group / file).write_text(str(limit))
    return group


def peak(group):
    for name in ["memory.max_usage_in_bytes", "memory.peak"]:
        if (group / name).exists():
            return int((group / name).read_text()) // 2**20
    return None


def run(program, group, *arguments):
    def enter():
        (group / "cgroup.procs").write_text(str(os.getpid()))

    output = subprocess.run(
        [program, *map(str, arguments)], preexec_fn=enter, stdout=subprocess.PIPE, check=True, text=True
    )
    return output.stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--limit-gb", type=float, default=1.0)
    parser.add_argument("--work-ms", type=float, nargs="+", default=[5.0, 20.0, 50.0])
    parser.add_argument("--batches", type=int, default=300)
    options = parser.parse_args()
    group = make_group(int(options.limit_gb * 1e9))
    try:
        for name, size in [("fits", 0.3), ("larger", 3.0)]:
            store = options.directory / name
            if not store.exists():
                print(name, run(options.program, group, "make", store, size * options.limit_gb))
            for work in options.work_ms:
                answer = run(options.program, group, "draw", store, work, options.batches)
                print(json.dumps({"store": name, "limit_gb": options.limit_gb, **json.loads(answer)}))
        print(json.dumps({"group_peak_mb": peak(group)}))
    finally:
        group.rmdir()


if __name__ == "__main__":
    main()
