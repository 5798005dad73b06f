"""The training step of ../peers/pytorch_model.py on a GPU in three ways: eager; compiled with CUDA graphs for forward
and backward; and the whole step as one CUDA graph.

    pytorch_gpu.py --device cuda:0 --precision bf16 [--batch 64 --width 128 ...]   one JSON line for each way
    pytorch_gpu.py --device cuda:0 --peaks                        what large products and copies reach there

A step is a fresh batch cut from data on the device, forward, backward, clipping at 0.25 and AdamW (fused), as ours
is. Steps are timed by the run of many without the host waiting in between.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

import torch
from torch.nn import functional as F

WAYS = ("eager", "compiled", "graph")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "peers")]

from pytorch_model import DecisionTransformer  # noqa: E402


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(device, work, repeats, seconds):
    """Seconds of one call, over runs of about 0.2 s, until there are enough of them or the time is over."""
    def run(inner):
        wait(device)
        began = time.perf_counter()
        for _ in range(inner):
            work()
        wait(device)
        return (time.perf_counter() - began) / inner

    inner = min(max(int(0.2 / run(3)), 3), 64)
    times, began = [], time.perf_counter()
    while not times or len(times) < repeats and time.perf_counter() - began < seconds:
        times.append(run(inner))
    return times


class Data:
    """Ten long episodes on the device, and windows of them."""

    def __init__(self, sizes, device):
        steps = 10_000
        self.sizes, self.device, self.steps = sizes, device, steps
        self.observations = torch.randn(steps, sizes["observation"], device=device)
        self.actions = torch.rand(steps, sizes["action"], device=device) * 2 - 1
        self.returns = torch.rand(steps, device=device)
        self.timesteps = torch.arange(steps, device=device) % 1000

    def batch(self):
        first = torch.randint(0, self.steps - self.sizes["context"], (self.sizes["batch"], 1), device=self.device)
        at = first + torch.arange(self.sizes["context"], device=self.device)
        return {
            "observations": self.observations[at],
            "actions": self.actions[at],
            "returns_to_go": self.returns[at],
            "timesteps": self.timesteps[at],
        }


def step_of(way, model, optimiser, loss_of, data):
    """A function that does one step in a way."""
    clip = torch.nn.utils.clip_grad_norm_
    if way == "graph":
        # The whole step, the batch included, as one graph: what a careful user of PyTorch can reach.
        forward = torch.compile(loss_of)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        optimiser.zero_grad(set_to_none=True)
        with torch.cuda.stream(side):
            for _ in range(3):
                forward(data.batch()).backward()
                clip(model.parameters(), 0.25, foreach=True)
                optimiser.step()
                optimiser.zero_grad(set_to_none=False)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            optimiser.zero_grad(set_to_none=False)
            forward(data.batch()).backward()
            clip(model.parameters(), 0.25, foreach=True)
            optimiser.step()
        return graph.replay
    forward = torch.compile(loss_of, mode="reduce-overhead") if way == "compiled" else loss_of

    def step():
        if way == "compiled":
            torch.compiler.cudagraph_mark_step_begin()
        optimiser.zero_grad(set_to_none=True)
        forward(data.batch()).backward()
        clip(model.parameters(), 0.25)
        optimiser.step()

    return step


def step_times(arguments, sizes, device):
    """One answer for each way; a way that fails says so, and the others follow."""
    data = Data(sizes, device)
    precision, failures = arguments.precision, 0
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    on_gpu = device.type == "cuda"
    for way in WAYS if on_gpu else WAYS[:1]:
        try:
            torch.manual_seed(0)
            torch._dynamo.reset()
            model = DecisionTransformer(sizes, "sdpa", "gelu").to(device).train()
            optimiser = torch.optim.AdamW(
                model.parameters(), lr=1e-4, weight_decay=1e-4, fused=True, capturable=on_gpu)

            def loss_of(batch, model=model):
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                    predicted = model(**batch)
                return F.mse_loss(predicted.float(), batch["actions"])

            step = step_of(way, model, optimiser, loss_of, data)
            for _ in range(5):
                step()
            times = timed(device, step, arguments.repeats, arguments.seconds)
        except Exception as error:  # noqa: BLE001 - the other ways are still worth having
            failures += 1
            print(f"PyTorch {way} {precision}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        print(json.dumps({
            "what": "train-step",
            "way": way,
            "sizes": sizes,
            "precision": precision,
            "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
            "median_ms": 1e3 * statistics.median(times),
            "deciles_ms": [1e3 * sorted(times)[(len(times) - 1) * tenths // 10] for tenths in (1, 9)],
            "torch": torch.__version__,
        }), flush=True)
    return failures


def peaks(device):
    """What a large product of each precision and a large copy reach."""
    n = 8192 if device.type == "cuda" else 512
    answer = {}
    for precision, kind in (("f32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16)):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        a, b = (torch.randn(n, n, device=device, dtype=kind) for _ in range(2))
        seconds = statistics.median(timed(device, lambda: a @ b, 5, 2))
        answer[f"{precision}_teraflops"] = 2 * n**3 / seconds / 1e12
    numbers = torch.empty(n * n * 4, device=device)
    to = torch.empty_like(numbers)
    seconds = statistics.median(timed(device, lambda: to.copy_(numbers), 5, 2))
    answer["gigabytes_per_second"] = 2 * 4 * numbers.numel() / seconds / 1e9
    print(json.dumps(answer))


def main():
    parser = argparse.ArgumentParser(description="time a training step of PyTorch on a GPU")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--precision", choices=["f32", "tf32", "bf16"], default="bf16")
    parser.add_argument("--repeats", type=int, default=20, help="most runs that are timed")
    parser.add_argument("--seconds", type=float, default=10, help="after which no further run is timed")
    parser.add_argument("--peaks", action="store_true")
    sizes = {"batch": 64, "context": 20, "width": 128, "layers": 3, "heads": 1, "observation": 11, "action": 3}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dropout", type=float, default=0.1)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if arguments.peaks:
        peaks(device)
        return 0
    sizes = {name: getattr(arguments, name) for name in [*sizes, "dropout"]}
    return step_times(arguments, sizes, device)


if __name__ == "__main__":
    sys.exit(main())
