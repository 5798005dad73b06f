"""What a fixture must exercise, asserted; a batch without its corners would prove less."""

import math

import torch
from torch import nn

from .cases import BATCH, DEAD, SMALLEST_LOG_SIGMA, batch, noise
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


def check_dead(case, first):
    """The first row is where every ReLU is off: its values are the last biases."""
    learner = case.learner(torch.float64)
    if case.algorithm == "edac":
        biases = learner.critic.net[4].bias.flatten()
        for number, bias in enumerate(biases[:2], 1):
            assert first[f"q_{number}"][0] == bias, f"{case.name}: a gradient that does not vanish"
        return
    biases = learner.q.net[4].bias
    if case.name == "discrete_cql_quantiles":
        assert torch.equal(first["q"][0], biases[:5]), f"{case.name}: other quantiles"
        assert (first["target"][0] == biases[2]).all(), f"{case.name}: no quantile on its target"
        return
    values = learner.q(torch.zeros(1, learner.q.net[0].in_features, dtype=torch.float64))[0, :, 0]
    assert values[0] == values[1] > values[2], f"{case.name}: no tie: {values}"
    # The two tied actions differ in the target network, so that the choice is seen.
    others = learner.q_target(torch.zeros(1, learner.q.net[0].in_features, dtype=torch.float64))
    assert (others[0, 0, 0] - others[0, 1, 0]).abs() > 1e-2


def check_corners(case, exact):
    """`exact`: what the three updates compute, by the fixture's names."""
    first = {name.removeprefix("update.1."): tensor for name, tensor in exact.items()
             if name.startswith("update.1.")}
    arrays = batch(case, 1)
    if case.algorithm == "ppo":
        for name in ("clipped", "held"):
            shares = [exact[f"update.{number}.{name}"].item() for number in (1, 2, 3)]
            assert all(0.05 < share < 0.95 for share in shares), f"{case.name}: {name} {shares}"
        # An episode ends at the last step, one by each kind of end.
        assert arrays["truncated"][-1] == 1 and arrays["terminated"][-2] == 1
        return
    if case.algorithm == "rvs":
        horizon = case.hyperparameters["horizon"]
        assert {0, horizon - 1} <= set(arrays["timesteps"].int().tolist())
        return
    if case.algorithm == "fqe":
        scale = case.hyperparameters["reward_scale"]
        target, value, ends = first["target"], first["q"], arrays["terminated"] == 1
        assert 0 < ends.sum() < BATCH
        assert torch.equal(target[ends], arrays["rewards"][ends].double() * scale)
        assert torch.equal(first["value"] * scale, value)
        near = ((target - value).abs() < 1).sum()
        assert 0 < near < BATCH, f"{case.name}: {near} errors below 1"
        return
    if case.algorithm != "bc":
        # y = r where an episode ends.
        ended = arrays["terminated"] == 1
        assert 0 < ended.sum() < BATCH
        target, rewards = first["target"][ended].float(), arrays["rewards"][ended]
        assert torch.equal(target, rewards.reshape(-1, *[1] * (target.dim() - 1)).expand_as(target))
    if case.name in DEAD:
        check_dead(case, first)
    if case.algorithm in ("dqn", "discrete_cql"):
        errors = first["q"] - first["target"]
        small = (errors.abs() < 1).double().mean()
        assert 0.1 < small < 0.9, f"{case.name}: {small} of the errors below 1"
        moved = [not torch.equal(exact[f"after.{number}.q_target.net.0.weight"].float(),
                                 case.learner(torch.float32).q_target.net[0].weight.detach())
                 for number in (1, 3)]
        assert moved == [case.algorithm == "discrete_cql", True], f"{case.name}: {moved}"
    elif case.algorithm == "discrete_bcq":
        assert 0.4 < first["allowed"].item() < 0.95, f"{case.name}: {first['allowed']} allowed"
        near = (first["likelihood"] - 0.3).abs().min()
        assert near > 1e-4, f"{case.name}: a likelihood at the threshold"
    elif case.algorithm in ("discrete_iql", "discrete_awac"):
        capped = (first["weight"] == case.hyperparameters["weight_limit"]).sum()
        assert 0 < capped < BATCH / 2, f"{case.name}: {capped} weights capped"
        near = (first["weight"] - case.hyperparameters["weight_limit"]).abs()
        assert near[near > 0].min() > 1e-4, f"{case.name}: a weight at the limit"
    elif case.algorithm != "bc":
        assert ((first["q_1"] - first["q_2"]).abs() > 1e-5).all(), f"{case.name}: a tie"
    if case.algorithm in ("td3", "td3_bc"):
        low, high = (torch.tensor(bound, dtype=torch.float64) for bound in (case.low, case.high))
        next_actions = first["next_actions"]
        saturated = ((next_actions == low) | (next_actions == high)).float().mean()
        assert 0.05 < saturated < 0.6, f"{case.name}: {saturated} of the next actions clipped"
        draws = noise(case, 1)[0] * case.hyperparameters["policy_noise"]
        assert (draws > 0.5).any() and (draws < -0.5).any()
        for name in ("actor", "critic_1", "critic_2"):
            start = case.learner(torch.float64).networks[f"{name}_target"].net[0].weight
            path = f"{name}_target.net.0.weight"
            stays = case.hyperparameters.get("count_from", 1) == 1
            assert torch.equal(exact[f"after.1.{path}"], start) == stays, "targets of update 1"
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
        squashed = case.recipe == "d3rlpy"
        assert not squashed or (first["next_actions"].abs() > 0.9).any()
        for name in ("policy_actions",) if squashed else ("next_actions", "policy_actions"):
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
        if "clipped" in first:
            assert 0.0 < first["clipped"] < 0.5, f"{case.name}: {first['clipped']} clipped"
        if case.recipe == "cal_ql":
            assert 0.2 < first["bounded"] < 0.8, f"{case.name}: {first['bounded']} bounded"
    if case.algorithm == "sac":
        learner = case.learner(torch.float64)
        with torch.no_grad():
            log_sigma = learner.log_sigma(learner.actor(arrays["observations"].double())[1])
        low, high = (-5.0, 2.0) if case.recipe == "cleanrl" else (-20.0, 2.0)
        for bound in (low, high):
            reached = ((log_sigma - bound).abs() < 1e-3).sum()
            assert reached > 0, f"{case.name}: log sigma never at {bound}"
        assert (log_sigma > SMALLEST_LOG_SIGMA).float().mean() > 0.6
