"""Trains on a dataset three times larger than a memory limit, and on one that fits.

    cargo build --release
    python benches/larger_than_memory.py target/release/rtg DIRECTORY [--limit-gb 0.5] [--steps 600]

Needs Linux, h5py and the right to make a control group (root, usually); `ulimit -v` would count
mapped files as memory, which they are not. DIRECTORY, on a real disk, gets two datasets in Minari's
format with HalfCheetah's widths, of 3 and of 0.3 times the limit in the sampler's units (float32; the
store takes twice that), and their stores. `rtg train` then runs on each inside the group, in turn,
with `store = mapped` and the published sizes. The time of a step is the median over spans of 20
steps. Prints JSON; full speed means a ratio of 1.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
from pathlib import Path

import h5py
import numpy as np

GROUP = "rtg-larger-than-memory"
OBSERVATION, ACTION, EPISODE, SPAN = 17, 6, 1000, 20


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


def box(width, bound):
    return json.dumps(
        dict(type="Box", dtype="float32", shape=[width], low=[-bound] * width, high=[bound] * width)
    )


def make(dataset, size):
    """A dataset of `size` bytes in the sampler's units."""
    data = dataset / "data"
    if (data / "metadata.json").exists():
        return
    data.mkdir(parents=True, exist_ok=True)
    episodes = -(-int(size) // (4 * (OBSERVATION + ACTION + 1) * EPISODE))
    rng, end = np.random.default_rng(0), np.arange(EPISODE) == EPISODE - 1
    with h5py.File(data / "main_data.hdf5", "w", track_order=True) as file:
        for index in range(episodes):
            group = file.create_group(f"episode_{index}")
            group.attrs.update(dict(id=index, total_steps=EPISODE, seed=index))
            group["observations"] = rng.standard_normal((EPISODE + 1, OBSERVATION), dtype=np.float32)
            group["actions"] = rng.uniform(-1, 1, (EPISODE, ACTION)).astype(np.float32)
            group["rewards"] = rng.random(EPISODE)
            group["terminations"], group["truncations"] = np.zeros(EPISODE, bool), end
    metadata = dict(
        total_episodes=episodes, total_steps=episodes * EPISODE, data_format="hdf5",
        observation_space=box(OBSERVATION, 1e9), action_space=box(ACTION, 1.0),
        # A world that cannot be stepped: nothing is evaluated.
        env_spec=json.dumps(dict(id="Generated-v0", max_episode_steps=EPISODE)),
        dataset_id=dataset.name, minari_version="0.5.3",
    )
    (data / "metadata.json").write_text(json.dumps(metadata))


def train(program, group, dataset, run, options):
    """Trains inside the group; gives milliseconds of a step for each span of steps."""

    def enter():
        (group / "cgroup.procs").write_text(str(os.getpid()))

    shutil.rmtree(run, ignore_errors=True)
    subprocess.run(
        [
            program, "train", "--dataset", dataset, "--steps", str(options.steps), "--run-dir", run,
            "--device", "cpu", "--threads", str(options.threads), "--set", "store=mapped",
            "--set", f"logging.every={SPAN}",
        ],
        preexec_fn=enter, stdout=subprocess.DEVNULL, check=True,
        env={**os.environ, "RTG_CACHE": str(dataset.parent / "cache")},
    )
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    spent = [(line["step"], line["step"] * line["speed/ms_per_step"]) for line in lines if "speed/ms_per_step" in line]
    return [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(spent, spent[1:])]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--limit-gb", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    program, directory = options.program.resolve(), options.directory.resolve()
    limit = int(options.limit_gb * 1e9)
    sizes = {"fits": 0.3, "larger": 3.0}
    for name, size in sizes.items():
        make(directory / name, size * limit)
    group = make_group(limit)
    medians = {name: [] for name in sizes}
    try:
        for _ in range(options.rounds):
            for name in sizes:
                spans = train(program, group, directory / name, directory / f"run-{name}", options)
                medians[name].append(statistics.median(spans))
        fits, larger = (statistics.median(medians[name]) for name in sizes)
        print(json.dumps({
            "what": "training from a mapped store", "limit_gb": options.limit_gb, "steps": options.steps,
            "ms_per_step": medians, "larger_over_fits": larger / fits, "group_peak_mb": peak(group),
        }))
    finally:
        group.rmdir()


if __name__ == "__main__":
    main()
