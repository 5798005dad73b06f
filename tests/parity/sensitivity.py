"""Proof that the fixtures see what they are for: each broken mask or token changes outputs.

A fixture that a broken network passes is worth nothing, so making the fixtures runs these.
"""

import torch

from cases import inputs

SAME = 1e-12
CHANGED = 1e-3


def check_sensitivity(case, model, batch):
    """Asserts what must and what must not reach the outputs. `model` and `batch` in float64."""
    with torch.no_grad():
        outputs = model(**inputs(batch))
        check_future(case, model, batch, outputs)
        check_padding(case, model, batch, outputs)
        check_token(case, model, batch, outputs)


def check_future(case, model, batch, outputs):
    """Row 0 is full: nothing after a state token may reach that step's action."""
    assert case.lengths[0] == case.context
    for step in range(case.context):
        changed = {name: tensor.clone() for name, tensor in inputs(batch).items()}
        changed["actions"][0, step:] += 1.0
        for name in ("observations", "returns_to_go"):
            changed[name][0, step + 1:] += 1.0
        difference = (model(**changed) - outputs)[0].abs().amax(dim=-1)
        assert difference[:step + 1].max() <= SAME, f"{case.name}: the future reaches step {step}"
        assert (difference[step + 1:] > CHANGED).all(), f"{case.name}: history is not used"
    masks = [buffer for name, buffer in model.named_buffers()
             if name.endswith(("attn.bias", "causal_mask"))]
    kept = [mask.clone() for mask in masks]
    for mask in masks:
        mask.fill_(1 if case.recipe == "official" else 0)
    broken = (model(**inputs(batch)) - outputs)[0, 0].abs().max()
    for mask, original in zip(masks, kept):
        mask.copy_(original)
    assert broken > CHANGED, f"{case.name}: a broken causal mask goes unseen"


def check_padding(case, model, batch, outputs):
    """Padded steps must not reach valid ones, whatever they hold."""
    valid = batch["mask"] > 0
    changed = {name: tensor.clone() for name, tensor in inputs(batch).items()}
    for name in ("observations", "actions", "returns_to_go"):
        changed[name][~valid] -= 3.0
    changed["timesteps"][~valid] = 1
    difference = (model(**changed) - outputs).abs()
    assert difference[valid].max() <= SAME, f"{case.name}: padding reaches valid steps"
    unmasked = inputs(batch) | {"mask": torch.ones_like(batch["mask"])}
    difference = (model(**unmasked) - outputs).abs()
    if case.recipe == "official":
        padded_rows = valid & ~valid.all(dim=1, keepdim=True)
        assert (difference.amax(dim=-1)[padded_rows] > CHANGED).all(), \
            f"{case.name}: a broken padding mask goes unseen"
    else:
        # On the right, padding is the future: the causal mask alone keeps it out.
        assert difference[valid].max() <= SAME
        assert difference[~valid].max() > CHANGED


def check_token(case, model, batch, outputs):
    """Outputs come from the state token; the return or action token would give others."""
    norm = model.transformer.ln_f if case.recipe == "official" else model.out_norm
    head = model.predict_action if case.recipe == "official" else model.action_head
    stretch = 1.0 if case.recipe == "official" else model.stretch
    seen = []
    handle = norm.register_forward_hook(lambda module, args, output: seen.append(output))
    model(**inputs(batch))
    handle.remove()
    valid = batch["mask"] > 0
    for token in range(3):
        difference = (head(seen[0][:, token::3]) * stretch - outputs)[valid].abs().amax(dim=-1)
        if token == 1:
            assert difference.max() <= SAME
        else:
            assert (difference > CHANGED).all(), f"{case.name}: token {token} goes unseen"
