"""The Decision Transformer as a PyTorch user has it, for timing only.

Two attentions: `sdpa`, PyTorch's scaled_dot_product_attention with its causal flag, and `mha`,
nn.MultiheadAttention with a causal and a padding mask, as CORL has it.
Shapes: B batch, K context, T = 3K tokens, C width, S observation, A action.
"""

import argparse
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class CausalAttention(nn.Module):
    """The modern way: one projection for query, key and value, then the fused function."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.heads = heads
        self.dropout = dropout

    def forward(self, x, padded):
        batch, tokens, width = x.shape
        projected = self.project_in(x).view(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(
            query, key, value, is_causal=True,
            dropout_p=self.dropout if self.training else 0.0)
        return self.project_out(attended.transpose(1, 2).reshape(batch, tokens, width))


class MaskedAttention(nn.Module):
    """CORL's way: nn.MultiheadAttention with both masks."""

    def __init__(self, width, heads, dropout, tokens):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.register_buffer(
            "future", torch.ones(tokens, tokens, dtype=torch.bool).triu(diagonal=1))

    def forward(self, x, padded):
        tokens = x.shape[1]
        return self.attention(
            x, x, x, attn_mask=self.future[:tokens, :tokens], key_padding_mask=padded,
            need_weights=False)[0]


class Block(nn.Module):
    """Pre-LayerNorm attention and feed-forward, each with its residual."""

    def __init__(self, attention, width, heads, dropout, tokens, activation):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.attention = (CausalAttention(width, heads, dropout) if attention == "sdpa"
                          else MaskedAttention(width, heads, dropout, tokens))
        self.drop = nn.Dropout(dropout)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU() if activation == "gelu" else nn.ReLU(),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x, padded):
        x = x + self.drop(self.attention(self.norm1(x), padded))
        return x + self.mlp(self.norm2(x))


class DecisionTransformer(nn.Module):
    """Returns, observations and actions in, an action for each state token out."""

    def __init__(self, sizes, attention, activation):
        super().__init__()
        width, context = sizes["width"], sizes["context"]
        self.embed_return = nn.Linear(1, width)
        self.embed_observation = nn.Linear(sizes["observation"], width)
        self.embed_action = nn.Linear(sizes["action"], width)
        self.embed_timestep = nn.Embedding(1000 + context, width)
        self.norm_in = nn.LayerNorm(width)
        self.drop = nn.Dropout(sizes["dropout"])
        self.blocks = nn.ModuleList(
            Block(attention, width, sizes["heads"], sizes["dropout"], 3 * context, activation)
            for _ in range(sizes["layers"]))
        self.norm_out = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.Linear(width, sizes["action"]), nn.Tanh())

    def forward(self, observations, actions, returns_to_go, timesteps, padded=None):
        """observations BKS, actions BKA, returns_to_go BK, timesteps BK, padded BK -> BKA."""
        batch, context = timesteps.shape
        time = self.embed_timestep(timesteps)
        x = torch.stack((
            self.embed_return(returns_to_go.unsqueeze(-1)) + time,
            self.embed_observation(observations) + time,
            self.embed_action(actions) + time,
        ), dim=2).view(batch, 3 * context, -1)
        if padded is not None:
            padded = padded.repeat_interleave(3, dim=1)
        x = self.drop(self.norm_in(x))
        for block in self.blocks:
            x = block(x, padded)
        return self.head(self.norm_out(x)[:, 1::3])


def add_size_arguments(parser, dropout):
    """The sizes that `rtg bench` takes too; the defaults are the published ones."""
    for name, default in (("context", 20), ("width", 128), ("layers", 3), ("heads", 1),
                          ("observation", 11), ("action", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    if dropout:
        parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--on-request", action="store_true",
                        help="do one for each line of standard input and answer with its milliseconds")
    parser.add_argument("--attention", choices=("sdpa", "mha"), default="sdpa")
    parser.add_argument("--activation", choices=("gelu", "relu"), default="gelu")


def answer_requests(work):
    """One call of `work` for each line of standard input, and its milliseconds as the answer."""
    for _ in sys.stdin:
        began = time.perf_counter()
        work()
        print(1e3 * (time.perf_counter() - began), flush=True)


def parser(description):
    """An argument parser that shows its defaults."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
