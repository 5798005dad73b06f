"""rtg's environments as Gymnasium's vector environments."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from returntogo import _native

_SEEDS = 2**64


def make_vec(
    id: str,
    num_envs: int = 1,
    *,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    render_mode: str | None = None,
    threads: int | None = None,
    **options: Any,
) -> VectorEnv:
    """Makes a vector environment of rtg's, which steps all rows in one call.

    Start states by seed, observations, rewards and ends equal those of Gymnasium's
    `SyncVectorEnv` bit for bit.

    Args:
        id: An environment that `rtg envs` lists, such as `"CartPole-v1"`; options, wrappers and
            `delayed/` may be in it, as in `"Pendulum-v1?g=9.81&ClipReward(min_reward=-1)"`.
        num_envs: Rows.
        autoreset_mode: When the row of an ended episode is reset.
        render_mode: `"rgb_array"` for `VectorEnv.render`.
        threads: Threads that step the rows; by default one for each core in MuJoCo's environments
            and one in others, whose steps are too short to be divided. They change the speed, not
            the numbers.
        **options: Arguments of Gymnasium's constructor, such as `g=9.81`, and `max_episode_steps`.

    Raises:
        Error: An unknown environment or option, a value that is not allowed, no MuJoCo.

    >>> envs = make_vec("CartPole-v1", 2)
    >>> observations, infos = envs.reset(seed=42)
    >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([1, 0]))
    >>> rewards
    array([1., 1.])
    """
    return VectorEnv(
        id,
        num_envs,
        autoreset_mode=autoreset_mode,
        render_mode=render_mode,
        threads=threads,
        **options,
    )


class VectorEnv(gymnasium.vector.VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Rows of one of rtg's environments. See `make_vec`.

    Every call returns new arrays. Infos are empty, except that with
    `AutoresetMode.SAME_STEP` they have the keys of Gymnasium's: `final_obs`, `final_info` and
    their masks.
    """

    def __init__(
        self,
        id: str,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        threads: int | None = None,
        **options: Any,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', not {render_mode!r}")
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, not {num_envs}")
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
        mode = AutoresetMode(autoreset_mode)
        self._rows = _native.Rows(id, num_envs, mode.value, threads or 0, _mujoco(), options)
        self._is_same_step = mode == AutoresetMode.SAME_STEP
        # Rows that have never had a seed: Gymnasium's start from the system's entropy.
        self._is_unseeded = np.ones(num_envs, dtype=np.bool_)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.single_observation_space = self._rows.observation_space()
        self.single_action_space = self._rows.action_space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": self._rows.frames_per_second(),
            "autoreset_mode": mode,
        }
        self.spec = EnvSpec(
            self._rows.id.split("?")[0],
            reward_threshold=self._rows.reward_threshold,
            max_episode_steps=self._rows.max_episode_steps,
            kwargs=dict(options),
        )

    @property
    def id(self) -> str:
        """The environment with its options, as one line of text that rtg takes everywhere."""
        return self._rows.id

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Resets all rows, or those of a mask.

        Args:
            seed: Row `i` gets `seed + i`; or a seed for each row. Without one a row continues with
                its generator.
            options: `reset_mask`, an array of `num_envs` truth values: only those rows are reset.

        Returns:
            The observations of all rows, and an empty dictionary.
        """
        options = dict(options or {})
        mask = options.pop("reset_mask", None)
        if options:
            raise ValueError(f"unknown reset options: {', '.join(map(str, options))}")
        rows = np.arange(self.num_envs) if mask is None else self._masked(mask)
        seeds = self._seeds(seed)
        if isinstance(seed, (int, np.integer)):
            super().reset(seed=int(seed))
        for row in rows:
            if seeds[row] is None and self._is_unseeded[row]:
                seeds[row] = int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
        self._is_unseeded[rows] = False
        return self._rows.reset([(int(row), seeds[row]) for row in rows]), {}

    def step(
        self, actions: npt.ArrayLike
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Steps all rows.

        Args:
            actions: An action of each row. Discrete ones must exist; numbers of a box are clipped
                or not as the environment does it.

        Returns:
            Observations, rewards, terminations, truncations and infos, in new arrays.
        """
        result = self._rows.step(actions)
        if self._is_same_step:
            self._add_last(result[2] | result[3], result[4])
        return result

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A picture of each row, height x width x 3, if the render mode is `"rgb_array"`."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs make_vec(..., render_mode='rgb_array')")
            return None
        return tuple(self._rows.render())

    def close_extras(self, **kwargs: Any) -> None:
        """Frees the environments."""
        self._rows.close()

    def _add_last(self, ended: npt.NDArray[np.bool_], infos: dict[str, Any]) -> None:
        """Adds the last observations of ended episodes, as Gymnasium has them."""
        if not ended.any():
            return
        last = self._rows.final_observations()
        observations = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(ended):
            observations[row] = last[row].copy()
        infos.update(
            final_obs=observations, _final_obs=ended, final_info={}, _final_info=ended.copy()
        )

    def _masked(self, mask: Any) -> npt.NDArray[np.intp]:
        """The rows of a mask."""
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError("options['reset_mask'] must be an array of dtype bool")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"options['reset_mask'] must have shape ({self.num_envs},) and a True in it"
            )
        return np.flatnonzero(mask)

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """A seed for each row."""
        seeds: list[int | None]
        if seed is None:
            seeds = [None] * self.num_envs
        elif isinstance(seed, (int, np.integer)):
            seeds = [int(seed) + row for row in range(self.num_envs)]
        else:
            seeds = [None if given is None else int(given) for given in seed]
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds for {self.num_envs} rows")
        for given in seeds:
            if given is not None and not 0 <= given < _SEEDS:
                raise ValueError(f"a seed must be between 0 and 2**64 - 1, not {given}")
        return seeds


def _mujoco() -> str | None:
    """The folder of this Python's MuJoCo, unless the user names another one."""
    if os.environ.get("RTG_MUJOCO"):
        return None
    found = importlib.util.find_spec("mujoco")
    folders = found.submodule_search_locations if found else None
    return folders[0] if folders else None
