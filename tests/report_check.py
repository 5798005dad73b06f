"""Does the page of `rtg report` do in a browser what it promises?

    python tests/report_check.py RTG [--chromium chromium] [--screenshots FOLDER] [--compared FOLDER]

Makes run directories with known numbers, lets RTG (the program) report them and opens the page in
headless Chromium: hovers, zooms, toggles a series, sorts a table and reads the numbers back against
NumPy's; no request may leave the page, nothing may be wider than a phone; 200 runs of 200
evaluations must open in under a second of processor time and stay under 3 MB. Reads the CSV and the
Parquet file with pyarrow, and watches a run to its end. With --compared, the page of `rtg compare`
in that folder must do the same and show what its runs' summaries say. Exits with 1 at the first difference. Needs
`pip install playwright pyarrow` and a Chromium.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow.csv
import pyarrow.parquet
from playwright.sync_api import sync_playwright

EPISODES = 4
LARGEST_BYTES = 3_000_000


def check(truth, message):
    if not truth:
        sys.exit(f"report_check: {message}")


def close(shown, wanted, digits, what):
    check(abs(shown - wanted) <= 0.51 * 10.0**-digits, f"{what}: {shown} is shown, {wanted} is right")


def iqm(values):
    values = np.sort(np.ravel(values))
    cut = len(values) // 4
    return values[cut : len(values) - cut].mean()


def plan(env, dataset, algorithm, seed, steps, targets, extra=""):
    goals = f"targets = {json.dumps(targets)}\n" if targets else ""
    return (
        f'dataset = "{dataset}"\nenv = "{env}"\nalgorithm = "{algorithm}"\nrecipe = "corl"\n'
        f"seed = {seed}\nsteps = {steps}\nthreads = 1\n[evaluation]\nepisodes = {EPISODES}\n{goals}{extra}"
    )


def write_run(path, text, steps, evaluations, ended=True):
    """A run directory. evaluations: {step: {target: returns}}; scores are those of CartPole."""
    path.mkdir(parents=True)
    (path / "experiment.toml").write_text(text)
    lines, listed = [], []
    for step, targets in evaluations.items():
        training = {"train/loss": 3.0 / step, "speed/ms_per_step": 2.0, "train/actor_loss": -step / 9}
        lines.append({"step": step, "wall_secs": 1e9 + step, **training})
        scalars = {"step": step, "wall_secs": 1e9 + step}
        for target, returns in targets.items():
            suffix = "" if target is None else f"/target_{target:g}"
            values = {
                "return_mean": np.mean(returns),
                "return_std": np.std(returns),
                "length_mean": 100.0,
                "score": np.mean(returns) / 5,
            }
            scalars |= {f"eval/{name}{suffix}": float(value) for name, value in values.items()}
            values = {name: float(value) for name, value in values.items()}
            listed.append({"step": step, "target": target, "returns": list(returns), **values})
        lines.append(scalars)
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if ended:
        end(path, steps, listed)
    return listed


def end(path, steps, evaluations):
    summary = {"steps": steps, "train_seconds": 0.002 * steps, "ms_per_step": 2.0}
    summary |= {"final_loss": 0.1, "evaluations": evaluations}
    (path / "summary.json").write_text(json.dumps(summary))


def small_comparison(folder, rng):
    """Three methods, five seeds, two tasks; the numbers by (task, algorithm, target, seed, step)."""
    steps = list(range(1000, 21000, 1000))
    numbers = {}
    for task in ("builtin/cartpole/mixed", "builtin/cartpole/expert"):
        for rank, algorithm in enumerate(("decision_transformer", "td3_bc", "iql")):
            targets = [500, 250] if algorithm == "decision_transformer" else [None]
            for seed in range(5):
                levels = [60 + 120 * rank + 90 * rng.random() for _ in targets]
                evaluations = {
                    step: {
                        target: (level * step / steps[-1] + rng.normal(0, 3, EPISODES)).tolist()
                        for target, level in zip(targets, levels)
                    }
                    for step in steps
                }
                text = plan("CartPole-v1", task, algorithm, seed, steps[-1], targets if targets != [None] else [])
                name = f"{task.split('/')[-1]}-{algorithm}-{seed}"
                write_run(folder / name, text, steps[-1], evaluations)
                for step, by_target in evaluations.items():
                    for target, returns in by_target.items():
                        numbers[task, algorithm, target, seed, step] = np.mean(returns)
    return numbers, steps


def large_comparison(folder, rng, plans, seeds):
    """`plans` x `seeds` runs of 200 evaluations on two tasks."""
    steps = list(range(500, 100_500, 500))
    for number in range(plans):
        env_kind = ("mixed", "expert")[number % 2]
        for seed in range(seeds):
            level = 100 + 5 * number + 50 * rng.random()
            walk = level + np.cumsum(rng.normal(0, 4, len(steps)))
            evaluations = {
                step: {None: (walk[i] + rng.normal(0, 9, EPISODES)).tolist()} for i, step in enumerate(steps)
            }
            text = plan("CartPole-v1", f"builtin/cartpole/{env_kind}", "td3_bc", seed, steps[-1], [])
            text += f"[td3_bc]\nalpha = {number // 2}.5\n"
            write_run(folder / f"{number:03}-{seed}", text, steps[-1], evaluations)


class Browser:
    """A page that is watched: its requests and its errors."""

    def __init__(self, browser, path, **context):
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.url = pathlib.Path(path).resolve().as_uri()
        self.foreign, self.faults = [], []
        self.page.on("request", self.asked)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda m: m.type == "error" and self.faults.append(m.text))
        self.page.goto(self.url)
        self.page.wait_for_function("window.rtgReport && rtgReport.charts.length > 0")

    def asked(self, request):
        if request.url != self.url and not request.url.startswith("data:"):
            self.foreign.append(request.url)

    def __enter__(self):
        return self.page

    def __exit__(self, kind, *_):
        self.context.close()
        if kind is None:
            check(not self.foreign, f"the page requested {self.foreign}")
            check(not self.faults, f"the page failed: {self.faults}")


def number(text):
    """The first number of a cell."""
    return float(re.search(r"[-−]?[\d.]+", text).group().replace("−", "-"))


def chips(page, chart):
    """{label: value under the cursor} of one chart."""
    read = "c => [...c.legend.children].map(n => [n.childNodes[1].textContent, n.lastChild.textContent])"
    return dict(page.evaluate(f"i => ({read})(rtgReport.charts[i])", chart))


def column(page, table, title):
    titles = page.locator(f"#{table} thead th").all_inner_texts()
    titles = [text.rstrip(" ▲▼") for text in titles]
    check(title in titles, f"#{table} has no column {title}: {titles}")
    return page.locator(f"#{table} tbody td:nth-child({titles.index(title) + 1})").all_inner_texts()


def choose(page, control, value):
    page.select_option(f"#{control}", value)
    page.wait_for_timeout(50)


def hover(page, numbers, steps):
    """The legend under the mouse shows the IQM over the seeds, and its interval holds it."""
    choose(page, "metric", "return")
    box = page.locator("#curves .u-over").first.bounding_box()
    page.mouse.move(box["x"] + 0.52 * box["width"], box["y"] + box["height"] / 2)
    page.wait_for_timeout(100)
    at = page.locator("#curves .at").first.inner_text()
    step = int(number(at)) if "k" not in at else int(1000 * number(at))
    check(step in steps, f"the cursor is at {at}")
    shown = chips(page, 0)
    task = page.locator("#curves h3").first.inner_text()
    for algorithm, target in (("td3_bc", None), ("decision_transformer", 500)):
        label = algorithm + ("" if target is None else f" · target {target}") + " · 5 seeds"
        wanted = iqm([numbers[task, algorithm, target, seed, step] for seed in range(5)])
        text = shown[label]
        value, low, high = (float(part) for part in re.findall(r"[\d.]+", text))
        close(value, wanted, 1, f"{label} at {step}")
        check(low <= value <= high and low < high, f"the interval of {label}: {text}")


def zoom(page):
    scale = "rtgReport.charts[0].plot.scales.x"
    before = page.evaluate(f"[{scale}.min, {scale}.max]")
    box = page.locator("#curves .u-over").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.3 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], middle, steps=5)
    page.mouse.up()
    page.wait_for_timeout(100)
    after = page.evaluate(f"[{scale}.min, {scale}.max]")
    width = before[1] - before[0]
    check(abs((after[1] - after[0]) / width - 0.3) < 0.05, f"a drag zooms from {before} to {after}")
    page.locator("#curves button", has_text="whole range").first.click()
    page.wait_for_timeout(100)
    check(page.evaluate(f"[{scale}.min, {scale}.max]") == before, "the whole range does not come back")


def toggle(page):
    visible = "rtgReport.charts[0].plot.series.filter(s => s.show).length"
    before = page.evaluate(visible)
    chip = page.locator("#curves .chip", has_text="td3_bc").first
    chip.click()
    check(chip.get_attribute("aria-pressed") == "false", "a toggled chip stays pressed")
    check(page.evaluate(visible) == before - 3, "a line goes without its band")
    chip.click()
    check(page.evaluate(visible) == before, "a toggled line does not come back")
    hidden = page.locator("#curves .chip", has_text="target 250").first
    check(hidden.get_attribute("aria-pressed") == "false", "only the first target is shown at first")


def scales(page):
    page.check("#log")
    page.wait_for_timeout(50)
    check(page.evaluate("rtgReport.charts[0].plot.scales.y.distr") == 3, "the scale is not logarithmic")
    page.uncheck("#log")
    for metric in ("train/loss", "train/actor_loss", "score"):
        choose(page, "metric", metric)
        check(page.evaluate("rtgReport.charts[0].plot.series.length") > 3, f"{metric} has no lines")
    choose(page, "axis", "seconds")
    end = page.evaluate("rtgReport.charts[0].plot.data[0].at(-1)")
    close(end, 40.0, 3, "seconds of the last evaluation")
    choose(page, "axis", "updates")
    choose(page, "metric", "return")


def tables(page, numbers, steps):
    for direction in (-1, 1):
        page.locator("#groups thead button", has_text=re.compile("^return$")).click()
        shown = [number(text) for text in column(page, "groups", "return")]
        check(shown == sorted(shown, key=lambda value: direction * value), f"the table is not sorted: {shown}")
    parts = zip(*(column(page, "groups", name) for name in ("task", "method", "target", "return", "IQM [95 %]", "best", "looks")))
    rows = list(parts)
    check(len(rows) == 8, f"there are {len(rows)} rows of groups")
    for task, method, target, shown, robust, best, looks in rows:
        target = None if target == "–" else float(target)
        runs = [[numbers[task, method, target, seed, step] for step in steps] for seed in range(5)]
        last = [run[-1] for run in runs]
        mean, std = (float(part) for part in re.findall(r"[\d.]+", shown))
        close(mean, np.mean(last), 1, f"the mean of {method}")
        close(std, np.std(last, ddof=1), 1, f"the spread of {method}")
        close(number(robust), iqm(last), 1, f"the IQM of {method}")
        close(number(best), np.mean(np.max(runs, axis=1)), 1, f"the best of {method}")
        check(looks == str(len(steps)), f"{looks} looks")
    commands = column(page, "groups", "again")
    check(all("for seed in 0 1 2 3 4" in command for command in commands), "a command is missing")
    keys = column(page, "differences", "key")
    check("algorithm" in keys and "evaluation.targets" in keys, f"the plans differ in {keys}")


def methods(page, numbers, steps):
    tasks = sorted({key[0] for key in numbers})
    names = column(page, "methods", "method")
    check(names == ["iql", "td3_bc", "decision_transformer"], f"the order of the methods: {names}")
    scores = {
        name: np.array(
            [
                [numbers[task, name, 500 if name[0] == "d" else None, seed, steps[-1]] / 500 for task in tasks]
                for seed in range(5)
            ]
        )
        for name in names
    }
    for name, shown, gap in zip(
        names, column(page, "methods", "IQM [95 %]"), column(page, "methods", "optimality gap [95 %]")
    ):
        close(number(shown), iqm(scores[name]), 3, f"the IQM of {name} over tasks")
        close(number(gap), 1 - np.minimum(scores[name], 1).mean(), 3, f"the optimality gap of {name}")
    x, y = scores["td3_bc"], scores["decision_transformer"]
    wins = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
    page.select_option("#opponent", label="td3_bc")
    lines = page.locator("#forest span").all_inner_texts()
    text = lines[lines.index("> decision_transformer") + 1]
    close(number(text), wins.mean(), 2, "P(td3_bc > decision_transformer)")
    check(text in column(page, "pairs", "decision_transformer"), f"{text} is not in the matrix")
    check("beat" in page.locator(".findings").inner_text(), "the page opens without a sentence")
    check(page.locator("#profile canvas").count() == 1, "there is no performance profile")
    check(page.locator("#calibration canvas").count() == 2, "there is no calibration")


def compared(browser, folder, screenshots):
    """The page of `rtg compare`, whatever the algorithms are that it compared."""
    path = folder / "report.html"
    last = {}
    for run in sorted((folder / "runs").iterdir()):
        algorithm = re.search(r'^algorithm = "(.*)"$', (run / "experiment.toml").read_text(), re.MULTILINE).group(1)
        for evaluation in json.loads((run / "summary.json").read_text())["evaluations"]:
            last.setdefault((algorithm, evaluation["target"]), {})[run.name] = evaluation["return_mean"]
    with Browser(browser, path, viewport={"width": 1280, "height": 900}) as page:
        check(page.locator(".findings li").count() > 0, "the page opens without a sentence")
        box = page.locator("#curves .u-over").first.bounding_box()
        page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
        page.wait_for_timeout(100)
        shown = chips(page, 0)
        check(len(shown) >= len({algorithm for algorithm, _ in last}), f"the legend has {list(shown)}")
        zoom(page)
        chip = page.locator("#curves .chip").first
        before = chip.get_attribute("aria-pressed")
        chip.click()
        check(chip.get_attribute("aria-pressed") != before, "a click on a chip changes nothing")
        chip.click()
        page.locator("#groups thead button", has_text=re.compile("^return$")).click()
        values = [number(text) for text in column(page, "groups", "return")]
        check(values == sorted(values, reverse=True), f"the table is not sorted: {values}")
        rows = list(zip(*(column(page, "groups", name) for name in ("method", "target", "return", "CPU s"))))
        check(len(rows) == len(last), f"{len(rows)} rows of groups, {len(last)} are wanted")
        for algorithm, target, value, processor in rows:
            target = None if target == "–" else number(target)
            runs = last[algorithm, target].values()
            close(number(value), np.mean(list(runs)), 1 if abs(np.mean(list(runs))) >= 10 else 2, algorithm)
            check(number(processor) >= 0, f"the processor seconds of {algorithm} are {processor}")
    appearances(browser, path, screenshots and screenshots / "compared")


def is_drawn(page):
    """Whether the first line's colour is on the first chart; bands of others may lie over it."""
    return page.evaluate(
        """() => {
          const { plot } = rtgReport.charts[0];
          const { width, height } = plot.ctx.canvas;
          const [r, g, b] = plot.series[1].stroke().match(/\\w\\w/g).map((part) => parseInt(part, 16));
          const pixels = plot.ctx.getImageData(0, 0, width, height).data;
          for (let i = 0; i < pixels.length; i += 4) {
            const far = [r, g, b].some((part, k) => Math.abs(part - pixels[i + k]) > 40);
            if (!far && pixels[i + 3] > 200) return true;
          }
          return false;
        }"""
    )


