"""Proof that the fixtures see what they are for: each broken mask or token changes outputs.

A fixture that a broken network passes is worth nothing, so making the fixtures runs these.
"""

import torch

from cases import inputs
from family import STATES

SAME = 1e-12
CHANGED = 1e-3
# Of one number that much else decides.
SEEN = 1e-6


def check_sensitivity(case, model, batch):
    """Asserts what must and what must not reach the outputs. `model` and `batch` in float64."""
    with torch.no_grad():
        outputs = model(**inputs(batch))
        check_future(case, model, batch, outputs)
        if case.mixer == "attention":
            check_masks(case, model, batch, outputs)
        if case.mixer in ("attention", "linear"):
            check_padding(case, model, batch, outputs)
        elif case.mixer == "convolution":
            check_filters(case, model, batch, outputs)
        elif case.mixer == "lstm":
            check_lstm(case, model, batch, outputs)
        elif case.context > 1:
            check_scan(case, model, batch, outputs)
        if case.condition in ("token", "nullable"):
            check_token(case, model, batch, outputs)
        elif case.condition == "bins":
            check_hidden(case, model, batch, outputs)
        elif case.condition == "predicted":
            check_predicted(case, model, batch, outputs)
        else:
            check_condition(case, model, batch, outputs)


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


def check_masks(case, model, batch, outputs):
    """Attention depends on its causal mask."""
    masks = [buffer for name, buffer in model.named_buffers()
             if name.endswith(("attn.bias", "causal_mask", "_mask", "attention.mask"))]
    kept = [mask.clone() for mask in masks]
    for mask in masks:
        mask.fill_(0 if case.recipe == "corl" else 1)
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
    if case.recipe != "corl":
        padded_rows = valid & ~valid.all(dim=1, keepdim=True)
        assert (difference.amax(dim=-1)[padded_rows] > CHANGED).all(), \
            f"{case.name}: a broken padding mask goes unseen"
    else:
        # On the right, padding is the future: the causal mask alone keeps it out.
        assert difference[valid].max() <= SAME
        assert difference[~valid].max() > CHANGED


def check_token(case, model, batch, outputs):
    """Outputs come from the state token; the return or action token would give others."""
    norm, head = {
        "corl": lambda: (model.out_norm, model.action_head),
        "huggingface": lambda: (model.encoder.ln_f, model.predict_action),
        "d3rlpy": lambda: (model._gpt2._layer_norm,
                           lambda x: model.squash(model._output(x))),
    }.get(case.recipe, lambda: (model.transformer.ln_f, model.predict_action))()
    stretch = model.stretch if case.recipe == "corl" else 1.0
    if case.action_head == "squashed_gaussian":
        def head(x):
            return torch.tanh(model.predict_action(x)[0])
    seen = []
    body = norm if case.mixer in ("attention", "linear") else model.transformer.h[-1]
    handle = body.register_forward_hook(lambda module, args, output: seen.append(output))
    model(**inputs(batch))
    handle.remove()
    if case.mixer not in ("attention", "linear"):
        seen = [norm(seen[0])]
    valid = batch["mask"] > 0
    for token in range(3):
        difference = (head(seen[0][:, token::3]) * stretch - outputs)[valid].abs().amax(dim=-1)
        if token == 1:
            assert difference.max() <= SAME
        else:
            assert (difference > CHANGED).all(), f"{case.name}: token {token} goes unseen"


def check_predicted(case, model, batch, outputs):
    """A return is predicted before it is seen; it reaches its own action and all later ones."""
    model(**inputs(batch))
    returns = model.predicted_returns.clone()
    for step in range(case.context):
        changed = {name: tensor.clone() for name, tensor in inputs(batch).items()}
        changed["returns_to_go"][0, step] += 1.0
        difference = (model(**changed) - outputs)[0].abs().amax(dim=-1)
        assert difference[:step].sum() <= SAME, f"{case.name}: return {step} reaches the past"
        assert (difference[step:] > CHANGED).all(), f"{case.name}: return {step} is not used"
        difference = (model.predicted_returns - returns)[0].abs()
        assert difference[:step + 1].max() <= SAME, f"{case.name}: return {step} leaks"
        assert (difference[step + 1:] > SEEN).all(), f"{case.name}: returns are not remembered"


