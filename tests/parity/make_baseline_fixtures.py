"""Writes the baselines' parity fixtures: what PyTorch computes in three updates of each.

    make_baseline_fixtures.py [NAMES...]            writes tests/parity/baselines/NAME.safetensors
    make_baseline_fixtures.py --check [NAMES...]    computes them again and compares

Networks: `actor`, `critic_1`, `critic_2` (EDAC and SAC-N: up to N), IQL's `value`, and the targets
`actor_target` (TD3, TD3+BC, ReBRAC), `critic_1_target`, `critic_2_target`; of dqn, fqe and discrete_cql `q`
and `q_target`; of discrete_bcq `bcq_1` (values), `bcq_2` (logits) and their targets; of ppo `actor`
and `critic`. A parameter P is `NETWORK.net.N.weight` (outputs x inputs) or `.bias` with N = 0, 2, 4
(two hidden layers), `actor.log_std` (A) of rvs, iql, awac and ppo's Gaussian, SAC's `log_alpha` (1). The
last layer of a dueling `q` gives A advantages, then the value; with N quantiles it gives them action
by action. SAC's two heads are one layer here: the first A rows of `actor.net.4` give the mean, the
others the raw log sigma. ReBRAC's critics have N = 0, 3, 6 and LayerNorms N = 2, 5. CQL's raw log
sigma is scaled and shifted by `actor.log_std_multiplier`, `actor.log_std_offset`, its Lagrange
multiplier is `log_alpha_prime`. All tensors are float32. Shapes: B batch, S observation, A action.

    P                           before the first update, targets included (they differ from the
                                networks that they follow); moments and step counts are zero
    update.U.observations BS, .actions BA (one-hot if discrete); of rvs also .returns_to_go B
        and .timesteps B; but for bc and rvs also .rewards B,
        .next_observations BS, .terminated B (0 or 1)       what update U = 1, 2, 3 is given;
        rebrac also .following_actions BA, those after the batch's, and fqe those of its policy; cal_ql .returns B; ppo also .truncated B, and
        .order (epochs x B), the rows in the order of the minibatches; row t E + e is step t of
        environment e
    update.U.noise.I            BA, the I-th standard normal that update U draws, from 0:
        td3, td3_bc             0 the target policy's
        sac, cleanrl            0 at the next observations; when U is even: 1 actor, 2 temperature,
                                3 actor, 4 temperature
        sac, sb3                0 at the observations (temperature and actor), 1 at the next ones
        rebrac                  0 the target policy's
        awac                    0 at the next observations, 1 at the observations
        cql                     0 at the observations, 1 at the next ones (antmaze: BnA), 2 BnA,
                                uniform in [-1, 1], 3 BnA at the observations, 4 BnA at the next
        cql, d3rlpy             0 BnA, uniform in [-1, 1], 1 BnA at the observations, 2 BnA at the
                                next ones, 3 at the observations (temperature, actor)
        edac                    0 and 1 at the observations (temperature, actor), 2 at the next
    update.U.loss.NAME          1, before the step: `critic`; `actor` if it moved; iql `value`; sac
                                `alpha`; cleanrl also `critic_1`, `critic_2` (their sum is
                                `critic`), and `actor`, `alpha` are those of its second round;
                                td3_bc also `cloning`, a part of `actor`
    update.U.NAME, .NAME.mean   B, BA or 1, and the mean if B; in every algorithm but bc: `target`,
                                `q_1`, `q_2` (the critics at the batch's actions)
        td3                     `next_actions`, and if the actor moved `q_policy`
        td3_bc                  `next_actions`, and if the actor moved: `policy_actions`,
                                `q_policy`, `lambda`
        iql                     `value`, `next_value`, `advantage` (of the value's loss),
                                `advantage_actor`, `weight`, `cloning` (-log pi or the sum of
                                squares), `learning_rate.actor` (used in this update)
        sac                     `next_actions`, `next_log_prob`, `alpha_before`, `alpha_after`; sb3:
                                `policy_actions`, `log_prob`; cleanrl, R = 1, 2, if the actor
                                moved: `round.R.policy_actions`, `.log_prob`, `.loss.actor`,
                                `.log_prob_alpha`, `.loss.alpha`, `.alpha` (after the step)
        discrete_iql            `value`, `advantage`, `weight`, `cloning` (-log pi),
                                `learning_rate.actor`
        discrete_awac           `advantage`, `weight`, `cloning`, `q_policy` (the expected value)
        awac                    `next_actions`, `policy_actions`, `advantage`, `weight`, `cloning`
        rebrac                  `next_actions`, `penalty`, and if the actor moved `policy_actions`,
                                `q_policy`, `lambda`, `cloning`
        cql                     `alpha_before`, `alpha_after`, `log_prob`, `difference` (of both
                                critics, mean), `loss.total`, with the penalty; antmaze also
                                `alpha_prime` (before its step), `loss.alpha_prime`, `clipped`, the
                                share of differences below the bound; cal_ql also
                                `bounded`, the share of the policy's values that count as a return
        edac                    `alpha_after`, `log_prob`; edac `loss.diversity`
        bc                      `outputs` (actions or logits), no others
        rvs                     `outcomes` B, no others
        fqe                     `q`, `target`, in units of the scaled rewards, and `value`, `q` in those of
                                the rewards
        dqn, discrete_cql       `q` (at the batch's actions, with quantiles BN), `target`; `gap` (the
                                conservative one), `loss.td`, `gradient_norm` before clipping
        discrete_bcq            `q`, `target`, `likelihood` BA, `allowed` (their share), `loss.td`,
                                `loss.cloning`
        ppo                     `advantages`, `returns`, `values`, `beyond` (V(s')); means over the
                                minibatches: `entropy`, `clipped`, `held` (values that moved too
                                far), `norm`, `loss.critic`, and `actor_and_1`, `kl_and_1`: the
                                actor's loss and the divergence, each with a 1 behind it
    update.U.gradient.P         at the first step of P's optimiser: in update 1, but for TD3's and
                                TD3+BC's actor (not d3rlpy's) and CleanRL's actor and log_alpha in update 2 (first round)
    after.U.P                   after updates U = 1 and 3, targets included
    after.U.moment_1.P, .moment_2.P     Adam's running means of the gradient and of its square;
                                of every trained P, zero where no step was done

The metadata entry `case` is JSON: `name`, `algorithm`, `recipe`, the sizes `observation`, `action`,
`hidden`, `batch`, `updates`, the bounds `low` and `high` of the batch's actions, `hyperparameters`,
`noise` (arrays in each update), `optimiser_steps` (by update, then P: how many steps), and
`tolerance`: of the largest value in a tensor (a mean: in what it is the mean of) for `values`,
`gradients` and `moments`; absolute for `after`. As in make_fixtures.py the values are computed in
float64 from float32 weights, batches and noise; PyTorch's own float32 stays within half the
tolerance.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from baselines.cases import (ACTION, BATCH, CASES, OBSERVATION, UPDATES, batch, noise,
                             parameters)
from baselines.corners import check_corners, check_kinks

TOLERANCE = {"values": 1e-5, "gradients": 1e-5, "moments": 2e-5, "after": 1e-5}
# Of a tensor's largest gradient: what another order of summation may add.
ROUNDING = 3e-7
SIZE_LIMIT = 300_000


def main():
    parser = argparse.ArgumentParser(description="write the baselines' parity fixtures")
    parser.add_argument("names", nargs="*", help="cases; all if none is named")
    parser.add_argument("--check", action="store_true", help="compare with the files instead")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {case.name for case in CASES}
    if unknown:
        sys.exit(f"no such case: {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for case in CASES:
        if arguments.names and case.name not in arguments.names:
            continue
        # On another CPU PyTorch adds up in another order, so that a check allows its float32 more.
        tensors, facts, float32 = fixture(case, share=1.0 if arguments.check else 0.5)
        path = Path(__file__).parent / "baselines" / f"{case.name}.safetensors"
        metadata = {"case": json.dumps(facts, sort_keys=True)}
        if arguments.check:
            compare(path, tensors, metadata)
        else:
            save_file(tensors, path, metadata)
        size = path.stat().st_size
        assert size < SIZE_LIMIT, f"{path.name}: {size} bytes"
        print(f"{path.name}: {size} bytes, float32 deviates by "
              + ", ".join(f"{value:.1e} ({group})" for group, value in float32.items()))


def fixture(case, share):
    """The tensors and the facts of one case, and how far PyTorch's own float32 is from it.

    `share`: of the tolerance, what that may be at most.
    """
    exact, steps = run(case, torch.float64)
    single, _ = run(case, torch.float32)
    float32 = deviation(exact, single)
    rounded, _ = run(case, torch.float64, rounding=ROUNDING)
    rounding = deviation(exact, rounded)
    for name, values, most in (("float32", float32, share), ("rounding", rounding, 0.5)):
        for group, largest in values.items():
            assert largest <= most * TOLERANCE[group], f"{case.name}: {name}, {group} {largest}"
    check_corners(case, exact)

    tensors = merged({name: parameter.detach().clone()
                      for name, parameter in parameters(case.learner(torch.float32)).items()})
    drawn = {number: noise(case, number) for number in range(1, UPDATES + 1)}
    for number, arrays in drawn.items():
        tensors |= {f"update.{number}.{name}": array
                    for name, array in batch(case, number).items()}
        tensors |= {f"update.{number}.noise.{index}": array
                    for index, array in enumerate(arrays)}
    tensors |= {name: tensor.float() for name, tensor in exact.items()}
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    facts = {
        "name": case.name, "algorithm": case.algorithm, "recipe": case.recipe,
        "observation": OBSERVATION, "action": ACTION, "hidden": case.hidden, "batch": BATCH,
        "updates": UPDATES, "low": case.low, "high": case.high,
        "hyperparameters": case.hyperparameters,
        "noise": [len(arrays) for arrays in drawn.values()],
        "optimiser_steps": steps, "tolerance": TOLERANCE,
    }
    return tensors, facts, float32


def run(case, dtype, rounding=0.0):
    """Everything that three updates compute, by the fixture's names, and the step counts.

    `rounding`: noise on the gradients before each optimiser step, of each tensor's largest.
    """
    learner = case.learner(dtype)
    named = parameters(learner)
    names = {parameter: name for name, parameter in named.items()}
    found, steps, generator = {}, {}, torch.Generator().manual_seed(case.seed)
    prefix = ""

    def record(name, value):
        value = torch.as_tensor(value, dtype=dtype).detach().clone()
        if value.dim() == 2 and value.shape[1] == 1 or value.dim() == 0:
            value = value.reshape(-1)
        found[prefix + name] = value
        if value.shape == (BATCH,):
            found[f"{prefix}{name}.mean"] = value.mean().reshape(1)

    def before_step(optimiser, _arguments, _keywords):
        for parameter in optimiser.param_groups[0]["params"]:
            gradient, name = parameter.grad, names[parameter]
            if parameter not in optimiser.state:
                found[f"{prefix}gradient.{name}"] = gradient.clone()
            if rounding:
                noise = torch.rand(gradient.shape, generator=generator, dtype=dtype) * 2 - 1
                gradient += (gradient != 0) * noise * rounding * gradient.abs().max()

    learner.record = record
    for optimiser in learner.optimisers.values():
        optimiser.register_step_pre_hook(before_step)
    smallest = check_kinks(learner)
    for number in range(1, UPDATES + 1):
        prefix = f"update.{number}."
        draws = iter(noise(case, number))
        if learner.noise is not None:
            learner.noise = lambda like, draws=draws: next(draws).to(like.dtype)
            learner.uniform = learner.noise
        arrays = {name: (array.unsqueeze(1) if array.dim() == 1 else array).to(dtype)
                  for name, array in batch(case, number).items()}
        for name, loss in learner.update(**arrays).items():
            record(f"loss.{name}", loss)
        assert next(draws, None) is None, f"{case.name}: noise is left over"
        if number in (1, UPDATES):
            prefix = f"after.{number}."
            found |= {prefix + name: parameter.detach().clone()
                      for name, parameter in named.items()}
            steps[number] = moments(learner, names, prefix, found)
    assert smallest() > 1e-6, f"{case.name}: a ReLU's input of {smallest():.1e}"
    return merged(found), steps


def moments(learner, names, prefix, found):
    """Adds Adam's moments; the step counts by the name of the parameter."""
    steps = {}
    for optimiser in learner.optimisers.values():
        for parameter in optimiser.param_groups[0]["params"]:
            name, state = names[parameter], optimiser.state.get(parameter, {})
            for number, key in ((1, "exp_avg"), (2, "exp_avg_sq")):
                found[f"{prefix}moment_{number}.{name}"] = (
                    state[key].clone() if state else torch.zeros_like(parameter))
            steps[name.replace(".mean.", ".net.4.").replace(".log_std.", ".net.4.")] = (
                int(state["step"]) if state else 0)
    return steps


