"""Writes the parity fixtures: what PyTorch computes for small Decision Transformers.

    make_fixtures.py            writes tests/parity/*.safetensors
    make_fixtures.py --check    computes them again and compares with the files

Tensors of a fixture:

    weights/NAME        the state dict before training, the peers' names, buffers included
    batch/NAME          observations BKS, actions BKA (one-hot if discrete), returns_to_go BK,
                        timesteps BK, mask BK, lengths B; what elastic_dt predicts: scaled_returns
                        BK, next_observations BS
    outputs/actions     BKA; for padded steps the values mean nothing
    loss                before the first step
    gradients/NAME      before clipping, of every parameter that gets one
    gradient_norm       their global L2 norm
    after/NAME          every parameter after three optimiser steps on the same batch
    loss/after_N        after step N
    alpha/after_N       the temperature after step N, of stochastic policies

The metadata entry `case` is JSON: the sizes, the optimiser, the parameters without gradient
(AdamW leaves those alone, weight decay too), and the tolerance to compare with. The values are
computed in float64 from float32 weights and batch, then rounded to float32: a reference without
noise of its own, and the same bytes whatever the processor. PyTorch's own float32 stays within
half the tolerance.
"""

import argparse
import copy
import json
import math
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from cases import CASES, case_batch, case_network, fixture_case, inputs, network, spread
from sensitivity import check_sensitivity
from stochastic import Lamb, Stochastic

OPTIMISER = {
    "steps": 3, "learning_rate": 1e-3, "weight_decay": 1e-2, "betas": [0.9, 0.999],
    "epsilon": 1e-8, "clip_norm": 0.25, "warmup_steps": 2,
}
# Of the largest value in each tensor; for `after`, absolute. See `deviation` for the last.
TOLERANCE = {
    "outputs": 1e-5, "loss": 1e-5, "gradients": 1e-5, "after": 1e-5, "after_key_bias": 3e-4,
}
# LAMB moves a tensor by a part of its length, and here the bias of the keys is a tensor.
KEY_BIAS_BY_LAMB = 3e-3
# In float64, what is left of a gradient that is zero in exact arithmetic.
ZERO = 1e-13
# The factor of the guided actions.
GUIDANCE = 2.0
# Trainable and unused parameters together, hopper (11 observations, 3 actions), 128 wide.
PUBLISHED_PARAMETERS = {"official": 727_695, "corl": 728_579, "convformer": 535_939,
                        "decision_mamba": 877_315, "huggingface": 858_767, "d3rlpy": 726_147}
SIZE_LIMIT = 2_200_000


