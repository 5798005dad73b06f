"""Compares this crate with the installed Gymnasium on fresh random seeds, every bit of it.

    pip install gymnasium mujoco numpy && python envs/golden/live_check.py [--seeds 20] [--steps 1000] [--tolerance 0]

Runs the example `trajectory` (built by cargo, or given with --program) and the real environments with the same seeds and actions: states, observations,
rewards and ends of all environments, the autoreset modes of SyncVectorEnv, and what comes after a MuJoCo simulation has become unstable. Exits with 1 and the first difference of each environment.
The example loads the MuJoCo that this Python imports.
On another platform than x86-64 Linux with glibc the C library's sine may differ in the last bit: use --tolerance 1e-9 with fewer steps there.
"""

import argparse
import json
import math
import os
import pathlib
import secrets
import subprocess
import sys
import warnings

import gymnasium
import mujoco
import numpy
from gymnasium.vector import AutoresetMode, SyncVectorEnv

warnings.filterwarnings("ignore")
mujoco.set_mju_user_warning(lambda message: None)  # MuJoCo's own handler writes a log file
IDS = ["CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Acrobot-v1", "Pendulum-v1"]
# What the task looks at beyond the joints is part of the state, because MuJoCo leaves it at a stage inside of the last time step.
MUJOCO = {
    "Hopper-v5": lambda data: [],
    "HalfCheetah-v5": lambda data: [],
    "Walker2d-v5": lambda data: [],
    "Ant-v5": lambda data: [data.xpos, data.cfrc_ext],
    "Humanoid-v5": lambda data: [data.ctrl, data.xipos, data.cinert, data.cvel, data.qfrc_actuator, data.cfrc_ext],
    "Swimmer-v5": lambda data: [],
    "Reacher-v5": lambda data: [data.body(name).xpos for name in ("fingertip", "target")],
    "InvertedPendulum-v5": lambda data: [],
    "InvertedDoublePendulum-v5": lambda data: [data.site_xpos, data.qfrc_constraint],
    "Pusher-v5": lambda data: [data.body(name).xpos for name in ("tips_arm", "object", "goal")],
    "Hopper-v4": lambda data: [],
    "HalfCheetah-v4": lambda data: [],
    "Walker2d-v4": lambda data: [],
    "Ant-v4": lambda data: [data.xpos, data.cfrc_ext],
}
MODES = {"next-step": AutoresetMode.NEXT_STEP, "same-step": AutoresetMode.SAME_STEP}


class Difference(Exception):
    pass


def build():
    root = pathlib.Path(__file__).resolve().parents[2]
    command = ["cargo", "build", "--release", "-p", "rtg-envs", "--example", "trajectory", "--message-format", "json"]
    lines = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.splitlines()
    return next(m["executable"] for m in map(json.loads, lines) if m.get("executable"))


def ours(program, arguments, commands):
    answer = subprocess.run([program, *arguments], input="\n".join(commands) + "\n", capture_output=True, text=True)
    if answer.returncode != 0:
        raise Difference(f"the example failed: {answer.stderr.strip()}")
    return [json.loads(line) for line in answer.stdout.splitlines()]


def compare(what, mine, theirs, tolerance):
    for name, expected in theirs.items():
        got, expected = numpy.ravel(mine[name]), numpy.ravel(expected)
        if got.shape != expected.shape or not numpy.allclose(got, expected, rtol=tolerance, atol=tolerance):
            raise Difference(f"{what}: {name} is {got.tolist()}, Gymnasium has {expected.tolist()}")


def state_of(env):
    world = env.unwrapped
    if env.spec.id not in MUJOCO:
        return [float(number) for number in world.state]
    seen = map(numpy.ravel, MUJOCO[env.spec.id](world.data))
    return numpy.concatenate([world.data.qpos, world.data.qvel, world.data.qacc_warmstart, *seen]).tolist()


def words(action):
    return " ".join(repr(float(number)) for number in numpy.ravel(action))


def random_action(space, rng):
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(rng.integers(space.n))
    # Beyond the bounds, too: clipping is part of the environment.
    return (space.high * rng.uniform(-1.5, 1.5, space.shape)).astype(numpy.float32)


def stubborn(rng, space):
    """Repeats each random action for a random while, which takes an environment further than fresh ones."""
    while True:
        action = random_action(space, rng)
        for _ in range(rng.integers(1, 30)):
            yield action


