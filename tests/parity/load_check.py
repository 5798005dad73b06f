"""Loads a safetensors file into the PyTorch module of its recipe, as a PyTorch user would.

    load_check.py RECIPE FILE
                  [--sizes heads=1,max_action=1.0,context=20] [--fixture FIXTURE]
                  [--tolerance 1e-5] [--prefix weights/] [--rebuild-buffers] [--print-outputs]

The state dict must fit exactly (`strict=True`): every parameter and every buffer of the
published module, nothing else. Widths are read from the tensors' shapes. What no shape tells
(heads, max_action, discrete, and the context where the file has no causal mask) comes from
--sizes, else from the fixture, else it is 1 head, 1.0, continuous.

With --fixture the network runs on the fixture's batch in float32 and its outputs for valid
steps are compared with the fixture's. Prints one JSON object; exit code 1 if anything differs.
"""

import argparse
import json
import re
import sys

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from cases import fixture_case, inputs, network

# The module's names for what the sizes are read from.
NAMES = {
    "official": {
        "state": "embed_state.weight", "action": "embed_action.weight",
        "timesteps": "embed_timestep.weight", "mask": "transformer.h.0.attn.bias",
        "layers": r"transformer\.h\.(\d+)\.", "buffers": (".attn.bias", ".attn.masked_bias"),
    },
    "convformer": {
        "state": "embed_state.weight", "action": "embed_action.weight",
        "timesteps": "embed_timestep.weight", "mask": "",
        "layers": r"transformer\.h\.(\d+)\.", "buffers": (),
    },
    "corl": {
        "state": "state_emb.weight", "action": "action_emb.weight",
        "timesteps": "timestep_emb.weight", "mask": "blocks.0.causal_mask",
        "layers": r"blocks\.(\d+)\.", "buffers": (".causal_mask",),
    },
}
NAMES["ddt"] = NAMES["online_dt"] = NAMES["qdt"] = NAMES["official"]
NAMES["decision_mamba"] = NAMES["convformer"]
NAMES["huggingface"] = NAMES["official"] | {
    "positions": "encoder.wpe.weight", "layers": r"encoder\.h\.(\d+)\.", "mask": "", "buffers": (),
}
NAMES["reinformer"] = {
    "state": "embed_state.weight", "action": "embed_action.weight",
    "timesteps": "embed_timestep.weight", "mask": "transformer.0.attention.mask",
    "layers": r"transformer\.(\d+)\.", "buffers": (".attention.mask",),
}
NAMES["elastic_dt"] = NAMES["reinformer"] | {"bins": "predict_rtg.weight"}
NAMES["d3rlpy"] = {
    "state": "_encoder._layers.0.weight", "action": "_action_embed.weight",
    "timesteps": "_position_encoding._embed.weight",
    "mask": "_gpt2._transformer.0._attention._mask",
    "layers": r"_gpt2\._transformer\.(\d+)\.", "buffers": ("._attention._mask",),
}
# What --sizes may say, and how it reads.
SIZES = {
    "heads": int, "context": int, "max_action": float,
    "discrete": lambda text: text in ("1", "true", "yes"),
}


def main():
    arguments = parse()
    try:
        state = load_file(arguments.file)
    except (OSError, SafetensorError) as error:
        sys.exit(f"error: {error}: {arguments.file}")
    state = {name.removeprefix(arguments.prefix): tensor for name, tensor in state.items()
             if name.startswith(arguments.prefix)}
    told = fixture_case(arguments.fixture) if arguments.fixture else {}
    told = {name: told[name] for name in SIZES if name in told} | arguments.sizes
    try:
        sizes = read_sizes(arguments.recipe, state, told)
        model = network(arguments.recipe, **sizes).eval()
        if arguments.rebuild_buffers:
            buffers = dict(model.named_buffers())
            state |= {name: buffers[name] for name in buffers if name not in state}
        model.load_state_dict(state, strict=True)
    except KeyError as error:
        sys.exit(f"error: no tensor {error}: {arguments.file}")
    except RuntimeError as error:
        sys.exit(f"error: {error}\nfile: {arguments.file}")

    parameters = sum(parameter.numel() for parameter in model.parameters())
    answer = {"recipe": arguments.recipe, "sizes": sizes, "parameters": parameters, "loaded": True}
    agrees = True
    if arguments.fixture:
        outputs, deviation = run(model, arguments.fixture)
        agrees = deviation <= arguments.tolerance
        answer |= {"deviation": deviation, "tolerance": arguments.tolerance, "agrees": agrees}
        if arguments.print_outputs:
            answer["outputs"] = outputs.tolist()
    print(json.dumps(answer))
    sys.exit(0 if agrees else 1)


def parse():
    parser = argparse.ArgumentParser(description="load a safetensors file into PyTorch")
    parser.add_argument("recipe", choices=NAMES)
    parser.add_argument("file")
    parser.add_argument("--sizes", type=parse_sizes, default={}, metavar="NAME=VALUE,...",
                        help="among " + ", ".join(SIZES))
    parser.add_argument("--fixture", help="run on this fixture's batch, compare its outputs")
    parser.add_argument("--tolerance", type=float, default=1e-5,
                        help="of the outputs' largest value (default 1e-5)")
    parser.add_argument("--prefix", default="", help="take only names that begin so")
    parser.add_argument("--rebuild-buffers", action="store_true",
                        help="let the file lack the constant masks")
    parser.add_argument("--print-outputs", action="store_true", help="needs --fixture")
    return parser.parse_args()


def parse_sizes(text):
    """`heads=2,max_action=1.0` as a dictionary."""
    sizes = {}
    for item in text.split(","):
        name, _, value = item.partition("=")
        if name not in SIZES or not value:
            raise argparse.ArgumentTypeError(f"{item!r}: want NAME=VALUE with {', '.join(SIZES)}")
        sizes[name] = SIZES[name](value)
    return sizes


def read_sizes(recipe, state, told):
    """The network's sizes: from shapes, and from what was told."""
    names = NAMES[recipe]
    width, observation = state[names["state"]].shape
    layers = {int(found[1]) for name in state if (found := re.match(names["layers"], name))}
    sizes = {
        "observation": observation,
        "action": state[names["action"]].shape[1],
        "width": width,
        "layers": len(layers),
        "timesteps": state[names["timesteps"]].shape[0],
        "heads": 1,
        "context": 20,
        # Of a Gaussian with free deviations, which are a vector.
        "action_head": "gaussian" if "predict_action.log_std" in state else "tanh",
    } | told
    mask = state.get(names["mask"])
    if mask is not None and recipe in ("corl", "d3rlpy", "reinformer", "elastic_dt"):
        sizes["context"] = mask.shape[-1] // 3
    elif mask is not None:
        sizes["positions"] = mask.shape[-1]
    if "bins" in names:
        sizes["bins"] = len(state[names["bins"]])
    if "positions" in names:
        sizes["positions"] = state[names["positions"]].shape[0]
    return sizes


def run(model, fixture):
    """Outputs on the fixture's batch and their deviation, relative to the largest output."""
    tensors = load_file(fixture)
    batch = {name.removeprefix("batch/"): tensor for name, tensor in tensors.items()
             if name.startswith("batch/")}
    with torch.no_grad():
        outputs = model(**inputs(batch))
    valid = batch["mask"] > 0
    expected = tensors["outputs/actions"][valid]
    deviation = (outputs[valid] - expected).abs().max() / expected.abs().max()
    return outputs, deviation.item()


if __name__ == "__main__":
    main()
