"""Does the real TensorBoard show what a run measured?

    python tests/tensorboard_check.py RUN [--film TAG GIF]
    python tests/tensorboard_check.py --sweep FOLDER

Starts the installed TensorBoard on the loopback interface for the run directory RUN, reads every
tag back through its HTTP interface, and compares with metrics.jsonl: every scalar (tag, step,
value as f32, time), every histogram (number of values, extremes), the texts and the
hyperparameters. With --film, the image TAG must be the file GIF, byte for byte. With --sweep, for a
folder of runs of several algorithms: the table of hyperparameters must have a line for each run with
its plan and the last value of every metric that it measured, and each chart of the custom scalars
must hold the runs' own numbers. Exits with 1 and one line for each difference. Needs `pip install
tensorboard`.
"""

import argparse
import contextlib
import json
import math
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import urllib.parse
import urllib.request

DEADLINE_SECS = 60
KEYS = ("step", "wall_secs")
# The name of the run in the folder that TensorBoard is given.
RUN = "run"


def number(value):
    """JSON has no NaN; both sides write it as a word."""
    return float(value)


def as_f32(value):
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def same(left, right):
    return left == right or (math.isnan(left) and math.isnan(right))


def measured(run_dir):
    """The scalars and histograms in metrics.jsonl: {tag: [(wall_secs, step, value)]}."""
    scalars, histograms = {}, {}
    with open(os.path.join(run_dir, "metrics.jsonl"), encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            for tag in entry.keys() - set(KEYS):
                value = entry[tag]
                kind = histograms if isinstance(value, dict) else scalars
                value = value if isinstance(value, dict) else number(value)
                kind.setdefault(tag, []).append((entry["wall_secs"], entry["step"], value))
    return scalars, histograms


class TensorBoard:
    """The real one, in a process of its own, for as long as the `with` lasts."""

    def __init__(self, logdir):
        # Below its limits TensorBoard shows every point, above them a sample. (Zero, which it
        # documents as "all", makes it answer with none.)
        keep_all = ",".join(f"{plugin}=10000000" for plugin in ("scalars", "histograms", "text"))
        self.command = [
            *(sys.executable, "-m", "tensorboard.main", "--logdir", logdir),
            *("--host", "127.0.0.1", "--port", "0", "--samples_per_plugin", keep_all),
        ]
        self.address, self.output = None, []

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.ready = threading.Event()
        threading.Thread(target=self.listen, daemon=True).start()
        if not self.ready.wait(DEADLINE_SECS) or self.address is None:
            self.__exit__()
            sys.exit("TensorBoard did not start:\n" + "".join(self.output))
        return self

    def listen(self):
        """Reads TensorBoard's output to its end; the address is in it."""
        for line in self.process.stdout:
            self.output.append(line)
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                self.address = found.group()
                self.ready.set()
        self.ready.set()

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def get(self, path, body=None, **query):
        if query:
            path += "?" + urllib.parse.urlencode(query)
        return json.loads(self.get_bytes(path, body))

    def get_bytes(self, path, body=None):
        url = f"{self.address}/data/plugin/{path}"
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()


def read_back(board, tags):
    """Everything TensorBoard shows of the run, in the form of `measured`."""
    scalars = {
        tag: [(wall, step, number(value)) for wall, step, value in points]
        for tag in tags["scalars"]
        for points in [board.get("scalars/scalars", run=RUN, tag=tag)]
    }
    histograms = {
        tag: board.get("histograms/histograms", run=RUN, tag=tag)
        for tag in tags["histograms"]
    }
    return scalars, histograms


def wait_for_tags(board, scalars, histograms):
    """TensorBoard loads in the background; wait until it has as many points as were measured."""
    tags = {}
    deadline = time.monotonic() + DEADLINE_SECS
    while time.monotonic() < deadline:
        for plugin in ("scalars", "histograms", "text"):
            tags[plugin] = board.get(f"{plugin}/tags").get(RUN, [])
        shown = read_back(board, tags)
        counts = [{tag: len(points) for tag, points in kind.items()} for kind in shown]
        wanted = [{tag: len(points) for tag, points in kind.items()} for kind in (scalars, histograms)]
        if counts == wanted and tags["text"]:
            break
        time.sleep(0.5)
    return tags, shown


def compare_scalars(wanted, shown):
    for tag in sorted(wanted.keys() | shown.keys()):
        left, right = wanted.get(tag, []), shown.get(tag, [])
        if len(left) != len(right):
            yield f"scalar {tag}: {len(left)} points measured, {len(right)} shown"
            continue
        for (wall, step, value), (shown_wall, shown_step, shown_value) in zip(left, right):
            if step != shown_step or not same(as_f32(value), shown_value):
                yield f"scalar {tag}: step {step} is {value}, shown is step {shown_step}, {shown_value}"
            elif abs(wall - shown_wall) > 1e-3:
                yield f"scalar {tag}: step {step} was at {wall} s, shown at {shown_wall} s"


def compare_histograms(wanted, shown):
    for tag in sorted(wanted.keys() | shown.keys()):
        left, right = wanted.get(tag, []), shown.get(tag, [])
        if len(left) != len(right):
            yield f"histogram {tag}: {len(left)} measured, {len(right)} shown"
            continue
        for (_, step, value), (_, shown_step, buckets) in zip(left, right):
            where = f"histogram {tag}: step {step}"
            if step != shown_step:
                yield f"{where} is shown as step {shown_step}"
            count = sum(bucket[2] for bucket in buckets)
            if count != value["count"]:
                yield f"{where} has {value['count']} values, {count} are shown"
            if value["count"] == 0:
                continue
            ends = (as_f32(value["min"]), as_f32(value["max"]))
            # A tensor of one value has a bucket without width, which TensorBoard widens.
            shown_ends = (buckets[0][0], buckets[-1][1])
            if ends[0] < ends[1] and not all(
                math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-7) for a, b in zip(ends, shown_ends)
            ):
                yield f"{where} spans {ends}, shown is {shown_ends}"