def appearances(browser, page_path, screenshots):
    backgrounds = set()
    for scheme in ("light", "dark"):
        with Browser(browser, page_path, color_scheme=scheme, viewport={"width": 1280, "height": 900}) as page:
            page.wait_for_timeout(150)
            check(is_drawn(page), f"no line is drawn in the {scheme} scheme")
            backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            if screenshots:
                page.screenshot(path=screenshots / f"{scheme}.png", full_page=True)
            if scheme == "light":
                check(page.pdf().startswith(b"%PDF"), "the page cannot be printed")
    check(len(backgrounds) == 2, f"both schemes have the background {backgrounds}")
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "device_scale_factor": 2}
    with Browser(browser, page_path, **phone) as page:
        width = page.evaluate("document.scrollingElement.scrollWidth")
        check(width <= 390, f"the page is {width} wide on a phone of 390")
        if screenshots:
            page.screenshot(path=screenshots / "phone.png", full_page=True)


def processor_secs(session):
    """What the processes that run and lay out pages have used so far."""
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    return sum(process["cpuTime"] for process in processes if process["type"] == "renderer")


def opening(browser, path):
    """The page's bytes, which are bounded, and its seconds of processor time, which depend on the machine and are
    only reported. Processor time does not count what else the machine does."""
    size = path.stat().st_size
    check(size < LARGEST_BYTES, f"{path.name} has {size} bytes")
    session = browser.new_browser_cdp_session()
    took = []
    for _ in range(8):
        before = processor_secs(session)
        with Browser(browser, path) as page:
            check(page.evaluate("rtgReport.charts[0].plot !== null"), "no chart was drawn")
            took.append(processor_secs(session) - before)
    return size, min(took)


