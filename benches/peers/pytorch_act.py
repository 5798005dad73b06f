"""Times acting in PyTorch: the whole context goes in, the last step's action comes out.

    pytorch_act.py [--rows 1] [--context 20 --width 128 ...]

As evaluation loops have it: eval mode, no_grad, a new observation written into the history
before each call, the action read back as NumPy and written too. Prints one JSON object.
"""

import json
import resource
import statistics
import time

import numpy as np
import torch

from pytorch_model import DecisionTransformer, add_size_arguments, answer_requests, parser


def main():
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    sizes = {name: getattr(arguments, name) for name in
             ("rows", "context", "width", "layers", "heads", "observation", "action")}
    sizes["dropout"] = 0.0
    model = DecisionTransformer(sizes, arguments.attention, arguments.activation).eval()
    decide = Decisions(model, sizes)
    for _ in range(arguments.warmup):
        decide()
    if arguments.on_request:
        return answer_requests(decide)
    milliseconds = []
    for _ in range(arguments.steps):
        began = time.perf_counter()
        decide()
        milliseconds.append(1e3 * (time.perf_counter() - began))
    median = statistics.median(milliseconds)
    print(json.dumps({
        "what": f"act pytorch {arguments.attention}",
        "sizes": sizes,
        "activation": arguments.activation,
        "threads": arguments.threads,
        "steps": arguments.steps,
        "median_ms": round(median, 4),
        "min_ms": round(min(milliseconds), 4),
        "actions_per_second": round(sizes["rows"] * 1e3 / median, 1),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "torch": torch.__version__,
    }))


def parse():
    arguments = parser("time acting in PyTorch")
    add_size_arguments(arguments, dropout=False)
    arguments.add_argument("--rows", type=int, default=1, help="environments acted in at once")
    arguments.add_argument("--steps", type=int, default=500, help="timed steps")
    arguments.add_argument("--warmup", type=int, default=20, help="steps before those")
    return arguments.parse_args()


class Decisions:
    """One decision a call. The context is full from the first one on; the history begins again
    before the table of timesteps ends."""

    LENGTH = 1000

    def __init__(self, model, sizes):
        rows, length = sizes["rows"], self.LENGTH
        self.model, self.context = model, sizes["context"]
        self.observations = torch.zeros(rows, length, sizes["observation"])
        self.actions = torch.zeros(rows, length, sizes["action"])
        self.returns_to_go = torch.full((rows, length), 3.6)
        self.timesteps = torch.arange(length).expand(rows, length)
        self.seen = np.random.default_rng(0).standard_normal(
            (length, rows, sizes["observation"]), dtype=np.float32)
        self.last = self.context

    @torch.no_grad()
    def __call__(self):
        last = self.last
        self.observations[:, last] = torch.as_tensor(self.seen[last])
        window = slice(last + 1 - self.context, last + 1)
        predicted = self.model(self.observations[:, window], self.actions[:, window],
                               self.returns_to_go[:, window], self.timesteps[:, window])
        action = predicted[:, -1].numpy()
        self.actions[:, last] = torch.as_tensor(action)
        self.last = last + 1 if last + 1 < self.LENGTH else self.context


if __name__ == "__main__":
    main()
