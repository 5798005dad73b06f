"""The native half. Nothing of it is public."""

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

__version__: str

class Rows:
    id: str
    max_episode_steps: int | None
    reward_threshold: float | None
    def __new__(
        cls,
        id: str,
        rows: int,
        autoreset: str,
        threads: int,
        mujoco_folder: str | None,
        kwargs: dict[str, Any],
    ) -> Rows: ...
    def observation_space(self) -> gymnasium.Space[Any]: ...
    def action_space(self) -> gymnasium.Space[Any]: ...
    def frames_per_second(self) -> float: ...
    def reset(self, seeds: list[tuple[int, int | None]]) -> np.ndarray: ...
    def step(
        self, actions: npt.ArrayLike
    ) -> tuple[
        np.ndarray,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]: ...
    def final_observations(self) -> np.ndarray: ...
    def render(self) -> list[npt.NDArray[np.uint8]]: ...
    def close(self) -> None: ...

class Policy:
    algorithm: str
    env: str
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    step: int
    takes_target: bool
    targets: list[float]
    def __new__(cls, run: str, checkpoint: str, rows: int, threads: int) -> Policy: ...
    def begin(self, row: int, target: float | None) -> None: ...
    def act(
        self, observations: npt.NDArray[np.float64], rewards: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]: ...

class Dataset:
    id: str
    env: str | None
    episodes: int
    steps: int
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    def __new__(cls, id: str) -> Dataset: ...
    def hash(self) -> str: ...
    def episode(
        self, index: int
    ) -> tuple[
        npt.NDArray[np.float64],
        npt.NDArray[np.float64],
        npt.NDArray[np.float64],
        bool,
        bool,
        int | None,
    ]: ...
