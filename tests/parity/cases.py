"""The parity cases: their sizes, their batches, and the modules with weights worth comparing.

Everything is drawn from NumPy's PCG64 with the case's own seed: PyTorch's own draws differ from
one instruction set to the next.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from corl import Corl
from family import (Convformer, DecisionMamba, Ddt, LstmTransformer, Nullable,
                    with_linear_attention)
from libraries import D3rlpy, HuggingFace
from min_dt import BINS, ElasticDt, Reinformer
from official import Official
from stochastic import GaussianReinformer, OnlineDt

# Left padding of the official recipe: zero before normalisation, so -mean/std; made up here.
PADDED_OBSERVATION = np.array([0.7, -1.3, 0.4])
PADDED_ACTION = -10.0
# The windows whose returns are absent where they can be.
WITHOUT_RETURNS = (1, 3)
# The mixers of recipes without attention.
MIXERS = {"convformer": "convolution", "decision_mamba": "scan"}


@dataclass(frozen=True)
class Case:
    """One fixture. `timesteps` is the number of rows in the time-step table.

    An empty `mixer` is the recipe's.
    """

    name: str
    recipe: str
    seed: int
    heads: int = 1
    discrete: bool = False
    max_action: float = 1.0
    condition: str = "token"
    action_head: str = "tanh"
    method: str = "adamw"
    mixer: str = ""
    width: int = 16
    layers: int = 2
    context: int = 5
    observation: int = 3
    action: int = 2
    episode: int = 20
    lengths: tuple = (5, 1, 3, 4)
    starts: tuple = (17, 19, 0, 6)

    def __post_init__(self):
        if not self.mixer:
            object.__setattr__(self, "mixer", self.usual_mixer)

    @property
    def timesteps(self):
        return self.episode + {"corl": self.context, "d3rlpy": 1}.get(self.recipe, 0)

    @property
    def usual_mixer(self):
        return MIXERS.get(self.recipe, "attention")

    @property
    def plain(self):
        """Return tokens and attention."""
        return self.condition == "token" and self.mixer == "attention"

    def sizes(self):
        """Everything that a reader of the fixture needs to build the same network."""
        sizes = asdict(self) | {"timesteps": self.timesteps}
        usual = {"action_head": "tanh", "method": "adamw", "mixer": self.usual_mixer}
        return {name: size for name, size in sizes.items() if usual.get(name) != size}


CASES = (
    Case("official_1_head", "official", 1),
    Case("official_2_heads", "official", 2, heads=2),
    Case("official_discrete", "official", 3, discrete=True, action=3, layers=1),
    Case("corl_1_head", "corl", 7),
    Case("corl_2_heads", "corl", 5, heads=2, max_action=2.0),
    Case("corl_discrete", "corl", 6, discrete=True, action=3, layers=1),
    Case("ddt_1_head", "ddt", 8, condition="adaln"),
    Case("ddt_discrete", "ddt", 9, heads=2, discrete=True, action=3, layers=1, condition="adaln"),
    Case("reinformer_2_heads", "reinformer", 30, heads=2, condition="predicted"),
    Case("reinformer_discrete", "reinformer", 31, discrete=True, action=3, layers=1,
         condition="predicted"),
    # Convolutions do not mask padding, so these windows have none.
    Case("convformer_1_step", "convformer", 10, context=1, lengths=(1,) * 4, layers=1),
    Case("convformer_2_steps", "convformer", 11, context=2, lengths=(2,) * 4, layers=1),
    Case("convformer_7_steps", "convformer", 12, context=7, lengths=(7,) * 4),
    Case("convformer_adaln", "convformer", 13, context=7, lengths=(7,) * 4, condition="adaln"),
    # Nor do scans.
    Case("decision_mamba_1_step", "decision_mamba", 16, context=1, lengths=(1,) * 4, layers=1),
    Case("decision_mamba_7_steps", "decision_mamba", 17, context=7, lengths=(7,) * 4),
    Case("decision_mamba_adaln", "decision_mamba", 18, context=4, lengths=(4,) * 4, layers=1,
         condition="adaln"),
    # Entropies of padded steps count in both codes.
    Case("online_dt", "online_dt", 19, heads=2, episode=1, lengths=(5,) * 4, width=8,
         action_head="squashed_gaussian", method="lamb"),
    Case("online_dt_1_step", "online_dt", 20, action=3, episode=1, context=1, lengths=(1,) * 4,
         width=8, layers=1, action_head="squashed_gaussian"),
    Case("reinformer_gaussian", "reinformer", 21, heads=2, condition="predicted", lengths=(5,) * 4,
         layers=1, action_head="gaussian", method="lamb"),
    # The returns that are seen are the first of the padded windows.
    Case("elastic_dt", "elastic_dt", 33, context=3, lengths=(3,) * 4, condition="bins",
         width=6, layers=1, action=2),
    Case("huggingface", "huggingface", 22, heads=2),
    Case("huggingface_discrete", "huggingface", 23, discrete=True, action=3, layers=1),
    # Time steps count from 1, and only a window at an episode's start is short.
    Case("d3rlpy", "d3rlpy", 24, heads=2, lengths=(5, 1, 3, 5), starts=(15, 0, 0, 6)),
    Case("d3rlpy_1_head", "d3rlpy", 25, layers=1),
    # Nor do LSTMs mask padding.
    Case("lstm", "official", 26, context=7, lengths=(7,) * 4, width=8, mixer="lstm"),
    Case("linear_2_heads", "official", 28, heads=2, mixer="linear"),
    # Longer than twice the channels of a head: sums instead of scores.
    Case("linear_adaln", "ddt", 27, heads=8, context=14, lengths=(14, 2, 9, 14), episode=40,
         layers=1, condition="adaln", mixer="linear"),
    Case("official_nullable", "official", 29, condition="nullable"),
)


def fixture_case(path):
    """The sizes that a fixture's metadata holds, as a dictionary."""
    with safe_open(Path(path), framework="pt") as file:
        return json.loads((file.metadata() or {}).get("case", "{}"))


