"""The tables of run.sh's results, in Markdown: `table.py RESULTS`."""

import json
import pathlib
import sys


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def key(answer):
    sizes = answer["sizes"]
    return tuple(sizes[name] for name in ("batch", "width", "layers", "heads", "context"))


def main():
    folder = pathlib.Path(sys.argv[1])
    ours, theirs = lines(folder / "ours.jsonl"), lines(folder / "pytorch.jsonl")
    peak = json.loads((folder / "peaks.json").read_text()) if (folder / "peaks.json").exists() else {}
    if not ours:
        sys.exit("no timings")
    print(f"Device: {ours[0]['device']}\n")
    print("| batch | width | layers | precision | ours, ms | PyTorch eager, ms | compiled, ms | of eager | of compiled |")
    print("|---|---|---|---|---|---|---|---|---|")
    for answer in ours:
        same = [other for other in theirs if key(other) == key(answer) and other["precision"] == answer["precision"]]
        times = {other["what"].split()[-1]: other["median_ms"] for other in same}
        cells = [f"{answer['median_ms']:.3f}"]
        cells += [f"{times[way]:.3f}" if way in times else "-" for way in ("eager", "compiled")]
        cells += [f"{answer['median_ms'] / times[way]:.3f}" if way in times else "-" for way in ("eager", "compiled")]
        sizes = answer["sizes"]
        print(f"| {sizes['batch']} | {sizes['width']} | {sizes['layers']} | {answer['precision']} | " +
              " | ".join(cells) + " |")
    for answer in ours:
        sizes = answer["sizes"]
        print(f"\nBatch {sizes['batch']}, width {sizes['width']}, {answer['precision']}:\n")
        print("| kernel | launches | ms | GB/s | of the copy | TFLOP/s | of the product |")
        print("|---|---|---|---|---|---|---|")
        for kernel in answer["kernels"]:
            # Only the large products use the step's precision; everything else is f32.
            precision = answer["precision"] if kernel["kernel"].startswith(f"product_{answer['precision']}") else "f32"
            shares = [
                f"{100 * kernel[name] / peak[of]:.0f} %" if of in peak else "-"
                for name, of in (("gigabytes_per_second", "gigabytes_per_second"),
                                 ("teraflops", f"{precision}_teraflops"))
            ]
            print(f"| `{kernel['kernel']}` | {kernel['launches']} | {kernel['ms']:.4f} | "
                  f"{kernel['gigabytes_per_second']:.0f} | {shares[0]} | {kernel['teraflops']:.2f} | {shares[1]} |")


main()