def check_one(program, env_id, seed, steps, tolerance):
    env = gymnasium.make(env_id)
    rng = numpy.random.default_rng([seed, 1])
    actions = stubborn(rng, env.action_space)
    commands, theirs = [], []

    def expect(command, observation, **rest):
        commands.append(command)
        theirs.append({"observation": observation.astype(float), "state": state_of(env), **rest})

    expect(f"reset {seed}", env.reset(seed=seed)[0])
    for _ in range(steps):
        action = next(actions)
        observation, reward, terminated, truncated, _ = env.step(action)
        expect(words(action), observation, reward=float(reward), terminated=terminated, truncated=truncated)
        if terminated or truncated:
            expect("reset", env.reset()[0])
    for i, (mine, expected) in enumerate(zip(ours(program, [env_id], commands), theirs, strict=True)):
        compare(f"{env_id}, seed {seed}, command {i} ({commands[i]})", mine, expected, tolerance)


def check_unstable(program, env_id, seed, steps, tolerance):
    """What follows when a velocity has become too large for MuJoCo."""
    env = gymnasium.make(env_id)
    rng = numpy.random.default_rng([seed, 3])
    data = env.unwrapped.data
    commands, theirs = [f"reset {seed}"], [{"observation": env.reset(seed=seed)[0]}]
    for i in range(steps):
        if i % 10 == 5:
            data.qvel[rng.integers(data.qvel.size)] = 1e11 * rng.choice([-1, 1])
            commands.append(f"state {words(state_of(env))}")
            theirs.append({"state": state_of(env), "instabilities": len(theirs) // 11})
        action = random_action(env.action_space, rng)
        observation, reward, terminated, truncated, _ = env.step(action)
        commands.append(words(action))
        # Here nobody resets: the episode goes on after its end, too.
        theirs.append({"observation": observation, "reward": float(reward), "terminated": terminated, "truncated": truncated, "state": state_of(env)})
    for i, (mine, expected) in enumerate(zip(ours(program, [env_id], commands), theirs, strict=True)):
        compare(f"{env_id}, unstable, seed {seed}, command {i} ({commands[i]})", mine, expected, tolerance)


def check_rows(program, env_id, mode, seed, steps, tolerance, rows=5):
    envs = SyncVectorEnv([lambda: gymnasium.make(env_id)] * rows, autoreset_mode=MODES[mode])
    rng = numpy.random.default_rng([seed, 2])
    commands, theirs = [f"reset {seed}"], [{"observations": envs.reset(seed=seed)[0].astype(float)}]
    for _ in range(steps):
        actions = [random_action(envs.single_action_space, rng) for _ in range(rows)]
        commands.append(" ".join(map(words, actions)))
        observations, rewards, terminated, truncated, infos = envs.step(numpy.array(actions))
        expected = {"observations": observations.astype(float), "rewards": rewards, "terminated": terminated, "truncated": truncated}
        if "final_obs" in infos:
            expected["final"] = {row: infos["final_obs"][row] for row in numpy.flatnonzero(infos["_final_obs"])}
        theirs.append(expected)
    answers = ours(program, [env_id, str(rows), mode], commands)
    for i, (mine, expected) in enumerate(zip(answers, theirs, strict=True)):
        what = f"{env_id}, {rows} rows, {mode}, seed {seed}, command {i}"
        final = expected.pop("final", {})
        compare(what, mine, expected, tolerance)
        lasts = numpy.reshape(mine["final_observations"], (rows, -1))
        for row, observation in final.items():
            compare(f"{what}, row {row}", {"final observation": lasts[row]}, {"final observation": observation.astype(float)}, tolerance)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seeds", type=int, default=20)
    arguments.add_argument("--steps", type=int, default=1000)
    arguments.add_argument("--tolerance", type=float, default=0.0)
    arguments.add_argument("--program", help="the built example `trajectory`")
    options = arguments.parse_args()
    program = options.program or build()
    os.environ["RTG_MUJOCO"] = str(pathlib.Path(mujoco.__file__).parent)
    print(f"Gymnasium {gymnasium.__version__}, MuJoCo {mujoco.__version__}, NumPy {numpy.__version__}")

    checks = [(env_id, lambda seed, e=env_id: check_one(program, e, seed, options.steps, options.tolerance)) for env_id in [*IDS, *MUJOCO]]
    for env_id in ("CartPole-v1", "MountainCarContinuous-v0", "Hopper-v5"):
        for mode in MODES:
            checks.append((f"{env_id} {mode}", lambda seed, e=env_id, m=mode: check_rows(program, e, m, seed, options.steps, options.tolerance)))
    for env_id in MUJOCO:
        checks.append((f"{env_id} unstable", lambda seed, e=env_id: check_unstable(program, e, seed, min(options.steps, 45), options.tolerance)))
    failed = False
    for name, check in checks:
        # Seeds of one, two and more words take different ways through NumPy's SeedSequence.
        seeds = [secrets.randbits(math.ceil(63 * (i + 1) / options.seeds)) for i in range(options.seeds)]
        try:
            for seed in seeds:
                check(seed)
            print(f"equal     {name}: {len(seeds)} seeds, {options.steps} steps each")
        except Difference as difference:
            failed = True
            print(f"DIFFERENT {difference}")
    sys.exit(failed)


main()