def check_hidden(case, model, batch, outputs):
    """The first return reaches all later steps, another one its own action."""
    model(**inputs(batch))
    returns = model.predicted_returns.clone()
    for step in range(case.context):
        changed = {name: tensor.clone() for name, tensor in inputs(batch).items()}
        changed["returns_to_go"][0, step] += 1.0
        difference = (model(**changed) - outputs)[0].abs().amax(dim=-1)
        assert difference[step] > CHANGED, f"{case.name}: return {step} is not used"
        predicted = (model.predicted_returns - returns)[0].abs().amax(dim=-1)
        assert predicted[:step + 1].max() <= SAME, f"{case.name}: return {step} leaks"
        later = torch.cat((difference[step + 1:], predicted[step + 1:]))
        if step == 0:
            assert (later > SEEN).all(), f"{case.name}: the first return is not seen"
        else:
            assert (later <= SAME).all(), f"{case.name}: return {step} is not hidden"


def check_condition(case, model, batch, outputs):
    """A return reaches the action of its own step, and no other."""
    for step in range(case.context):
        changed = {name: tensor.clone() for name, tensor in inputs(batch).items()}
        changed["returns_to_go"][0, step] += 1.0
        difference = (model(**changed) - outputs)[0].abs().amax(dim=-1)
        assert difference[step] > CHANGED, f"{case.name}: return {step} is not used"
        difference[step] = 0.0
        assert difference.max() <= SAME, f"{case.name}: return {step} reaches other steps"


def check_filters(case, model, batch, outputs):
    """Each kind of token that leads to an action has a filter of its own, and its taps an order."""
    first = model.transformer.h[0].conv
    modules = [getattr(first, name) for name in first.names]
    weights = [module.weight.clone() for module in modules]
    modules[0].weight.copy_(weights[1])
    modules[1].weight.copy_(weights[0])
    swapped = (model(**inputs(batch)) - outputs).abs().amax(dim=-1)
    for module, weight in zip(modules, weights):
        module.weight.copy_(weight.flip(-1))
    reversed_taps = (model(**inputs(batch)) - outputs).abs().amax(dim=-1)
    for module, weight in zip(modules, weights):
        module.weight.copy_(weight)
    assert (swapped[:, -1] > CHANGED).all(), f"{case.name}: swapped filters go unseen"
    assert (reversed_taps > CHANGED).all(), f"{case.name}: reversed taps go unseen"


def check_scan(case, model, batch, outputs):
    """The order of the taps, of B and C, and of the memory's rates matters."""
    scan = model.transformer.h[0].mamba
    rank = scan.rank
    swapped = torch.cat((torch.arange(rank), torch.arange(rank + STATES, rank + 2 * STATES),
                         torch.arange(rank, rank + STATES)))
    breaks = {
        "reversed taps": (scan.conv1d.weight, lambda weight: weight.flip(-1)),
        "swapped B and C": (scan.x_proj.weight, lambda weight: weight[swapped]),
        "reversed rates": (scan.A_log, lambda rates: rates.flip(-1)),
        "swapped halves": (scan.in_proj.weight, lambda weight: weight.roll(len(weight) // 2, 0)),
        "no steps' bias": (scan.dt_proj.bias, torch.zeros_like),
        "no D": (scan.D, torch.zeros_like),
    }
    for name, (parameter, change) in breaks.items():
        kept = parameter.clone()
        parameter.copy_(change(kept))
        difference = (model(**inputs(batch)) - outputs).abs().amax(dim=-1)
        parameter.copy_(kept)
        assert (difference[:, -1] > CHANGED / 10).all(), f"{case.name}: {name}: unseen"


def check_lstm(case, model, batch, outputs):
    """The order of the gates matters, and so do the bias and what is remembered."""
    lstm = model.transformer.h[0].lstm
    width = case.width
    breaks = {
        "no bias": (lstm.bias_ih_l0, torch.zeros_like),
        "no memory": (lstm.weight_hh_l0, torch.zeros_like),
    }
    for name in ("weight_ih_l0", "weight_hh_l0"):
        weight = getattr(lstm, name)
        breaks |= {
            f"swapped gates {gate} and {gate + 1} of {name}": (
                weight, lambda weight, gate=gate: swap(weight, gate, width))
            for gate in range(3)
        }
    for name, (parameter, change) in breaks.items():
        kept = parameter.clone()
        parameter.copy_(change(kept))
        difference = (model(**inputs(batch)) - outputs).abs().amax(dim=-1)
        parameter.copy_(kept)
        assert (difference[:, -1] > CHANGED / 10).all(), f"{case.name}: {name}: unseen"


def swap(weight, gate, width):
    """The rows of two neighbouring gates in each other's place."""
    parts = list(weight.split(width))
    parts[gate], parts[gate + 1] = parts[gate + 1], parts[gate]
    return torch.cat(parts)
