"""Times one decision of an exported policy in rtg, rtg-act and onnxruntime, in turn, call by call.

    python benches/peers/act.py [--rtg target/release/rtg] [--latency target/release/examples/latency]
        [--rounds 40]

Policies: Decision Transformers of the published size with the recipes corl (GELU) and official
(ReLU), past the first K steps of an episode, and TD3+BC's actor of 2 x 256. One thread each. The
first row is beside rtg's own decision (`rtg bench act`, which has corl's shape).
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

import compare

DATA = "--dataset builtin/pendulum/random --set evaluation.every=0 --set evaluation.final_episodes=1 --threads 1"
POLICIES = {
    "dt-corl": f"{DATA} --recipe corl --steps 1",
    "dt-official": f"{DATA} --recipe official --steps 1",
    "td3_bc": f"{DATA} --algorithm td3_bc --steps 1",
}
CONTEXT = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rtg", default="target/release/rtg")
    parser.add_argument("--latency", default="target/release/examples/latency")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--on-request", metavar="ONNX", help="one decision for each line of standard input")
    arguments = parser.parse_args()
    if arguments.on_request:
        return answer(arguments.on_request)
    rtg, latency = (pathlib.Path(program).resolve() for program in (arguments.rtg, arguments.latency))
    with tempfile.TemporaryDirectory() as folder:
        for name, options in POLICIES.items():
            for command in (f"train {options} --run-dir {name}",
                            f"export {name} --onnx {name}.onnx --act {name}.act"):
                subprocess.run([rtg, *command.split()], cwd=folder, check=True, capture_output=True)
            file = pathlib.Path(folder) / name
            sides = {
                "rtg-act": [latency, f"{file}.act", 3 * CONTEXT, "--on-request"],
                "onnxruntime": [sys.executable, __file__, "--on-request", f"{file}.onnx"],
            }
            if name == "dt-corl":
                sides["rtg"] = [rtg, *"bench act --observation 3 --action 1 --threads 1 --on-request".split()]
            sides = compare.race(sides, arguments.rounds, calls=20)
            print(name)
            for side, times in sides.items():
                ratio = compare.paired(sides["rtg-act"], times)
                print(f"  {side}: {times}; rtg-act takes {ratio:.2f} of it")


def answer(path):
    """A decision with a full context for each line."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    sizes = {"batch": 1, "context": CONTEXT}
    generator = np.random.default_rng(0)
    inputs = {}
    for given in session.get_inputs():
        shape = [sizes.get(size, size) for size in given.shape]
        is_float = given.type == "tensor(float)"
        inputs[given.name] = generator.normal(size=shape).astype(np.float32) if is_float else np.ones(shape, np.int64)
    for _ in sys.stdin:
        began = time.perf_counter()
        session.run(["action_preds"], inputs)
        print(1e3 * (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main()
