"""What a fixture must exercise, asserted; a batch without its corners would prove less."""

import math

import torch
from torch import nn

from .cases import BATCH, SMALLEST_LOG_SIGMA, batch, noise
from .iql import ADVANTAGE_WEIGHT_LIMIT


def check_kinks(learner):
    """Watches every ReLU; the function returned gives the input that came nearest to zero.

    There float32 may take the other branch.
    """
    nearest = [math.inf]

    def watch(_module, inputs, _output):
        nearest[0] = min(nearest[0], inputs[0].abs().min().item())

    for network in learner.networks.values():
        for module in network.modules():
            if isinstance(module, nn.ReLU):
                module.register_forward_hook(watch)
    return lambda: nearest[0]


def check_corners(case, exact):
    """`exact`: what the three updates compute, by the fixture's names."""
    first = {name.removeprefix("update.1."): tensor for name, tensor in exact.items()
             if name.startswith("update.1.")}
    arrays = batch(case, 1)
    if case.algorithm != "bc":
        # y = r where an episode ends.
        ended = arrays["terminated"] == 1
        assert 0 < ended.sum() < BATCH
        assert torch.equal(first["target"][ended].float(), arrays["rewards"][ended])
        assert ((first["q_1"] - first["q_2"]).abs() > 1e-5).all(), f"{case.name}: a tie"
    if case.algorithm == "td3_bc":
        limit = case.hyperparameters["max_action"]
        saturated = (first["next_actions"].abs() == limit).float().mean()
        assert 0.05 < saturated < 0.6, f"{case.name}: {saturated} of the next actions clipped"
        draws = noise(case, 1)[0] * case.hyperparameters["policy_noise"]
        assert (draws > 0.5).any() and (draws < -0.5).any()
        for name in ("actor", "critic_1", "critic_2"):
            start = case.learner(torch.float64).networks[f"{name}_target"].net[0].weight
            path = f"{name}_target.net.0.weight"
            assert torch.equal(exact[f"after.1.{path}"], start), "a target moved in update 1"
            assert not torch.equal(exact[f"after.3.{path}"], start), "no target moved"
    if case.algorithm == "iql":
        beta = case.hyperparameters["beta"]
        assert first["advantage"][0] == 0, f"{case.name}: {first['advantage'][0]}"
        capped = first["weight"] == ADVANTAGE_WEIGHT_LIMIT
        assert 0 < capped.sum() < BATCH / 2, f"{case.name}: {capped.sum()} weights capped"
        positive, negative = (first["advantage"] > 0).sum(), (first["advantage"] < 0).sum()
        assert min(positive, negative) > 3, f"{case.name}: {positive} and {negative} advantages"
        near = (beta * first["advantage_actor"] - math.log(ADVANTAGE_WEIGHT_LIMIT)).abs().min()
        assert near > 1e-3, f"{case.name}: an advantage on the cap"
    if case.algorithm == "awac":
        for name in ("next_actions", "policy_actions"):
            clipped = (first[name].abs() == 1).float().mean()
            assert 0.05 < clipped < 0.9, f"{case.name}: {clipped} of the {name} clipped"
        if case.hyperparameters["weights"] == "clip":
            capped = (first["weight"] == case.hyperparameters["weight_limit"]).sum()
            assert 0 < capped < BATCH / 2, f"{case.name}: {capped} weights capped"
    if case.algorithm == "rebrac":
        assert torch.equal(first["penalty"][5], (first["next_actions"][5] ** 2).sum())
        start = case.learner(torch.float64).networks["actor_target"].net[0].weight
        assert not torch.equal(exact["after.1.actor_target.net.0.weight"], start)
    if case.algorithm == "cql":
        learner = case.learner(torch.float64)
        with torch.no_grad():
            log_sigma = learner.log_sigma(learner.actor(arrays["observations"].double())[1])
        assert (log_sigma == 2).any(), f"{case.name}: log sigma never at 2"
        assert (log_sigma > SMALLEST_LOG_SIGMA).float().mean() > 0.6
    if case.algorithm == "sac":
        learner = case.learner(torch.float64)
        with torch.no_grad():
            log_sigma = learner.log_sigma(learner.actor(arrays["observations"].double())[1])
        low, high = (-5.0, 2.0) if case.recipe == "cleanrl" else (-20.0, 2.0)
        for bound in (low, high):
            reached = ((log_sigma - bound).abs() < 1e-3).sum()
            assert reached > 0, f"{case.name}: log sigma never at {bound}"
        assert (log_sigma > SMALLEST_LOG_SIGMA).float().mean() > 0.6
