"""Times the members of the Decision Transformer family and the plain model in turn, call by call.

    python benches/peers/family.py [--rtg target/release/rtg] [--rounds 40] [--threads 2] [--contexts 20,100]

A training step and a decision with a full context, beside the plain model (attention, return tokens) in the
way of compare.py: a ratio is the median of the ratios of neighbouring calls.
"""

import argparse

from compare import paired, race

MEMBERS = {
    "attention, token": [],
    "attention, adaln": ["--condition", "adaln"],
    "convolution, token": ["--mixer", "convolution"],
    "convolution, adaln": ["--mixer", "convolution", "--condition", "adaln"],
    "scan, token": ["--mixer", "scan"],
    "scan, adaln": ["--mixer", "scan", "--condition", "adaln"],
    "linear, token": ["--mixer", "linear"],
    "lstm, token": ["--mixer", "lstm"],
    "attention, predicted": ["--condition", "predicted"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rtg", default="target/release/rtg")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--contexts", default="20,100")
    options = parser.parse_args()
    for what, calls in (("train-step", 1), ("act", 20)):
        for context in options.contexts.split(","):
            base = [options.rtg, "bench", what, "--on-request", "--context", context,
                    "--threads", options.threads]
            sides = race({name: base + switches for name, switches in MEMBERS.items()},
                         options.rounds, calls)
            plain = sides["attention, token"]
            print(f"{what}, K {context}:")
            for name, side in sides.items():
                print(f"  {name:>20}: {side}; {paired(side, plain):.3f} of the plain model", flush=True)


if __name__ == "__main__":
    main()
