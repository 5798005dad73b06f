"""The tables of run.sh's results, in Markdown: `table.py RESULTS`. What was not measured yet is left open."""

import json
import pathlib
import sys

WAYS = ("eager", "compiled", "graph")
# Largest relative difference to the CPU's f32 in the first steps, by precision: bfloat16 has 8 significant bits.
MOST_DIFFERENCE = {"f32": 1e-4, "tf32": 1e-2, "bf16": 5e-2}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def key(answer):
    sizes = answer["sizes"]
    return tuple(sizes[name] for name in ("batch", "width", "layers", "heads", "context")) + (answer["precision"],)


def latest(answers, of):
    """The last answer for each key, in the order of the first."""
    return list({of(answer): answer for answer in answers}.values())


def row(cells):
    return "| " + " | ".join(cells) + " |"


def header(*cells):
    return row(cells) + "\n" + "|---" * len(cells) + "|"


def difference(answer):
    """The largest relative difference of loss and norm to the CPU's, in the first steps."""
    pairs = zip(answer["first_steps"], answer["reference"])
    return max(abs(ours[name] / theirs[name] - 1) for ours, theirs in pairs for name in ("loss", "norm"))


def steps_table(ours, theirs):
    yield header("batch", "width", "layers", "precision", "ours, ms", "deciles", "kernels, ms", "host, ms",
                 *(f"PyTorch {way}, ms" for way in WAYS), *(f"of {way}" for way in WAYS), "off the CPU by")
    for answer in ours:
        times = {other["way"]: other["median_ms"] for other in theirs if key(other) == key(answer)}
        sizes, median = answer["sizes"], answer["median_ms"]
        cells = [str(sizes[name]) for name in ("batch", "width", "layers")] + [answer["precision"]]
        cells += [f"{median:.3f}", " ".join(f"{ms:.3f}" for ms in answer["deciles_ms"])]
        cells += [f"{answer['kernels_ms']:.3f}", f"{median - answer['kernels_ms']:+.3f}"]
        cells += [f"{times[way]:.3f}" if way in times else "-" for way in WAYS]
        cells += [f"{median / times[way]:.2f}" if way in times else "-" for way in WAYS]
        if answer["reference"] is None:
            cells.append("-")
        else:
            off, most = difference(answer), MOST_DIFFERENCE[answer["precision"]]
            cells.append(f"{off:.1e}" + ("" if off < most else f" **(more than {most:.0e})**"))
        yield row(cells)


def kernels_table(answer, peak):
    yield header("kernel", "launches", "ms", "GB/s", "of the copy", "TFLOP/s", "of the product")
    for kernel in answer["kernels"]:
        # Only the large products use the step's precision; everything else is f32.
        precision = answer["precision"] if answer["precision"] in kernel["kernel"].split("_") else "f32"
        shares = [
            f"{100 * kernel[name] / peak[of]:.0f} %" if of in peak else "-"
            for name, of in (("gigabytes_per_second", "gigabytes_per_second"), ("teraflops", f"{precision}_teraflops"))
        ]
        yield row([f"`{kernel['kernel']}`", str(kernel["launches"]), f"{kernel['ms']:.4f}",
                   f"{kernel['gigabytes_per_second']:.0f}", shares[0], f"{kernel['teraflops']:.2f}", shares[1]])


def curves(folder):
    """Loss and gradient norm of the runs on the CPU, on the GPU and on both, at their last common step."""
    found = {}
    for name in ("cpu", "cuda", "both"):
        points = {line["step"]: line for line in lines(folder / name / "metrics.jsonl") if "train/loss" in line}
        if points:
            found[name] = points
    if "cpu" not in found or len(found) < 2:
        return
    step = max(set.intersection(*(set(points) for points in found.values())))
    yield header("run", f"loss at step {step}", "gradient norm", "off the CPU by")
    for name, points in found.items():
        values = [points[step][metric] for metric in ("train/loss", "train/gradient_norm")]
        others = [found["cpu"][step][metric] for metric in ("train/loss", "train/gradient_norm")]
        off = max(abs(value / other - 1) for value, other in zip(values, others))
        yield row([name, *(f"{value:.6f}" for value in values), f"{off:.1e}"])


def acting_table(answers):
    """Milliseconds of a decision in all rows."""
    times = {(answer["rows"], answer["device"]): answer["median_ms"] for answer in answers}
    device = next((device for _, device in times if device != "cpu"), None)
    yield header("episodes in lock-step", "CPU, ms", "GPU, ms", "CPU over GPU")
    for rows in sorted({rows for rows, _ in times}):
        of = [times.get((rows, name)) for name in ("cpu", device)]
        ratio = f"{of[0] / of[1]:.2f}" if all(of) else "-"
        yield row([str(rows), *(f"{ms:.3f}" if ms else "-" for ms in of), ratio])


def returns_table(folder):
    """The mean returns of one policy, acting on the CPU and on the GPU."""
    paths = [folder / f"returns-{name}.json" for name in ("cpu", "cuda")]
    if not all(path.exists() and path.read_text() for path in paths):
        return
    results = [json.loads(path.read_text()) for path in paths]
    yield header("target", *(f"{name}: return, steps in s" for name in ("CPU", "GPU")), "episodes with another return")
    for cpu, gpu in zip(*(result["targets"] for result in results)):
        others = sum(a != b for a, b in zip(cpu["returns"], gpu["returns"]))
        means = [f"{score['return_mean']:.1f}, {result['env_steps']} in {result['seconds']:.1f}"
                 for score, result in zip((cpu, gpu), results)]
        yield row([f"{cpu['target']:g}", *means, f"{others} of {len(cpu['returns'])}"])


def main():
    folder = pathlib.Path(sys.argv[1])
    ours = latest(lines(folder / "ours.jsonl"), key)
    theirs = latest(lines(folder / "pytorch.jsonl"), lambda answer: (key(answer), answer["way"]))
    peak_file = folder / "peaks.json"
    peak = json.loads(peak_file.read_text()) if peak_file.exists() and peak_file.read_text() else {}
    if (folder / "clocks.csv").exists() and (clocks := (folder / "clocks.csv").read_text().strip()):
        names, values = (line.split(", ") for line in clocks.splitlines()[:2])
        print(*(f"{name}: {value}" for name, value in zip(names, values)), sep="  \n", end="\n\n")
    if ours:
        print(f"Device: {ours[0]['device']}; opened in {ours[0]['open_secs']:.1f} s\n")
        print(*steps_table(ours, theirs), sep="\n")
    if runs := list(curves(folder / "runs")):
        print("\nTraining, CPU and GPU:\n")
        print(*runs, sep="\n")
    if answers := lines(folder / "acting.jsonl"):
        print("\nDecisions:\n")
        print(*acting_table(answers), sep="\n")
    if returns := list(returns_table(folder)):
        print("\nOne policy, acting on both:\n")
        print(*returns, sep="\n")
    for answer in ours:
        sizes = answer["sizes"]
        print(f"\nBatch {sizes['batch']}, width {sizes['width']}, {answer['precision']}:\n")
        print(*kernels_table(answer, peak), sep="\n")
    notes = folder / "notes.txt"
    if notes.exists():
        print("\nNotes:\n", *(f"- {line}" for line in notes.read_text().splitlines()), sep="\n")


main()
