"""Are our statistics those of the installed rliable?

    python tests/statistics_check.py EXAMPLE [--count 200] [--seed 0]

EXAMPLE is the built `examples/statistics`. Random score matrices of many sizes, with ties, go to it
and to rliable: aggregates, P(X > Y) and performance profiles must agree to 1e-12, and so must every
interval, for which both are given the same resample indices. Exits with 1 and one line for each
difference. Needs `pip install --no-deps rliable arch` and what they import (.ci/run).
"""

import argparse
import json
import subprocess
import sys

import numpy as np
from rliable import library, metrics

TOLERANCE = 1e-12
REPETITIONS = 40
THRESHOLDS = [-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5]


class Given(library.StratifiedBootstrap):
    """rliable's bootstrap with the run indices (and task indices) given, not drawn."""

    def over(self, resamples):
        self.given = iter(resamples)
        return self

    def update_indices(self):
        return next(self.given)


class GivenPair(library.StratifiedIndependentBootstrap):
    """The same for two methods."""

    def over(self, resamples):
        self.given = iter(resamples)
        return self

    def update_indices(self):
        return list(next(self.given)), {}


def aggregates(scores):
    return np.array(
        [
            metrics.aggregate_iqm(scores),
            metrics.aggregate_mean(scores),
            metrics.aggregate_median(scores),
            metrics.aggregate_optimality_gap(scores),
        ]
    )


def probability(x, y):
    return np.array([metrics.probability_of_improvement(x, y)])


def profile(scores):
    return library.score_distributions(scores, np.array(THRESHOLDS))


def interval(bootstrap, statistic):
    return bootstrap.conf_int(statistic, reps=REPETITIONS, size=0.95, method="percentile").T


def make_case(rng):
    tasks = int(rng.integers(1, 7))
    runs = rng.integers(1, 12, size=2)
    x, y = (rng.normal(0.5, 0.5, size=(n, tasks)) for n in runs)
    if rng.random() < 0.4:  # ties, within and between
        x, y = x.round(1), y.round(1)
    if rng.random() < 0.1:
        y = x.copy()
    draw = lambda scores: rng.integers(0, len(scores), size=(REPETITIONS, *scores.shape))
    x_runs, y_runs = draw(x), draw(y)
    return x, y, x_runs, y_runs, rng.integers(0, tasks, size=(REPETITIONS, tasks))


def expected(case):
    x, y, x_runs, y_runs, x_tasks = case
    columns = np.arange(x.shape[1])[None]
    stratified = [(runs, columns) for runs in x_runs]
    with_tasks = [(runs, tasks[None]) for runs, tasks in zip(x_runs, x_tasks)]
    pairs = [((of_x, columns), (of_y, columns)) for of_x, of_y in zip(x_runs, y_runs)]
    return {
        "aggregates": aggregates(x),
        "aggregate_intervals": interval(Given(x).over(stratified), aggregates),
        "task_intervals": interval(Given(x).over(with_tasks), aggregates),
        "probability": probability(x, y)[0],
        "probability_interval": interval(GivenPair(x, y).over(pairs), probability)[0],
        "profile": profile(x),
        "profile_intervals": interval(Given(x).over(stratified), profile),
    }


def plain(value):
    """Intervals as pairs of numbers."""
    if isinstance(value, dict):
        return [value["low"], value["high"]]
    return [plain(item) for item in value] if isinstance(value, list) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("example")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    cases = [make_case(rng) for _ in range(arguments.count)]
    keys = ("x", "y", "x_runs", "y_runs", "x_tasks")
    request = [
        {key: array.tolist() for key, array in zip(keys, case)} | {"thresholds": THRESHOLDS}
        for case in cases
    ]
    answer = subprocess.run(
        [arguments.example], input=json.dumps(request), capture_output=True, text=True, check=True
    )
    differences, largest = [], 0.0
    for number, (case, ours) in enumerate(zip(cases, json.loads(answer.stdout), strict=True)):
        for name, wanted in expected(case).items():
            distance = np.abs(np.asarray(plain(ours[name])) - wanted).max()
            largest = max(largest, distance)
            if not distance <= TOLERANCE:
                differences.append(f"case {number} {case[0].shape}: {name} differs by {distance}")
    if differences:
        sys.exit("\n".join(differences))
    print(f"{len(cases)} random score matrices: all as rliable, largest difference {largest:.1e}")


if __name__ == "__main__":
    main()
