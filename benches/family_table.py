"""The table of a sweep over the Decision Transformer's family, with times of steps and decisions.

    rtg sweep experiments/sweeps/family-maze.toml
    python benches/family_table.py sweeps/family-maze [--rtg FILE] [--steps 40] [--rounds 3]

Returns and calibration are those of the last evaluations of the sweep's finished runs: mean and
standard deviation (n - 1) over the seeds. Times are measured now, on the first seed of each group,
interleaved, the median of a few rounds: a step by training for some steps from the start, a
decision by acting in one environment, its step included. `--rounds 0` measures none.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile


def summaries(sweep):
    """The summaries of the finished runs by group, each with its directory and plan."""
    groups = {}
    for name in (sweep / "runs.txt").read_text().split():
        summary = sweep / "runs" / name / "summary.json"
        if summary.exists():
            group = name.rsplit("-seed-", 1)[0]
            groups.setdefault(group, []).append((name, json.loads(summary.read_text())))
    return groups


def last_returns(summary):
    """The mean return of each target in the last evaluation."""
    last = summary["evaluations"][-1]["step"]
    rows = [row for row in summary["evaluations"] if row["step"] == last]
    return [(row["target"], row["return_mean"], len(row["returns"])) for row in rows]


def spread(numbers, digits):
    """Mean and standard deviation; a single number has none."""
    text = f"{statistics.mean(numbers):.{digits}f}"
    return text if len(numbers) == 1 else f"{text} ± {statistics.stdev(numbers):.{digits}f}"


def output(command):
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def step_ms(rtg, plan, steps):
    """Milliseconds of a step of this plan, without evaluations."""
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        output([rtg, "train", plan, "--steps", steps, "--set", "evaluation.every=0",
                "--set", "evaluation.final_episodes=1", "--run-dir", run])
        return json.loads((run / "summary.json").read_text())["ms_per_step"]


def decision_ms(rtg, run, target):
    """Milliseconds of a decision in one environment."""
    command = [rtg, "evaluate", run, "--rows", 1, "--episodes", 5, "--json"]
    if target is not None:
        command.append(f"--targets={target}")
    found = json.loads(output(command))
    return 1000 * found["seconds"] / found["env_steps"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=pathlib.Path)
    parser.add_argument("--rtg", default="target/release/rtg")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    groups = summaries(options.sweep)
    times = {group: ([], []) for group in groups}
    for _ in range(options.rounds):
        for group, runs in groups.items():
            name, summary = runs[0]
            # A perceptron's step is short.
            steps = options.steps * (25 if "rvs" in group else 1)
            step, decision = times[group]
            step.append(step_ms(options.rtg, options.sweep / "plans" / f"{name}.toml", steps))
            target = last_returns(summary)[0][0]
            decision.append(decision_ms(options.rtg, options.sweep / "runs" / name, target))
    print("| member | seeds | updates | episodes | return for the first target | for the last "
          "| calibration error | ms a step | ms a decision |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for group, runs in groups.items():
        found = [summary for _, summary in runs]
        returns = [last_returns(summary) for summary in found]
        digits = 2 if max(abs(rows[0][1]) for rows in returns) < 10 else 1
        ends = []
        for end in (0, -1):
            text = spread([rows[end][1] for rows in returns], digits)
            target = returns[0][end][0]
            ends.append(text if target is None else f"{target:g}: {text}")
        if returns[0][0][0] is None:
            ends[1] = "–"
        measures = [summary.get("calibration") for summary in found]
        errors = [measure["error"] for measure in measures if measure]
        step, decision = times[group]
        step_text = f"{statistics.median(step):.2f}" if step else "–"
        decision_text = f"{statistics.median(decision):.3f}" if decision else "–"
        error = spread(errors, 3) if errors else "–"
        cells = [group, len(found), found[0]["steps"], returns[0][0][2], *ends, error,
                 step_text, decision_text]
        print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
