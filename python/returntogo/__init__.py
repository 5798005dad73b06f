"""rtg's policies, vector environments and datasets.

>>> import returntogo as rtg
>>> envs = rtg.make_vec("CartPole-v1", 64)                # a gymnasium.vector.VectorEnv
>>> data = rtg.Dataset("builtin/cartpole/random")         # NumPy views of stored episodes
>>> policy = rtg.load("runs/first")                       # doctest: +SKIP
>>> policy.reset(target=500)                              # doctest: +SKIP
>>> action = policy.act(observation)                      # doctest: +SKIP

The program `rtg` trains; it is a package of its own (`rtg-workbench`) and is not needed here.
"""

from returntogo._dataset import Dataset, Episode
from returntogo._error import Error
from returntogo._native import __version__
from returntogo._policy import Policy, load
from returntogo._vector import VectorEnv, make_vec

__all__ = ["Dataset", "Episode", "Error", "Policy", "VectorEnv", "__version__", "load", "make_vec"]
