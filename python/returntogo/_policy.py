"""Acting with a trained run."""

from __future__ import annotations

import os
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete
from gymnasium.vector.utils import batch_space

from returntogo import _native


def load(
    run: str | os.PathLike[str],
    *,
    num_envs: int | None = None,
    checkpoint: str = "latest",
    threads: int = 1,
) -> Policy:
    """The greedy policy of a run of `rtg train`: the one that `rtg evaluate` evaluates.

    Args:
        run: The run directory.
        num_envs: `None` for a policy that acts in one environment; a number for one that acts in
            as many at once, with arrays of that many rows as of a vector environment.
        checkpoint: `"latest"`, or `"best"`: the one with the largest return for the run's first
            target.
        threads: Threads that compute. They change the speed, not the actions.

    Raises:
        Error: No such run or checkpoint, or a damaged one.
    """
    return Policy(run, num_envs=num_envs, checkpoint=checkpoint, threads=threads)


class Policy:
    """A trained policy. See `load`.

    It has the memory of the current episode: call `reset` when an episode begins, and `act` once
    for each step. It assumes that its actions are taken.
    """

    observation_space: gymnasium.Space[Any]
    """The space of observations: of one environment, or of `num_envs`."""
    action_space: gymnasium.Space[Any]
    """The space of actions: of one environment, or of `num_envs`."""

    def __init__(
        self,
        run: str | os.PathLike[str],
        *,
        num_envs: int | None = None,
        checkpoint: str = "latest",
        threads: int = 1,
    ) -> None:
        self.num_envs = num_envs
        self._rows = 1 if num_envs is None else num_envs
        self._native = _native.Policy(os.fspath(run), checkpoint, self._rows, threads)
        self._single_action_space = self._native.action_space
        self.observation_space = self._native.observation_space
        self.action_space = self._single_action_space
        if num_envs is not None:
            self.observation_space = batch_space(self.observation_space, num_envs)
            self.action_space = batch_space(self.action_space, num_envs)
        self._is_first = np.ones(self._rows, dtype=np.bool_)

    @property
    def env(self) -> str:
        """The environment that it was trained for, as `make_vec` takes it."""
        return self._native.env

    @property
    def algorithm(self) -> str:
        """The name of the algorithm."""
        return self._native.algorithm

    @property
    def step(self) -> int:
        """Steps of training that it has seen."""
        return self._native.step

    @property
    def takes_target(self) -> bool:
        """Whether it is conditioned on a target return."""
        return self._native.takes_target

    @property
    def targets(self) -> list[float]:
        """The returns that the run's own evaluations ask for."""
        return self._native.targets

    def reset(
        self,
        target: float | npt.ArrayLike | None = None,
        *,
        mask: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Begins an episode.

        Args:
            target: The return to ask for, if the policy takes one: a number, or one for each row.
                By default the run's first target.
            mask: With `num_envs`, the rows in which an episode begins; by default all.

        Raises:
            ValueError: A target for a policy that takes none, or none for a policy that takes one
                and whose run has none.
        """
        if target is None and self.takes_target:
            if not self.targets:
                raise ValueError("the run has no target return: give one")
            target = self.targets[0]
        if target is not None and not self.takes_target:
            raise ValueError(f"the policy of {self.algorithm} takes no target return")
        targets: list[Any] = [None] * self._rows
        if target is not None:
            targets = np.broadcast_to(np.asarray(target, np.float64), self._rows).tolist()
        rows = list(range(self._rows))
        if mask is not None:
            mask = np.asarray(mask)
            if mask.shape != (self._rows,) or mask.dtype != np.bool_:
                raise ValueError(f"mask must have shape ({self._rows},) and dtype bool")
            rows = np.flatnonzero(mask).tolist()
        for row in rows:
            self._native.begin(row, targets[row])
            self._is_first[row] = True

    def act(self, observation: npt.ArrayLike, reward: npt.ArrayLike | None = None) -> Any:
        """The action for an observation.

        Args:
            observation: The observation of the environment; with `num_envs`, of all of them.
            reward: The reward of the last step; with `num_envs`, of each row. At an episode's first
                step it does not count. A policy that takes no target needs none.

        Returns:
            An action of `action_space`: an `int` or an array; with `num_envs`, an array of all.

        Raises:
            ValueError: Numbers of another shape, or a missing reward.
            RuntimeError: `reset` was not called before.
        """
        if reward is None:
            if self.takes_target and not self._is_first.all():
                raise ValueError(
                    "the policy follows the return that is left: give the reward of the last step"
                )
            reward = np.zeros(self._rows)
        rewards = np.array(reward, dtype=np.float64).reshape(-1)
        if rewards.shape != (self._rows,):
            raise ValueError(f"expected {self._rows} rewards, got {len(rewards)}")
        observations = np.asarray(observation, dtype=np.float64)
        if observations.size == 0 or observations.size % self._rows:
            raise ValueError(f"{observations.size} numbers do not make {self._rows} observations")
        observations = np.ascontiguousarray(observations.reshape(self._rows, -1))
        rewards[self._is_first] = 0.0
        actions = self._native.act(observations, rewards)
        self._is_first[:] = False
        return self._as_in_space(actions)

    def _as_in_space(self, actions: npt.NDArray[np.float64]) -> Any:
        """Flat rows as actions of the space."""
        space = self._single_action_space
        if isinstance(space, Discrete):
            chosen = actions[:, 0].astype(np.int64)
            return int(chosen[0]) if self.num_envs is None else chosen
        shape = space.shape if isinstance(space, Box) else actions.shape[1:]
        dtype = space.dtype if isinstance(space, Box) else actions.dtype
        taken = actions.astype(dtype).reshape(self._rows, *(shape or ()))
        return taken[0] if self.num_envs is None else taken

    def __repr__(self) -> str:
        rows = "" if self.num_envs is None else f", num_envs={self.num_envs}"
        return f"Policy({self.algorithm}, {self.env}, step={self.step}{rows})"