def main():
    parser = argparse.ArgumentParser(description="write the parity fixtures")
    parser.add_argument("--check", action="store_true", help="compare with the files instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    for recipe in PUBLISHED_PARAMETERS:
        check_published(recipe)
    folder = Path(__file__).parent
    bytes_written = 0
    for case in CASES:
        tensors, facts, float32 = fixture(case)
        path = folder / f"{case.name}.safetensors"
        if arguments.check:
            compare(path, tensors)
        else:
            # One entry only: the order of several would differ from run to run.
            save_file(tensors, path, {"case": json.dumps(facts, sort_keys=True)})
        bytes_written += path.stat().st_size
        print(f"{path.name}: {path.stat().st_size} bytes, loss {tensors['loss']:.4f}, "
              f"gradient norm {tensors['gradient_norm']:.3f}, float32 deviates by "
              + ", ".join(f"{value:.1e} ({group})" for group, value in float32.items()))
    assert bytes_written < SIZE_LIMIT, f"{bytes_written} bytes"
    print(f"{bytes_written} bytes in all")


def check_published(recipe):
    """The published hopper network: its number of parameters and how its matrices start."""
    timesteps = {"corl": 1020, "d3rlpy": 1001}.get(recipe, 1000)
    torch.manual_seed(0)
    model = network(recipe, 11, 3, 128, 3, 1, timesteps, context=20)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{recipe}: {count} parameters at the published size")
    assert count == PUBLISHED_PARAMETERS[recipe], f"expected {PUBLISHED_PARAMETERS[recipe]}"
    for name, parameter in model.named_parameters():
        # Standard errors of a few percent would blur small ones; the rates of a scan are fixed.
        if parameter.dim() == 1 or parameter.numel() < 1000 or name.endswith("A_log"):
            continue
        expected = 0.02
        around = ("embed_", "predict_", "_encoder", "_rtg_", "_action_", "_output")
        if recipe == "huggingface":
            expected /= math.sqrt(6) if "c_proj" in name else 1.0
        elif name.startswith(around):
            expected = spread(name, parameter.shape)
        elif "conv1d" in name:
            expected = 1.0 / math.sqrt(3.0 * parameter.shape[-1])
        elif name.endswith("in_proj_weight"):
            # Xavier: uniform within sqrt(6 / (inputs + outputs)), so std sqrt(2 / (C + 3C)).
            expected = math.sqrt(2 / sum(parameter.shape))
        assert abs(parameter.std().item() / expected - 1) < 0.05, f"{name}: {parameter.std()}"


def fixture(case):
    """The tensors and the facts of one case, and how far PyTorch's own float32 is from it."""
    model, batch = case_network(case), case_batch(case)
    exact = train(case, copy.deepcopy(model).double(), to_double(batch))
    single = train(case, copy.deepcopy(model), batch)
    check_sensitivity(case, copy.deepcopy(model).double(), to_double(batch))
    if case.mixer == "attention":
        check_attention(case, exact)
    if not case.discrete:
        assert exact["gradient_norm"] > OPTIMISER["clip_norm"], "the clipping is not exercised"

    tensors = {f"weights/{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"batch/{name}": tensor for name, tensor in batch.items()}
    tensors |= {name: torch.where(tensor.abs() < ZERO, 0.0, tensor).float()
                for name, tensor in exact.items()}
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    without_gradient = [name for name, _ in model.named_parameters()
                        if f"gradients/{name}" not in exact]
    tolerance = dict(TOLERANCE)
    if case.recipe == "reinformer" and case.method == "lamb":
        tolerance["after_key_bias"] = KEY_BIAS_BY_LAMB
    facts = case.sizes() | {
        "optimiser": OPTIMISER,
        "loss": ("cross_entropy" if case.discrete else "mean_squared_error"
                 if case.action_head == "tanh" else "likelihood"),
        "loss_denominator": {"corl": "all", "d3rlpy": "steps"}.get(case.recipe, "valid"),
        "without_gradient": without_gradient,
        "tolerance": tolerance,
    }
    float32 = deviation(case, batch["mask"] > 0, exact, single)
    for group, largest in float32.items():
        assert largest <= tolerance[group] / 2, f"{case.name}: float32 {group} {largest}"
    return tensors, facts, float32


def train(case, model, batch):
    """Outputs, loss, gradients, and what three optimiser steps make of the parameters."""
    model.train()
    model.targets = batch
    method = Lamb if case.method == "lamb" else torch.optim.AdamW
    optimiser = method(
        model.parameters(), lr=OPTIMISER["learning_rate"],
        weight_decay=OPTIMISER["weight_decay"], betas=OPTIMISER["betas"],
        eps=OPTIMISER["epsilon"])
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / OPTIMISER["warmup_steps"], 1))
    computed = {}
    is_stochastic = isinstance(model, Stochastic)
    if is_stochastic:
        model.begin()
    for step in range(OPTIMISER["steps"] + 1):
        outputs = model(**inputs(batch))
        loss = model.loss(outputs, batch["actions"], batch["mask"], case.discrete)
        computed["loss" if step == 0 else f"loss/after_{step}"] = loss.detach()
        if step == OPTIMISER["steps"]:
            break
        optimiser.zero_grad()
        loss.backward()
        if step == 0:
            computed["outputs/actions"] = outputs.detach()
            if case.condition == "nullable":
                computed["outputs/guided"] = model.guided(GUIDANCE, **inputs(batch)).detach()
            computed |= {f"gradients/{name}": parameter.grad.clone()
                         for name, parameter in model.named_parameters()
                         if parameter.grad is not None}
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIMISER["clip_norm"])
        if step == 0:
            computed["gradient_norm"] = norm
        optimiser.step()
        schedule.step()
        if is_stochastic:
            computed[f"alpha/after_{step + 1}"] = model.step_temperature()
    computed |= {f"after/{name}": parameter.detach().clone()
                 for name, parameter in model.named_parameters()}
    return computed


