"""Times one training step in PyTorch: forward, backward, clip 0.25, AdamW.

    pytorch_step.py --attention sdpa|mha [--batch 64 --context 20 --width 128 ...] [--compile] [--bf16]

Prints one JSON object. The batch is random, full and fixed: reading data costs nothing here.
"""

import json
import resource
import statistics
import time

import torch
from torch.nn import functional as F

from pytorch_model import DecisionTransformer, add_size_arguments, answer_requests, parser


def main():
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    sizes = {name: getattr(arguments, name) for name in
             ("batch", "context", "width", "layers", "heads", "dropout", "observation", "action")}
    model = DecisionTransformer(sizes, arguments.attention, arguments.activation).train()
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=1e-4, weight_decay=1e-4,
        fused=True if arguments.optimiser == "fused" else None)
    batch, mask = make_batch(sizes)
    if arguments.attention == "sdpa":
        batch.pop("padded")

    forward = torch.compile(model) if arguments.compile else model

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
            predicted = forward(**batch)
        loss = (F.mse_loss(predicted, batch["actions"], reduction="none") * mask).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimiser.step()
        loss.item()

    for _ in range(arguments.warmup):
        step()
    if arguments.on_request:
        return answer_requests(step)
    milliseconds = []
    for _ in range(arguments.steps):
        began = time.perf_counter()
        step()
        milliseconds.append(1e3 * (time.perf_counter() - began))
    print(json.dumps({
        "what": f"train-step pytorch {arguments.attention}",
        "sizes": sizes,
        "activation": arguments.activation,
        "optimiser": arguments.optimiser,
        "compile": arguments.compile,
        "bf16": arguments.bf16,
        "threads": arguments.threads,
        "steps": arguments.steps,
        "median_ms": round(statistics.median(milliseconds), 2),
        "min_ms": round(min(milliseconds), 2),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "torch": torch.__version__,
    }))


def parse():
    arguments = parser("time a training step in PyTorch")
    add_size_arguments(arguments, dropout=True)
    arguments.add_argument("--batch", type=int, default=64)
    arguments.add_argument("--optimiser", choices=("default", "fused"), default="default",
                           help="AdamW as PyTorch picks it, or its fused kernel")
    arguments.add_argument("--compile", action="store_true", help="compile the model with torch.compile")
    arguments.add_argument("--bf16", action="store_true", help="products in bfloat16, by autocast")
    arguments.add_argument("--steps", type=int, default=20, help="timed steps")
    arguments.add_argument("--warmup", type=int, default=3, help="steps before those")
    return arguments.parse_args()


def make_batch(sizes):
    """A batch of full windows, and the loss's mask."""
    rows, context = sizes["batch"], sizes["context"]
    first = torch.randint(0, 1000 - context, (rows, 1))
    batch = {
        "observations": torch.randn(rows, context, sizes["observation"]),
        "actions": torch.rand(rows, context, sizes["action"]) * 2 - 1,
        "returns_to_go": torch.rand(rows, context) * 3.6,
        "timesteps": first + torch.arange(context),
        "padded": torch.zeros(rows, context, dtype=torch.bool),
    }
    return batch, torch.ones(rows, context, 1)


if __name__ == "__main__":
    main()