def compare_texts(board, tags):
    if not tags["text"]:
        yield "no text is shown"
    for tag in tags["text"]:
        texts = board.get("text/text", run=RUN, tag=tag)
        if len(texts) != 1 or not texts[0]["text"].strip():
            yield f"text {tag}: {len(texts)} texts are shown, one is wanted"


def hparams_table(board):
    """Names of the columns, and the lines of the table of hyperparameters."""
    experiment = board.get("hparams/experiment", body={})
    names = [info["name"] for info in experiment.get("hparamInfos", [])]
    metrics = [info["name"] for info in experiment.get("metricInfos", [])]
    request = {
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [{"hparam": name, "includeInResult": True} for name in names]
        + [{"metric": name} for name in metrics],
        "aggregationType": "AGGREGATION_AVG",
        "startIndex": 0,
        "sliceSize": 1000,
    }
    groups = board.get("hparams/session_groups", body=request).get("sessionGroups", [])
    return names, metrics, groups


def compare_metrics(where, group, scalars):
    """A line of the table must have the last value of everything that its run measured."""
    values = {value["name"]["tag"]: value for value in group.get("metricValues", [])}
    for tag in sorted(scalars.keys() | values.keys()):
        if tag not in scalars or tag not in values:
            yield f"{where}: {tag} is {'measured' if tag in scalars else 'shown'} only"
            continue
        value, shown = scalars[tag][-1][2], values[tag]["value"]
        if not same(as_f32(value), as_f32(number(shown))):
            yield f"{where}: {tag} ends with {value}, shown is {shown}"


def flat(plan, prefix=""):
    for key, value in plan.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def compare_sweep(board, runs):
    """Each run's line and its lines in the charts. `runs` is {name: (scalars, plan)}."""
    names, _, groups = hparams_table(board)
    lines = {group["sessions"][0]["name"]: group for group in groups}
    if lines.keys() != runs.keys():
        yield f"the table has the runs {sorted(lines)}"
        return
    missing = {key for _, plan in runs.values() for key, _ in flat(plan)} - set(names)
    if missing:
        yield f"the table has no columns {sorted(missing)}"
    for name, (scalars, plan) in runs.items():
        yield from compare_metrics(name, lines[name], scalars)
        shown = lines[name]["hparams"]
        for key, value in flat(plan):
            if key not in shown or (isinstance(value, (int, float, str)) and shown[key] != value):
                yield f"{name}: {key} is {value}, shown is {shown.get(key)}"
    layout = board.get("custom_scalars/layout")
    charts = {chart["title"].split(":")[0]: chart for part in layout["category"] for chart in part["chart"]}
    if charts.keys() != {"return", "score", "calibration", "losses"}:
        yield f"the custom scalars are {list(charts)}"
        return
    for title, chart in charts.items():
        (regex,) = chart["multiline"]["tag"]
        for name, (scalars, plan) in runs.items():
            wanted = {tag: points for tag, points in scalars.items() if re.match(regex, tag)}
            answer = board.get("custom_scalars/scalars", run=name, tag=regex)
            shown = {tag: [(w, s, number(v)) for w, s, v in points] for tag, points in answer["tag_to_events"].items()}
            yield from compare_scalars(wanted, {tag.removeprefix(f"{name}/"): v for tag, v in shown.items()})
            if not wanted and (title in ("return", "losses") or "targets" in plan["evaluation"]):
                yield f"{name}: the chart {title} is empty"


