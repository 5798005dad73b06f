"""Records trajectories from the real Gymnasium into `<id>.bin`, which the tests compare with.

    pip install gymnasium mujoco==4.0.0 numpy && python record.py [ID ...]

Each file starts with one line of JSON: the environment, the versions, the widths. Then follow records of one size, little endian:

    u8  kind          0 a reset with the seed that follows, 1 a reset without a seed, 2 a step
    u32 seed          of a seeded reset, else 0
    f32 action[A]     of a step, else 0
    f64 reward        of a step, else 0
    u8  flags         1 terminated, 2 truncated
    f64 state[N]      after it, exactly; N is 0 for MuJoCo
    f32 observation[S], f64 where the header's `observation_bits` is 64

For each of ten seeds there is a seeded reset, then 500 steps; an ended episode continues with a reset without a seed. Odd seeds act at random, even seeds
mostly follow a simple policy, so that poles stay up and cars reach their goals. Some of the continuous actions lie outside their bounds.

MuJoCo's environments have three seeds of 300 random steps each (version 4 and those of wide observations one), and in `<id>-options.bin` one of 60 steps with every option of the
constructor changed.
"""

import json
import pathlib
import platform
import struct
import sys

import gymnasium
import mujoco
import numpy

mujoco.set_mju_user_warning(lambda message: None)  # MuJoCo's own handler writes a log file
SEEDS = range(10)
STEPS = 500

POLICIES = {
    "CartPole-v1": lambda o: int(o[2] + 0.4 * o[3] + 0.05 * o[0] + 0.1 * o[1] > 0),
    "MountainCar-v0": lambda o: 2 if o[1] >= 0 else 0,
    "MountainCarContinuous-v0": lambda o: numpy.array([numpy.sign(o[1]) * (0.5 + 12 * abs(o[1]))], dtype=numpy.float32),
    "Acrobot-v1": lambda o: 2 if o[4] < 0 else 0,
    "Pendulum-v1": lambda o: numpy.array([numpy.sign(o[2]) * 2 - 0.3 * o[1]], dtype=numpy.float32),
}

# Options as the tests set them, too.
LOCOMOTION = {"forward_reward_weight": 1.5, "reset_noise_scale": 0.02, "exclude_current_positions_from_observation": False}
OPTIONS = {
    "Hopper-v5": LOCOMOTION | {
        "frame_skip": 3, "ctrl_cost_weight": 0.02, "healthy_reward": 0.7, "healthy_state_range": (-30.0, 20.0), "healthy_z_range": (0.9, 1.3),
        "healthy_angle_range": (-0.15, 0.1), "terminate_when_unhealthy": False,
    },
    "HalfCheetah-v5": LOCOMOTION | {"frame_skip": 3, "ctrl_cost_weight": 0.2},
    "Walker2d-v5": LOCOMOTION | {
        "frame_skip": 3, "ctrl_cost_weight": 0.02, "healthy_reward": 0.7, "healthy_z_range": (1.0, 1.3), "healthy_angle_range": (-0.3, 0.2),
        "terminate_when_unhealthy": False,
    },
    "Swimmer-v5": LOCOMOTION | {"frame_skip": 3, "ctrl_cost_weight": 0.02},
    "Ant-v5": LOCOMOTION | {
        "frame_skip": 3, "ctrl_cost_weight": 0.02, "contact_cost_weight": 0.01, "healthy_reward": 0.7, "main_body": 3, "healthy_z_range": (0.4, 0.9),
        "contact_force_range": (-3.0, 2.0), "terminate_when_unhealthy": False,
    },
    "Humanoid-v5": LOCOMOTION | {
        "frame_skip": 3, "ctrl_cost_weight": 0.02, "contact_cost_weight": 1e-5, "contact_cost_range": (0.5, 3.0), "healthy_reward": 0.7,
        "healthy_z_range": (1.1, 1.35), "terminate_when_unhealthy": False, "include_cinert_in_observation": False, "include_cvel_in_observation": False,
    },
    "InvertedDoublePendulum-v5": {"frame_skip": 3, "healthy_reward": 2.0, "reset_noise_scale": 0.2},
    "Reacher-v5": {"frame_skip": 3, "reward_dist_weight": 0.3, "reward_control_weight": 0.7},
    "InvertedPendulum-v5": {"frame_skip": 3, "reset_noise_scale": 0.1},
    "Pusher-v5": {"frame_skip": 3, "reward_near_weight": 0.3, "reward_dist_weight": 0.9, "reward_control_weight": 0.2},
}
V4 = ["Hopper-v4", "HalfCheetah-v4", "Walker2d-v4", "Ant-v4"]
WIDE = ["Ant-v5", "Humanoid-v5"]


def choose(env, observation, rng, is_random):
    space = env.action_space
    discrete = isinstance(space, gymnasium.spaces.Discrete)
    if not is_random and rng.random() < 0.95:
        return POLICIES[env.spec.id](observation)
    if discrete:
        return int(rng.integers(space.n))
    return (space.high * 1.25 * rng.uniform(-1, 1, space.shape)).astype(numpy.float32)


def record(env_id, name, seeds, steps, **options):
    env = gymnasium.make(env_id, **options)
    is_mujoco = env_id not in POLICIES
    number = "d" if is_mujoco else "f"
    width = 1 if isinstance(env.action_space, gymnasium.spaces.Discrete) else env.action_space.shape[0]
    empty = [0.0] * width
    records = []

    def write(kind, seed, action, reward, flags, observation):
        state = [] if is_mujoco else [float(number) for number in env.unwrapped.state]
        records.append(
            struct.pack(
                f"<BI{width}fdB{len(state)}d{len(observation)}{number}", kind, seed, *action, reward, flags, *state, *observation
            )
        )
        return len(state)

    for seed in seeds:
        rng = numpy.random.default_rng(1000 + seed)
        observation, _ = env.reset(seed=seed)
        states = write(0, seed, empty, 0.0, 0, observation)
        for _ in range(steps):
            action = choose(env, observation, rng, is_mujoco or seed % 2 == 1)
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
    if is_mujoco:
        header |= {"mujoco": mujoco.__version__, "observation_bits": 64}
    path = pathlib.Path(__file__).parent / f"{name}.bin"
    path.write_bytes(json.dumps(header).encode() + b"\n" + b"".join(records))
    print(path.name, len(records), "records", path.stat().st_size, "bytes")


chosen = sys.argv[1:] or [*POLICIES, *OPTIONS, *V4]
for env_id in chosen:
    if env_id in POLICIES:
        record(env_id, env_id, SEEDS, STEPS)
    elif env_id in V4:
        record(env_id, env_id, range(1), 300)
    else:
        record(env_id, env_id, range(1 if env_id in WIDE else 3), 300)
        record(env_id, f"{env_id}-options", [3], 60, **OPTIONS[env_id])