def network(recipe, observation, action, width, layers, heads, timesteps, context,
            max_action=1.0, discrete=False, dropout=0.0, positions=None, condition="token",
            action_head="tanh", mixer="", bins=BINS):
    """The module of a recipe. `positions` is the edge of the official causal mask."""
    if mixer == "linear":
        model = network(recipe, observation, action, width, layers, heads, timesteps, context,
                        max_action, discrete, dropout, positions, condition, action_head)
        return with_linear_attention(model, width, heads, dropout)
    sizes = dict(observation=observation, action=action, width=width, layers=layers,
                 heads=heads, timesteps=timesteps, discrete=discrete, dropout=dropout)
    if recipe in ("convformer", "decision_mamba"):
        del sizes["heads"]
        module = Convformer if recipe == "convformer" else DecisionMamba
        return module(**sizes, has_returns=condition == "token")
    if mixer == "lstm":
        del sizes["heads"]
        return LstmTransformer(**sizes)
    # The labels of a critic change no weight.
    recipe = "official" if recipe == "qdt" else recipe
    if recipe == "reinformer":
        module = GaussianReinformer if action_head == "gaussian" else Reinformer
        return module(**sizes, context=context)
    if recipe == "elastic_dt":
        return ElasticDt(**sizes, context=context, bins=bins)
    if recipe in ("ddt", "online_dt"):
        module = {"ddt": Ddt, "online_dt": OnlineDt}[recipe]
        return module(**sizes, **({} if positions is None else {"positions": positions}))
    if recipe == "official":
        module = Nullable if condition == "nullable" else Official
        return module(**sizes, **({} if positions is None else {"positions": positions}))
    if recipe == "huggingface":
        return HuggingFace(**sizes, **({} if positions is None else {"positions": positions}))
    if recipe == "d3rlpy":
        return D3rlpy(**sizes, context=context)
    return Corl(**sizes, context=context, max_action=max_action)