def data_files(report, folder, numbers, steps):
    report("episodes.csv")
    report("episodes.parquet")
    tables = [
        pyarrow.csv.read_csv(folder / "episodes.csv"),
        pyarrow.parquet.read_table(folder / "episodes.parquet"),
    ]
    for table in tables:
        check(table.num_rows == len(numbers) * EPISODES, f"{table.num_rows} episodes")
        last = [row for row in table.to_pylist() if row["last"] and row["method"] == "iql"]
        wanted = np.mean([value for key, value in numbers.items() if key[1] == "iql" and key[4] == steps[-1]])
        close(np.mean([row["return"] for row in last]), wanted, 9, "the mean over episodes")
        close(last[0]["seconds"], 0.002 * steps[-1], 9, "seconds")


def watches(rtg, folder):
    run, page = folder / "going" / "run", folder / "going.html"
    text = plan("CartPole-v1", "builtin/cartpole/mixed", "bc", 0, 2000, [])
    evaluations = write_run(run, text, 2000, {1000: {None: [9.0] * EPISODES}}, ended=False)
    command = [rtg, "report", run.parent, "--out", page, "--watch", "--every", "1"]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 20
    while not page.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    check("http-equiv=\"refresh\"" in page.read_text(), "a page of a run in progress does not reload")
    end(run, 2000, evaluations)
    check(process.wait(20) == 0, "rtg report --watch failed")
    check("http-equiv=\"refresh\"" not in page.read_text(), "the page of an ended run still reloads")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rtg")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--screenshots", type=pathlib.Path)
    parser.add_argument("--compared", type=pathlib.Path)
    arguments = parser.parse_args()
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)

        def report(out, runs="small"):
            subprocess.run([arguments.rtg, "report", runs, "--out", out], cwd=folder, check=True)
            return folder / out

        numbers, steps = small_comparison(folder / "small", rng)
        large_comparison(folder / "large", rng, plans=40, seeds=5)
        large_comparison(folder / "plans", rng, plans=200, seeds=1)
        small = report("small.html")
        data_files(report, folder, numbers, steps)
        watches(arguments.rtg, folder)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=arguments.chromium, args=["--no-sandbox"])
            with Browser(browser, small, viewport={"width": 1280, "height": 900}) as page:
                hover(page, numbers, steps)
                zoom(page)
                toggle(page)
                scales(page)
                tables(page, numbers, steps)
                methods(page, numbers, steps)
            appearances(browser, small, arguments.screenshots)
            if arguments.compared:
                compared(browser, arguments.compared, arguments.screenshots)
            sizes = [opening(browser, report(f"{runs}.html", runs)) for runs in ("large", "plans")]
            browser.close()
    sizes = ", ".join(f"{size / 1e6:.2f} MB in {secs:.2f} s" for size, secs in sizes)
    print(f"the page holds what it promises; 200 runs of 200 evaluations: {sizes}")


if __name__ == "__main__":
    main()
