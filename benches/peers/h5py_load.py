"""Opens datasets with h5py as Python's minari and D4RL do, alternating with our `load`.

    python benches/peers/h5py_load.py DIRECTORY [LOAD]

Makes three datasets of a million steps in DIRECTORY unless they are there (observations of 11,
actions of 3 numbers, float32): in minari's layout in 1,000 and in 10,000 episodes, and a D4RL file
compressed with gzip. Then reads each three times, in turn with the program LOAD
(`target/release/examples/load`) if one is given, and prints least seconds and ratio. The files are
in the page cache, both programs use whatever threads they use.
"""
import json
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np

STEPS, OBSERVATION, ACTION, REPEATS = 1_000_000, 11, 3, 3


def columns(rng, steps, rows):
    end = np.arange(steps) == steps - 1
    return dict(
        observations=rng.normal(size=(rows, OBSERVATION)).astype(np.float32),
        actions=rng.uniform(-1, 1, (steps, ACTION)).astype(np.float32),
        rewards=rng.normal(size=steps), terminations=end, truncations=np.zeros(steps, bool),
    )


def box(width):
    return json.dumps(dict(type="Box", dtype="float32", shape=[width], low=[-1e9] * width, high=[1e9] * width))


def make_minari(directory, episodes):
    data = directory / f"load/{episodes}-v0" / "data"
    if (data / "metadata.json").exists():
        return data.parent
    data.mkdir(parents=True, exist_ok=True)
    rng, steps = np.random.default_rng(episodes), STEPS // episodes
    with h5py.File(data / "main_data.hdf5", "w", track_order=True) as file:
        for index in range(episodes):
            group = file.create_group(f"episode_{index}")
            group.attrs.update(dict(id=index, total_steps=steps, seed=index))
            for name, values in columns(rng, steps, steps + 1).items():
                group.create_dataset(name, data=values, chunks=True, maxshape=(None, *values.shape[1:]))
    metadata = dict(
        total_episodes=episodes, total_steps=STEPS, data_format="hdf5", observation_space=box(OBSERVATION),
        action_space=box(ACTION), dataset_id=f"load/{episodes}-v0", minari_version="0.5.3",
    )
    (data / "metadata.json").write_text(json.dumps(metadata))
    return data.parent


def make_d4rl(directory):
    path = directory / "hopper-load-v2.hdf5"
    if path.exists():
        return path
    values = columns(np.random.default_rng(0), STEPS, STEPS)
    with h5py.File(path, "w") as file:
        for name in ["observations", "actions"]:
            file.create_dataset(name, data=values[name].round(2), compression="gzip")
        file.create_dataset("rewards", data=values["rewards"].astype(np.float32), compression="gzip")
        file.create_dataset("terminals", data=np.arange(STEPS) % 777 == 776, compression="gzip")
        file.create_dataset("timeouts", data=np.zeros(STEPS, bool), compression="gzip")
    return path


def read_minari(path):
    with h5py.File(path / "data" / "main_data.hdf5") as file:
        for index in range(len(file)):
            group = file[f"episode_{index}"]
            for name in ["observations", "actions", "rewards", "terminations", "truncations"]:
                group[name][()]


def read_d4rl(path):
    with h5py.File(path) as file:
        for name in file:
            file[name][()]


def main():
    directory = Path(sys.argv[1])
    load = sys.argv[2] if len(sys.argv) > 2 else None
    subjects = [(make_minari(directory, 1000), read_minari), (make_minari(directory, 10_000), read_minari), (make_d4rl(directory), read_d4rl)]
    for path, read in subjects:
        theirs, ours = [], []
        for _ in range(REPEATS):
            began = time.perf_counter()
            read(path)
            theirs.append(time.perf_counter() - began)
            if load:
                line = subprocess.run([load, "1", path], stdout=subprocess.PIPE, check=True).stdout
                ours.append(json.loads(line)["least_secs"])
        text = f"{path.name}: h5py {min(theirs):.2f} s"
        if ours:
            text += f", ours {min(ours):.2f} s, ratio {min(ours) / min(theirs):.2f}"
        print(text, flush=True)


if __name__ == "__main__":
    main()