def case_network(case):
    """The case's network, with weights that make it sensitive to every part.

    Fresh networks attend almost evenly and have zero biases: many errors in them would
    stay unnoticed. So matrices that start from N(0, 0.02) are ten times that, the others
    keep the spread they start with, and biases and LayerNorms are moved from zero and one.
    """
    model = network(case.recipe, case.observation, case.action, case.width, case.layers,
                    case.heads, case.timesteps, case.context, case.max_action, case.discrete,
                    positions=16, condition=case.condition, action_head=case.action_head,
                    mixer=case.mixer)
    rng = np.random.default_rng(1000 + case.seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            drawn = rng.standard_normal(tuple(parameter.shape))
            if name.endswith("A_log"):
                drawn = parameter.numpy() + 0.2 * drawn
            elif parameter.dim() == 1:
                norm = is_norm(name) and name.endswith("weight")
                one = 1.0 if norm or name.endswith("mamba.D") else 0.0
                drawn = one + 0.1 * drawn
            else:
                drawn *= spread(name, parameter.shape)
            parameter.copy_(torch.from_numpy(drawn))
    return model


def is_norm(name):
    """Whether a parameter belongs to a LayerNorm."""
    return any(part in name for part in ("norm", "ln_", "embed_ln", "ln1", "ln2"))


def spread(name, shape):
    """The standard deviation that a matrix of a case is drawn with."""
    if name in ("embed_timestep.weight", "_position_encoding._embed.weight", "encoder.wpe.weight"):
        return 1.0
    if "conv1d" in name:
        return 0.4
    if name.startswith(("embed_", "predict_", "_encoder", "_rtg_", "_action_", "_output")):
        # PyTorch's default: uniform within 1 / sqrt(inputs).
        return 1.0 / np.sqrt(3.0 * shape[1])
    return 0.2


def case_batch(case):
    """The batch as the recipe pads it: float32 and int64 tensors by name."""
    rng = np.random.default_rng(2000 + case.seed)
    rows, context = len(case.lengths), case.context
    left = case.recipe != "corl"
    observations = np.zeros((rows, context, case.observation))
    actions = np.zeros((rows, context, case.action))
    returns_to_go = np.zeros((rows, context))
    timesteps = np.zeros((rows, context), dtype=np.int64)
    mask = np.zeros((rows, context))
    if left:
        observations[:] = PADDED_OBSERVATION
        # A row without a one is the padding of one-hot actions.
        actions[:] = 0.0 if case.discrete or case.recipe == "d3rlpy" else PADDED_ACTION
    for row, (length, start) in enumerate(zip(case.lengths, case.starts)):
        valid = slice(context - length, context) if left else slice(0, length)
        observations[row, valid] = rng.standard_normal((length, case.observation))
        if case.discrete:
            actions[row, valid] = np.eye(case.action)[rng.integers(case.action, size=length)]
        else:
            actions[row, valid] = rng.uniform(-1.0, 1.0, (length, case.action)) * case.max_action
        returns_to_go[row, valid] = 3.6 - np.cumsum(rng.uniform(0.0, 0.5, length))
        if left:
            # Steps past the table use its last row; d3rlpy counts from 1.
            first = start + (1 if case.recipe == "d3rlpy" else 0)
            timesteps[row, valid] = np.minimum(first + np.arange(length), case.timesteps - 1)
        else:
            timesteps[row] = start + np.arange(context)
        mask[row, valid] = 1.0
    if case.condition == "nullable":
        absent = np.zeros((rows, context))
        absent[WITHOUT_RETURNS, :] = 1.0
        returns_to_go = np.stack((returns_to_go * (1.0 - absent), absent), axis=-1)
    targets = {}
    if case.condition == "bins":
        targets = dict(scaled_returns=returns_to_go,
                       next_observations=rng.standard_normal((rows, case.observation)))
        returns_to_go = (2.0 * np.clip(np.floor(returns_to_go / 4.0 * BINS), 0, BINS - 1) + 1.0
                         ) / BINS - 1.0
    floats = dict(observations=observations, actions=actions,
                  returns_to_go=returns_to_go, mask=mask, **targets)
    batch = {name: torch.from_numpy(array.astype(np.float32)) for name, array in floats.items()}
    batch["timesteps"] = torch.from_numpy(timesteps)
    batch["lengths"] = torch.tensor(case.lengths, dtype=torch.int64)
    return batch


def inputs(batch):
    """What a network's forward takes, in a batch that may hold more."""
    return {name: batch[name] for name in
            ("observations", "actions", "returns_to_go", "timesteps", "mask")}
