"""Records trajectories from the real Gymnasium into `<id>.bin`, which the tests compare with.

    pip install gymnasium numpy && python record.py

Each file starts with one line of JSON: the environment, the versions, the widths. Then follow records of one size, little endian:

    u8  kind          0 a reset with the seed that follows, 1 a reset without a seed, 2 a step
    u32 seed          of a seeded reset, else 0
    f32 action[A]     of a step, else 0
    f64 reward        of a step, else 0
    u8  flags         1 terminated, 2 truncated
    f64 state[N]      after it, exactly
    f32 observation[S]

For each of ten seeds there is a seeded reset, then 500 steps; an ended episode goes on with a reset without a seed. Odd seeds act at random, even seeds
mostly follow a simple policy, so that poles stay up and cars reach their goals. Some of the continuous actions lie outside of their bounds.
"""

import json
import pathlib
import platform
import struct

import gymnasium
import numpy

SEEDS = range(10)
STEPS = 500

POLICIES = {
    "CartPole-v1": lambda o: int(o[2] + 0.4 * o[3] + 0.05 * o[0] + 0.1 * o[1] > 0),
    "MountainCar-v0": lambda o: 2 if o[1] >= 0 else 0,
    "MountainCarContinuous-v0": lambda o: numpy.array([numpy.sign(o[1]) * (0.5 + 12 * abs(o[1]))], dtype=numpy.float32),
    "Acrobot-v1": lambda o: 2 if o[4] < 0 else 0,
    "Pendulum-v1": lambda o: numpy.array([numpy.sign(o[2]) * 2 - 0.3 * o[1]], dtype=numpy.float32),
}


def choose(env, observation, rng, is_random):
    space = env.action_space
    discrete = isinstance(space, gymnasium.spaces.Discrete)
    if not is_random and rng.random() < 0.95:
        return POLICIES[env.spec.id](observation)
    if discrete:
        return int(rng.integers(space.n))
    return (space.high * 1.25 * rng.uniform(-1, 1, space.shape)).astype(numpy.float32)


def record(env_id):
    env = gymnasium.make(env_id)
    width = 1
    empty = [0.0] * width
    records = []

    def write(kind, seed, action, reward, flags, observation):
        state = [float(number) for number in env.unwrapped.state]
        records.append(
            struct.pack(
                f"<BI{width}fdB{len(state)}d{len(observation)}f", kind, seed, *action, reward, flags, *state, *observation
            )
        )
        return len(state)

    for seed in SEEDS:
        rng = numpy.random.default_rng(1000 + seed)
        observation, _ = env.reset(seed=seed)
        states = write(0, seed, empty, 0.0, 0, observation)
        for _ in range(STEPS):
            action = choose(env, observation, rng, seed % 2 == 1)
            observation, reward, terminated, truncated, _ = env.step(action)
            write(2, 0, numpy.ravel(action), float(reward), terminated + 2 * truncated, observation)
            if terminated or truncated:
                observation, _ = env.reset()
                write(1, 0, empty, 0.0, 0, observation)

    header = {
        "environment": env_id,
        "gymnasium": gymnasium.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "action_width": width,
        "state_width": states,
        "observation_width": len(observation),
        "records": len(records),
    }
    path = pathlib.Path(__file__).parent / f"{env_id}.bin"
    path.write_bytes(json.dumps(header).encode() + b"\n" + b"".join(records))
    print(path.name, len(records), "records", path.stat().st_size, "bytes")


for env_id in POLICIES:
    record(env_id)
