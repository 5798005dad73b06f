"""Writes tests/parity/labels/critic.safetensors: labels of four episodes from given values of states.

    make_label_fixtures.py            writes the file
    make_label_fixtures.py --check    computes it again and compares

Everything is float64. Of episode E = 0 .. 3, with T steps and windows of K = 3:

    E.rewards T, E.values T + 1 (the last is that of the final observation), E.terminated 1
    E.qdt T                      the labels of single steps
    E.windows (T - K + 1) K      the returns-to-go of all whole windows, after the procedure of
                                 takuyamagata/qdt_simple (train_cql_dt-model-v1.py): windows from
                                 the last to the first, their last label from the critic, the
                                 others from rewards; it changes the data in place, as there
    E.advantages.L T             for lambda L = 0, 0.5, 1 and a discount of 0.9, as a sum over
                                 the rest of the episode
    E.std 1                      the population standard deviation of E.advantages.0.5
"""

import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

PATH = pathlib.Path(__file__).parent / "labels" / "critic.safetensors"
CONTEXT, DISCOUNT, DECAYS = 3, 0.9, (0.0, 0.5, 1.0)


def relabelled(rewards, values):
    """Windows from the end, in place: the source's loop, but with windows that reach the end."""
    steps = len(rewards)
    told = np.array([rewards[t:].sum() for t in range(steps)])
    single, windows = np.zeros(steps), np.zeros((max(steps - CONTEXT + 1, 0), CONTEXT))
    for last in reversed(range(steps)):
        if last == steps - 1:
            told[last] = rewards[last]
        else:
            # told[last + 1] is the label that the window before this one gave it.
            told[last] = rewards[last] + max(single[last + 1], values[last + 1])
        single[last] = told[last]
        first = last - CONTEXT + 1
        for step in reversed(range(max(first, 0), last)):
            told[step] = told[step + 1] + rewards[step]
        if first >= 0:
            windows[first] = told[first:last + 1]
    return single, windows


def advantages(rewards, values, terminated, decay):
    after = values[1:].copy()
    if terminated:
        after[-1] = 0.0
    differences = rewards + DISCOUNT * after - values[:-1]
    steps = len(rewards)
    return np.array([
        sum((DISCOUNT * decay) ** (s - t) * differences[s] for s in range(t, steps))
        for t in range(steps)])


def main():
    random, tensors = np.random.default_rng(7), {}
    for episode, (steps, terminated) in enumerate([(1, True), (5, False), (8, True), (12, False)]):
        rewards = random.normal(size=steps)
        # Values near the returns, so that sometimes one is larger and sometimes the other.
        values = random.normal(size=steps + 1) * 2.0
        single, windows = relabelled(rewards, values)
        own = {
            "rewards": rewards, "values": values, "terminated": np.array([float(terminated)]),
            "qdt": single, "windows": windows,
        }
        for decay in DECAYS:
            own[f"advantages.{decay:g}"] = advantages(rewards, values, terminated, decay)
        own["std"] = own["advantages.0.5"].std(keepdims=True)
        tensors |= {f"{episode}.{name}": tensor for name, tensor in own.items()}
    raised = sum((tensors[f"{e}.qdt"] > np.cumsum(tensors[f"{e}.rewards"][::-1])[::-1] + 1e-9).sum()
                 for e in range(4))
    assert 5 < raised < 25, raised
    if sys.argv[1:] == ["--check"]:
        stored = load_file(PATH)
        assert stored.keys() == tensors.keys()
        for name, tensor in tensors.items():
            np.testing.assert_allclose(stored[name], tensor, rtol=1e-12, atol=1e-12, err_msg=name)
    else:
        save_file(tensors, PATH)


if __name__ == "__main__":
    main()