def to_double(batch):
    """The batch with its floats in float64."""
    return {name: tensor.double() if tensor.is_floating_point() else tensor
            for name, tensor in batch.items()}


def check_attention(case, exact):
    """Queries and keys must matter: their gradients may not be negligible next to the values'."""
    names = {"corl": ["blocks.0.attention.in_proj_weight"],
             "huggingface": ["encoder.h.0.attn.c_attn.weight"],
             "d3rlpy": [f"_gpt2._transformer.0._attention.{part}.weight"
                        for part in ("_q", "_k", "_v")],
             "reinformer": [f"transformer.0.attention.{part}_net.weight" for part in "qkv"]}
    names["elastic_dt"] = names["reinformer"]
    names = names.get(case.recipe, ["transformer.h.0.attn.c_attn.weight"])
    dimension = 0 if case.recipe in ("corl", "d3rlpy", "reinformer", "elastic_dt") else 1
    joint = torch.cat([exact[f"gradients/{name}"] for name in names], dim=dimension)
    query, key, value = (part.abs().max() for part in joint.chunk(3, dim=dimension))
    assert min(query, key) > 0.02 * value, f"{case.name}: {query} {key} {value}"


def deviation(case, valid, exact, single):
    """The largest float32 deviations: relative to each tensor's largest value, `after` absolute.

    Outputs of padded steps are omitted.

    The key third of an attention bias is excluded from the two and listed separately, except for
    linear attention: the softmax does not feel it, so its gradient is zero, float32 gives noise instead, and Adam's division by
    the square root of its square makes steps of that noise.
    """
    found = {"outputs": 0.0, "loss": 0.0, "gradients": 0.0, "after": 0.0, "after_key_bias": 0.0}
    for name, truth in exact.items():
        difference = (single[name].double() - truth).abs()
        group = name.split("/")[0].replace("gradient_norm", "gradients").replace("alpha", "loss")
        if case.mixer != "linear" and name.endswith(
                ("c_attn.bias", "in_proj_bias", "_attention._k.bias", "k_net.bias")):
            key = (slice(None) if name.endswith(("_k.bias", "k_net.bias"))
                   else slice(case.width, 2 * case.width))
            if group == "after":
                found["after_key_bias"] = max(
                    found["after_key_bias"], difference[key].max().item())
            else:
                assert truth[key].abs().max() < ZERO
            difference = difference.clone()
            difference[key] = 0.0
        if group == "outputs":
            difference = difference[valid]
        scale = 1.0 if group == "after" else truth.abs().max().item()
        largest = difference.max().item()
        found[group] = max(found[group], largest / scale if largest else 0.0)
    return found


def compare(path, tensors):
    """Stops unless the file holds these tensors, to a last bit or two."""
    stored = load_file(path)
    if stored.keys() != tensors.keys():
        sys.exit(f"other tensors than expected: {path}")
    assert fixture_case(path), f"no metadata: {path}"
    for name, tensor in tensors.items():
        torch.testing.assert_close(
            stored[name], tensor, rtol=1e-6, atol=1e-7, msg=lambda text: f"{name}: {text}")


if __name__ == "__main__":
    main()
