"""Does a sweep that is killed end with the same bits as its runs alone?

    python tests/sweep_check.py RTG [--seeds 12] [--kills 3] [--seed N]

Starts a sweep of two algorithms with many seeds and kills it and its runs (SIGKILL) at random
moments, each time calling it again. Then every run must be done, with the weights that `rtg train`
gives for its plan alone, and another call must have nothing to do. 500 plans must be written in
under a second of processor time. `--slurm` must submit the runs that are left (to a stand-in for sbatch). Exits with 1
at the first difference.
"""

import argparse
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

PLAN = """
[base]
dataset = "builtin/cartpole/random"
steps = 60
threads = 1
checkpoint_every = 10
evaluation = {{ episodes = 1, final_episodes = 2, every = 30 }}
optimiser.batch_size = 8
[grid]
seed = {{ from = 1, to = {seeds} }}
[groups.small_transformer]
decision_transformer = {{ width = 16, layers = 1, context = 5 }}
[groups.clone]
algorithm = "bc"
[slurm]
time = "01:00:00"
"""


def check(truth, message):
    if not truth:
        sys.exit(f"sweep_check: {message}")


def session(leader):
    """The processes of a session, the leader first."""
    members = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # It has just ended.
        if int(fields[3]) == leader:
            members.append(int(stat.parent.name))
    return sorted(members, key=lambda member: member != leader)


def weights(run):
    return (run / "checkpoints" / "weights.safetensors").read_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rtg")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "plan.toml").write_text(PLAN.format(seeds=arguments.seeds))
        command = [arguments.rtg, "sweep", "plan.toml", "--workers", "2"]

        def rtg(*words, **more):
            return subprocess.run(
                [arguments.rtg, *words], cwd=scratch, capture_output=True, text=True, check=True, **more
            ).stdout

        stand_in = scratch / "bin" / "sbatch"
        stand_in.parent.mkdir()
        stand_in.write_text('#!/bin/sh\necho "submitted $*"\n')
        stand_in.chmod(0o755)
        path = {"env": os.environ | {"PATH": f"{stand_in.parent}:{os.environ['PATH']}"}}
        last = 2 * arguments.seeds - 1
        said = rtg("sweep", "plan.toml", "--slurm", "--limit", "4", **path)
        check(f"--array=0-{last}%4 " in said, f"sbatch was given: {said}")
        for _ in range(arguments.kills):
            process = subprocess.Popen(command, cwd=scratch, stderr=subprocess.DEVNULL, start_new_session=True)
            time.sleep(rng.uniform(0.5, 3))
            # The session: the sweep and the active runs, which have groups of their own.
            for member in session(process.pid):
                os.kill(member, signal.SIGKILL)
            process.wait()
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
        check(done.returncode == 0, f"seed {arguments.seed}: {done.stderr}")
        folder = scratch / "sweeps" / "plan"
        names = (folder / "runs.txt").read_text().split()
        check(len(names) == last + 1, f"{len(names)} runs")
        for name in names:
            rtg("train", str(folder / "plans" / f"{name}.toml"), "--run-dir", "alone")
            same = weights(scratch / "alone") == weights(folder / "runs" / name)
            check(same, f"seed {arguments.seed}: {name} has other weights than alone")
            subprocess.run(["rm", "-r", scratch / "alone"], check=True)
        check(rtg("sweep", "plan.toml", "--print") == "", "something is left to do")
        said = rtg("sweep", "plan.toml", "--slurm", **path)
        check("all runs are done" in said, f"sbatch was given: {said}")
        many = PLAN.format(seeds=250)
        (scratch / "many.toml").write_text(many)
        # Processor time, so that what else the machine does is not counted.
        before = os.times()
        rtg("sweep", "many.toml", "--print")
        after = os.times()
        took = sum(after[2:4]) - sum(before[2:4])
        check(took < 1, f"500 plans took {took:.2f} s")
    print(f"{len(names)} runs, killed {arguments.kills} times, have the bits of runs alone; 500 plans in {took:.2f} s")


if __name__ == "__main__":
    main()
