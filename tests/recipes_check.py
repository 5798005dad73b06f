"""Do the recipes of docs/sweeps.md do what they say?

    python tests/recipes_check.py RTG

Takes the code blocks of the page unchanged and runs each on a small sweep of its own: GNU
parallel, submitit (its local executor in the place of Slurm), HyperQueue (a server and a worker on
this machine), Kubernetes' JOB_COMPLETION_INDEX (the container's command, once for each index), and
Optuna's ask and tell. Then every run must be done. A recipe whose program is not installed is
skipped with a message. Exits with 1 at the first recipe that fails.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "sweeps.md"
SHORT = """
dataset = "builtin/cartpole/random"
algorithm = "bc"
steps = 20
threads = 1
evaluation = { episodes = 1, final_episodes = 2, every = 10 }
"""
PLAN = "[base]" + SHORT + "[grid]\nseed = [3, 4, 5]\n"
# The one word of each recipe that names a cluster, and its replacement on this machine.
SUBMITIT = ('cluster="slurm"', 'cluster="local"')
HYPERQUEUE = ("client = Client()", "cluster = LocalCluster()\ncluster.start_worker()\nclient = cluster.client()")


def check(truth, message):
    if not truth:
        sys.exit(f"recipes_check: {message}")


def recipe(title):
    """The code block below a heading of the page."""
    found = re.search(rf"^### {title}\n.*?^```\w+\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    check(found, f"{PAGE.name} has no recipe for {title}")
    return found.group(1)


def replaced(text, pair):
    check(text.count(pair[0]) == 1, f"the recipe says {pair[0]!r} {text.count(pair[0])} times")
    return text.replace(*pair)


class Bench:
    """A folder with a plan, and the program on PATH."""

    def __init__(self, scratch, rtg):
        self.folder = pathlib.Path(scratch)
        (self.folder / "PLAN.toml").write_text(PLAN)
        (self.folder / "TRIAL.toml").write_text(SHORT)
        program = self.folder / "bin" / "rtg"
        program.parent.mkdir()
        program.symlink_to(pathlib.Path(rtg).resolve())
        self.env = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}"}

    def run(self, command, **env):
        answer = subprocess.run(
            command, cwd=self.folder, env=self.env | env, capture_output=True, text=True, timeout=300
        )
        check(answer.returncode == 0, f"{command}: {answer.stdout}{answer.stderr}")
        return answer.stdout

    def sh(self, text, **env):
        return self.run(["sh", "-e", "-c", text], **env)

    def python(self, text):
        return self.run([sys.executable, "-c", text])


def gnu_parallel(bench):
    bench.sh(recipe("GNU parallel"))
    check(len((bench.folder / "log.tsv").read_text().splitlines()) == 4, "the job log has not 3 jobs")


def submitit(bench):
    bench.run(["rtg", "sweep", "PLAN.toml", "--print"])
    bench.python(replaced(recipe("submitit"), SUBMITIT))


def hyperqueue(bench):
    bench.run(["rtg", "sweep", "PLAN.toml", "--print"])
    text = replaced(recipe("HyperQueue"), HYPERQUEUE)
    bench.python("from hyperqueue import LocalCluster\n" + text)


def kubernetes(bench):
    bench.run(["rtg", "sweep", "PLAN.toml", "--print"])
    command = json.loads(re.search(r"command: (\[.*\])", recipe("Kubernetes")).group(1))
    for index in range(3):
        bench.run(command, JOB_COMPLETION_INDEX=str(index))


def optuna(bench):
    import optuna

    bench.python(recipe("Optuna"))
    # A second call continues the same study.
    bench.python(recipe("Optuna"))
    storage = f"sqlite:///{bench.folder / 'search.db'}"
    trials = optuna.load_study(study_name="bc", storage=storage).trials
    check(len(trials) == 8, f"{len(trials)} trials")
    points = {trial.params["optimiser.learning_rate"] for trial in trials}
    check(len(points) == 8, "the same point was tried twice")
    for trial in trials:
        run = bench.folder / "runs" / f"search-{trial.number}"
        summary = json.loads((run / "summary.json").read_text())
        check(trial.value == summary["evaluations"][-1]["return_mean"], f"trial {trial.number}: {trial.value}")
        plan = (run / "experiment.toml").read_text()
        rate = float(re.search(r"learning_rate = (.*)", plan).group(1))
        check(abs(rate / trial.params["optimiser.learning_rate"] - 1) < 1e-6, f"the learning rate is {rate}")


RECIPES = {
    "GNU parallel": (gnu_parallel, lambda: shutil.which("parallel")),
    "submitit": (submitit, lambda: importlib.util.find_spec("submitit")),
    "HyperQueue": (hyperqueue, lambda: importlib.util.find_spec("hyperqueue")),
    "Kubernetes": (kubernetes, lambda: True),
    "Optuna": (optuna, lambda: importlib.util.find_spec("optuna")),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rtg")
    arguments = parser.parse_args()
    titles = re.findall(r"^### (.*)$", PAGE.read_text(), re.MULTILINE)
    check(titles == list(RECIPES), f"recipes without a check: {titles}")
    done = []
    for title, (follow, is_there) in RECIPES.items():
        if not is_there():
            print(f"SKIPPED: {title} is not installed")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            bench = Bench(scratch, arguments.rtg)
            follow(bench)
            if title != "Optuna":
                status = bench.run(["rtg", "sweep", "PLAN.toml", "--status"])
                check(status.count("| done | 20 of 20 |") == 3, f"{title} left: {status}")
        done.append(title)
    print(f"done as docs/sweeps.md says: {', '.join(done)}")


if __name__ == "__main__":
    main()