def sweep(folder):
    runs = {}
    for path in sorted(pathlib.Path(folder).iterdir()):
        with open(path / "experiment.toml", "rb") as file:
            runs[path.name] = (measured(path)[0], tomllib.load(file))
    with TensorBoard(folder) as board:
        deadline = time.monotonic() + DEADLINE_SECS
        while differences := list(compare_sweep(board, runs)):
            # TensorBoard loads in the background.
            if time.monotonic() > deadline:
                sys.exit("\n".join(differences))
            time.sleep(1)
    algorithms = sorted({plan["algorithm"] for _, plan in runs.values()})
    print(f"TensorBoard's table and charts have all of {len(runs)} runs of {', '.join(algorithms)}")


def compare_hparams(board, run_dir, scalars):
    """The table must have one line, with hyperparameters and the last value of each metric."""
    names, metrics, groups = hparams_table(board)
    if not names or not metrics:
        yield f"hyperparameters: the table has columns {names} and metrics {metrics}"
        return
    if len(groups) != 1:
        yield f"hyperparameters: the table has {len(groups)} lines, one is wanted"
        return
    group = groups[0]
    for name in sorted(set(names) - group["hparams"].keys()):
        yield f"hyperparameters: {name} has no value"
    yield from compare_metrics("hyperparameters", group, scalars)
    # A plan that both know must be the same in both.
    with open(os.path.join(run_dir, "experiment.toml"), "rb") as file:
        plan = tomllib.load(file)
    for name in sorted(plan.keys() & group["hparams"].keys()):
        if plan[name] != group["hparams"][name] and not isinstance(plan[name], dict):
            yield f"hyperparameters: {name} is {plan[name]}, shown is {group['hparams'][name]}"
    if os.path.exists(os.path.join(run_dir, "summary.json")):
        status = group["sessions"][0].get("status")
        if status != "STATUS_SUCCESS":
            yield f"hyperparameters: the run has ended, its status is shown as {status}"


def compare_film(board, tag, path):
    images = board.get("images/images", run=RUN, tag=tag, sample=0)
    if not images:
        yield f"image {tag}: none is shown"
        return
    shown = board.get_bytes("images/individualImage?" + images[-1]["query"])
    with open(path, "rb") as file:
        if file.read() != shown:
            yield f"image {tag}: it is not {path}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", help="a run directory made by `rtg train`")
    parser.add_argument("--sweep", help="a folder of run directories")
    parser.add_argument("--film", nargs=2, metavar=("TAG", "GIF"), help="an image that must be there")
    arguments = parser.parse_args()
    if arguments.sweep:
        sweep(arguments.sweep)
        return
    run_dir = os.path.abspath(arguments.run)
    scalars, histograms = measured(run_dir)
    if not scalars:
        sys.exit(f"nothing was measured in {run_dir}")
    # In a folder of runs, as users open it: of a run's own folder the real table shows no metric,
    # because it looks for them in a run called "./.".
    with tempfile.TemporaryDirectory() as runs, contextlib.ExitStack() as stack:
        os.symlink(run_dir, os.path.join(runs, RUN))
        board = stack.enter_context(TensorBoard(runs))
        tags, shown = wait_for_tags(board, scalars, histograms)
        differences = [
            *compare_scalars(scalars, shown[0]),
            *compare_histograms(histograms, shown[1]),
            *compare_texts(board, tags),
            *compare_hparams(board, run_dir, scalars),
            *(compare_film(board, *arguments.film) if arguments.film else ()),
        ]
    if differences:
        sys.exit("\n".join(differences))
    points = sum(len(points) for points in scalars.values())
    print(
        f"TensorBoard shows all: {len(scalars)} scalar tags with {points} points,"
        f" {len(histograms)} histogram tags, texts {', '.join(tags['text'])}, the hyperparameters"
    )


if __name__ == "__main__":
    main()
