"""Compares the modules of `libraries.py` with the packages that they are written after.

    python tests/parity/libraries_check.py

`transformers.DecisionTransformerModel` and d3rlpy's Decision Transformer load the state dicts of the
modules here, strictly, and must give the same actions and, for the same loss, the same gradient of
every parameter, in float64 over padded windows. A new model of `transformers` must start with the
deviations that ours has. A package that is not installed is skipped with a message; exit code 1 if
anything differs. Needs torch.
"""

import sys

import torch

from cases import CASES, case_batch, case_network, inputs

SAME = 1e-12


def main():
    torch.set_num_threads(1)
    checks = {"huggingface": hugging_face, "d3rlpy": d3rlpy}
    for case in CASES:
        if case.recipe not in checks:
            continue
        try:
            theirs = checks[case.recipe](case)
        except ImportError as error:
            print(f"{case.name}: skipped: {error}")
            continue
        print(f"{case.name}: {compare(case, theirs):.1e}")


def compare(case, theirs):
    """The largest deviation of outputs and gradients, relative to the largest value of each."""
    own = case_network(case).double()
    batch = {name: tensor.double() if tensor.is_floating_point() else tensor
             for name, tensor in case_batch(case).items()}
    predict, module = theirs(own)
    found = predict(batch)
    expected = own(**inputs(batch))
    kept = batch["mask"] > 0
    worst = [distance(found[kept], expected[kept])]
    for outputs in (found, expected):
        own.loss(outputs, batch["actions"], batch["mask"], case.discrete).backward()
    gradients = dict(module.named_parameters())
    for name, parameter in own.named_parameters():
        if parameter.grad is not None:
            worst.append(distance(gradients[name].grad, parameter.grad))
    if max(worst) > SAME:
        sys.exit(f"{case.name}: differs by {max(worst)}")
    return max(worst)


def distance(found, expected):
    """Of the largest value, which for the gradient of a key's bias is rounding error."""
    return (found - expected).abs().max().item() / max(expected.abs().max().item(), 1e-3)


def hugging_face(case):
    """The class, from the state dict of a module."""
    from transformers import DecisionTransformerConfig, DecisionTransformerModel

    def build(own):
        config = DecisionTransformerConfig(
            state_dim=case.observation, act_dim=case.action, hidden_size=case.width,
            n_layer=case.layers, n_head=case.heads, max_ep_len=case.timesteps,
            n_positions=own.encoder.wpe.weight.shape[0], action_tanh=not case.discrete,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)
        check_initial(DecisionTransformerModel, DecisionTransformerConfig)
        model = DecisionTransformerModel(config).double()
        model.load_state_dict(own.state_dict(), strict=True)

        def predict(batch):
            return model(
                states=batch["observations"], actions=batch["actions"],
                returns_to_go=batch["returns_to_go"][..., None], timesteps=batch["timesteps"],
                attention_mask=batch["mask"].long()).action_preds
        return predict, model
    return build


def check_initial(model, config):
    """A new model of the class starts as `HuggingFace` does."""
    from libraries import HuggingFace

    sizes = dict(observation=40, action=40, width=64, layers=2, heads=1, timesteps=200)
    torch.manual_seed(1)
    theirs = model(config(state_dim=40, act_dim=40, hidden_size=64, n_layer=2, n_head=1,
                          max_ep_len=200, bos_token_id=0, eos_token_id=0))
    torch.manual_seed(1)
    own = dict(HuggingFace(**sizes).named_parameters())
    for name, parameter in theirs.named_parameters():
        spreads = [one.std().item() if one.numel() > 1 else 0.0 for one in (parameter, own[name])]
        if parameter.numel() >= 1000 or parameter.dim() == 1:
            assert abs(spreads[0] - spreads[1]) <= 0.1 * max(spreads), f"{name}: {spreads}"


def d3rlpy(case):
    """The network of the reproduction script, from the state dict of a module."""
    from d3rlpy.models.torch import VectorEncoder
    from d3rlpy.models.torch.transformers import (
        ContinuousDecisionTransformer,
        SimplePositionEncoding,
    )

    def build(own):
        model = ContinuousDecisionTransformer(
            encoder=VectorEncoder((case.observation,), [case.width], exclude_last_activation=True),
            embed_size=case.width,
            position_encoding=SimplePositionEncoding(case.width, case.timesteps),
            action_size=case.action, num_heads=case.heads, context_size=case.context,
            num_layers=case.layers, attn_dropout=0.0, resid_dropout=0.0, embed_dropout=0.0,
            activation=torch.nn.ReLU()).double()
        model.load_state_dict(own.state_dict(), strict=True)

        def predict(batch):
            return model(batch["observations"], batch["actions"],
                         batch["returns_to_go"][..., None], batch["timesteps"], 1 - batch["mask"])
        return predict, model
    return build


if __name__ == "__main__":
    main()