def merged(tensors):
    """SAC's heads for mean and log sigma as one last layer, and an ensemble as its members."""
    joined = {}
    for name, tensor in tensors.items():
        if name.endswith(("actor.mean.weight", "actor.mean.bias")):
            other = tensors[name.replace(".mean.", ".log_std.")]
            joined[name.replace(".mean.", ".net.4.")] = torch.cat([tensor, other])
        elif tensor.dim() == 3 and (place := re.search(r"critic(?:_target)?(?=\.net\.)", name)):
            for number, member in enumerate(tensor, 1):
                network = place.group().replace("critic", f"critic_{number}")
                own = name[:place.start()] + network + name[place.end():]
                joined[own] = member.squeeze(0) if name.endswith("bias") else member.T
        elif not name.endswith(("actor.log_std.weight", "actor.log_std.bias")):
            joined[name] = tensor
    return joined


def deviation(exact, other):
    """The largest deviations: relative to each tensor's largest value, weights absolute."""
    found = dict.fromkeys(TOLERANCE, 0.0)
    assert exact.keys() == other.keys()
    for name, truth in exact.items():
        group = ("moments" if ".moment_" in name else "after" if name.startswith("after.")
                 else "gradients" if ".gradient." in name else "values")
        difference = (other[name].double() - truth).abs().max().item()
        whole = exact.get(name.removesuffix(".mean"), truth)
        scale = 1.0 if group == "after" else whole.abs().max().item()
        found[group] = max(found[group], difference / scale if difference else 0.0)
    return found


def compare(path, tensors, metadata):
    """Stops unless the file holds these tensors, to a last bit or two, and this metadata."""
    stored = load_file(path)
    if stored.keys() != tensors.keys():
        sys.exit(f"other tensors than expected: {path}")
    with safe_open(path, framework="pt") as file:
        if file.metadata() != metadata:
            sys.exit(f"other metadata than expected: {path}")
    for name, tensor in tensors.items():
        torch.testing.assert_close(
            stored[name], tensor, rtol=1e-6, atol=1e-7, msg=lambda text: f"{name}: {text}")


if __name__ == "__main__":
    main()
