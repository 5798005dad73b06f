"""Stored trajectories."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import gymnasium
import numpy as np
import numpy.typing as npt

from returntogo import _native


@dataclass(frozen=True, eq=False)
class Episode:
    """An episode of T steps. Its arrays are views of the dataset's memory and cannot be written.

    Rows are flat, as rtg stores them: S numbers an observation, A numbers an action (1 for a
    discrete one), the parts of a Dict or Tuple one after the other.
    """

    observations: npt.NDArray[np.float64]
    """(T + 1) x S: the observation before each step, and the one after the last."""
    actions: npt.NDArray[np.float64]
    """T x A."""
    rewards: npt.NDArray[np.float64]
    """T."""
    terminated: bool
    """Whether the last step reached a terminal state."""
    truncated: bool
    """Whether the last step was cut off, by a time limit for instance."""
    seed: int | None
    """The seed of the environment's reset, where it is known."""

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.rewards)

    @property
    def episode_return(self) -> float:
        """The undiscounted sum of the rewards."""
        return float(np.sum(self.rewards))


class Dataset(Sequence[Episode]):
    """A dataset as a sequence of episodes.

    Args:
        id: `builtin/...`, a Minari id, or the path of a file or folder in any format that rtg
            reads. Data that cannot be trained on are refused; `rtg inspect` shows why.

    Raises:
        Error: There is no such dataset, or it is damaged.

    >>> data = Dataset("builtin/cartpole/random")
    >>> episode = data[0]
    >>> episode.observations.shape == (len(episode) + 1, 4)
    True
    >>> episode.rewards.flags.owndata                     # a view, not a copy
    False
    """

    def __init__(self, id: str) -> None:
        self._native = _native.Dataset(str(id))

    @property
    def id(self) -> str:
        """Minari's id, or a file's name without its ending."""
        return self._native.id

    @property
    def env(self) -> str | None:
        """The environment in which the data were recorded, as `make_vec` takes it."""
        return self._native.env

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """The space of an observation."""
        return self._native.observation_space

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """The space of an action."""
        return self._native.action_space

    @property
    def steps(self) -> int:
        """Steps of all episodes."""
        return self._native.steps

    def hash(self) -> str:
        """The SHA-256 of the content, the same for every format and as in `rtg inspect`."""
        return self._native.hash()

    def __len__(self) -> int:
        """The number of episodes."""
        return self._native.episodes

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> list[Episode]: ...
    def __getitem__(self, index: int | slice) -> Episode | list[Episode]:
        """An episode, or those of a slice."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = operator.index(index)
        if number < 0:
            number += len(self)
        if not 0 <= number < len(self):
            raise IndexError(f"no episode {index} in {len(self)}")
        return Episode(*self._native.episode(number))

    def __repr__(self) -> str:
        return f"Dataset({self.id!r}, episodes={len(self)}, steps={self.steps})"
