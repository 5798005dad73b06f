"""Does `kill -9` ever cost or double anything?

    python tests/kill_check.py RTG [--kills 120] [--seed 0]

Kills `rtg collect`, `rtg convert`, the making of a store (`rtg train` with store = "mapped") and `rtg
train` at random moments, a quarter of the kills each. After every kill a dataset is either not there
or whole (same hash as one that was made without a kill); a collection and a training resume with --resume, and
a training ends with the weights and the measurements of an uninterrupted one. After the next success no journal
and no draft is left. Exits with 1 and a line for each failure. `sweep_check.py` kills sweeps.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

COLLECT = ["collect", "--env", "Acrobot-v1", "--policy", "controller", "--noise", "0.4", "--steps", "30000"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rtg")
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    failures, killed = [], 0

    with tempfile.TemporaryDirectory() as root:
        cache = os.path.join(root, "cache")
        environment = dict(os.environ, MINARI_DATASETS_PATH=root, RTG_CACHE=cache)

        def rtg(*command):
            return [arguments.rtg, *command]

        def quiet(command):
            return subprocess.run(command, env=environment, capture_output=True, text=True)

        def made(name):
            """The dataset's hash, or None where there is none."""
            if not os.path.exists(os.path.join(root, "kill", name)):
                return None
            answer = quiet(rtg("inspect", f"kill/{name}", "--json"))
            if answer.returncode:
                failures.append(f"{name} does not load: {answer.stderr.strip()}")
                return None
            return json.loads(answer.stdout)["hash"]

        def interrupted(command, seconds):
            """Runs a command for at most this long; whether it had to be killed."""
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                _, talk = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                return True
            if process.returncode:
                failures.append(f"{' '.join(command[1:])}: {talk.decode().strip()}")
            return False

        def moment(takes, kills):
            """When to kill a command for the next time; later each time, for the machine may have
            become slower than it was alone."""
            return generator.uniform(0, takes * (1 + kills / 8))

        def in_peace(command):
            began = time.monotonic()
            answer = quiet(command)
            if answer.returncode:
                sys.exit(answer.stderr)
            return time.monotonic() - began

        takes = in_peace(rtg(*COLLECT, "--out", "kill/peace-v0"))
        wanted = made("peace-v0")
        rounds = 0
        while killed < arguments.kills // 4:
            name = f"collected{rounds}-v0"
            command = rtg(*COLLECT, "--out", f"kill/{name}", "--resume")
            before = killed
            while interrupted(command, moment(takes, killed - before)):
                killed += 1
                if made(name) not in (None, wanted):
                    failures.append(f"{name} is there and is another")
            if made(name) != wanted:
                failures.append(f"{name} is not the dataset of an undisturbed collection")
            rounds += 1

        command = rtg("convert", "kill/peace-v0", "kill/converted-v0", "--format", "parquet")
        takes = in_peace(command)
        rounds = 0
        while killed < 2 * arguments.kills // 4:
            name = f"converted{rounds}-v0"
            command = rtg("convert", "kill/peace-v0", f"kill/{name}", "--format", "parquet")
            before = killed
            while interrupted(command, moment(takes, killed - before)):
                killed += 1
                if made(name) == wanted:
                    # Killed after the rename: done; the next call for the same cleans up.
                    quiet(command)
                    break
                if os.path.exists(os.path.join(root, "kill", name)):
                    failures.append(f"{name} is there and is another")
                    break
            if made(name) != wanted:
                failures.append(f"{name} is not what was converted")
            rounds += 1

        plan = ["--set", "store=mapped", "--set", "model.width=8", "--set", "evaluation.final_episodes=1"]
        train = ["train", "--dataset", "kill/peace-v0", "--steps", "1", "--env", "Acrobot-v1", *plan]
        takes = in_peace(rtg(*train, "--run-dir", os.path.join(root, "runs", "peace")))
        rounds = 0
        while killed < 3 * arguments.kills // 4:
            shutil.rmtree(cache)
            run = 0
            while interrupted(rtg(*train, "--run-dir", os.path.join(root, "runs", f"{rounds}-{run}")),
                              moment(takes, run)):
                killed += 1
                run += 1
            rounds += 1
            stores = os.listdir(os.path.join(cache, "datasets"))
            if len(stores) != 1 or stores[0].startswith("."):
                failures.append(f"in the cache after a success: {stores}")

        def learned(run):
            """The weights, and the measurements without what the clock decides."""
            with open(os.path.join(run, "checkpoints", "weights.safetensors"), "rb") as file:
                weights = file.read()
            with open(os.path.join(run, "metrics.jsonl")) as file:
                lines = [json.loads(line) for line in file]
            for line in lines:
                for name in [name for name in line if name == "wall_secs" or name.startswith("speed/")]:
                    del line[name]
            return weights, lines

        train = ["train", *"--dataset builtin/cartpole/random --algorithm bc --steps 600 --threads 1".split()]
        for setting in ("checkpoint_every=20", "evaluation.every=100", "evaluation.episodes=2",
                        "evaluation.final_episodes=4", "logging.every=7", "logging.histograms_every=50"):
            train += ["--set", setting]
        peace = os.path.join(root, "runs", "learned")
        takes = in_peace(rtg(*train, "--run-dir", peace))
        rounds = 0
        while killed < arguments.kills:
            run = os.path.join(root, "runs", f"learned{rounds}")
            command = rtg(*train, "--run-dir", run)
            before = killed
            # It may die before it has made the directory.
            while interrupted(command + (["--resume"] if os.path.exists(os.path.join(run, "experiment.toml")) else []),
                              moment(takes, killed - before)):
                killed += 1
            if learned(run) != learned(peace):
                failures.append(f"{run} did not learn what an uninterrupted training does")
            parts = [name for _, _, names in os.walk(run) for name in names if name.endswith(".partial")]
            if parts:
                failures.append(f"left behind in {run}: {parts}")
            rounds += 1

        left = [name for name in os.listdir(os.path.join(root, "kill")) if name.startswith(".")]
        if left:
            failures.append(f"left behind: {left}")

    if failures:
        sys.exit("\n".join(failures))
    print(f"{killed} kills, no dataset broken, nothing lost or doubled")


if __name__ == "__main__":
    main()
