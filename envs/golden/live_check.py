"""Compares this crate with the installed Gymnasium on fresh random seeds, every bit of it.

    pip install gymnasium mujoco numpy && python envs/golden/live_check.py [--seeds 20] [--steps 1000] [--tolerance 0]

Runs the example `trajectory` (built by cargo, or given with --program) and the real environments with the same seeds and actions: states, observations,
rewards and ends of all environments, the same with options, time limits and wrappers (every option of every constructor at least once, which is checked, too),
the autoreset modes of SyncVectorEnv, and what comes after a MuJoCo simulation has become unstable. Exits with 1 and the first difference of each environment.
The example loads the MuJoCo that this Python imports.
On another platform than x86-64 Linux with glibc the C library's sine may differ in the last bit: use --tolerance 1e-9 with fewer steps there.
"""

import argparse
import inspect
import json
import math
import os
import pathlib
import secrets
import subprocess
import sys
import warnings

# These choose OpenBLAS's kernels, whose dot products differ in the last bit; what is compared with is NumPy's own choice.
for choice in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(choice, None)

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
# What constructors take for pictures only.
PICTURE = {"self", "kwargs", "render_mode", "default_camera_config"}
LIMIT = "max_episode_steps"
# Constructors' arguments and time limits. An option that means one thing where it is true and nothing where it is false stands apart.
LOCOMOTION = {"forward_reward_weight": 1.5, "ctrl_cost_weight": 0.02, "reset_noise_scale": 0.03, "exclude_current_positions_from_observation": False}
HOPPER = {"healthy_reward": 0.7, "healthy_state_range": [-30, 20], "healthy_z_range": [0.9, math.inf], "healthy_angle_range": [-0.15, 0.1]}
WALKER = {"healthy_reward": 0.7, "healthy_z_range": [1.0, 1.3], "healthy_angle_range": [-0.3, 0.2]}
ANT = {"healthy_reward": 0.7, "healthy_z_range": [0.4, 0.9], "contact_cost_weight": 0.01, "contact_force_range": [-3, 2]}
HUMANOID = {"healthy_reward": 0.7, "healthy_z_range": [1.1, 1.35], "contact_cost_weight": 1e-5, "contact_cost_range": [0.5, 3]}
NARROW = {f"include_{part}_in_observation": False for part in ("cinert", "cvel", "qfrc_actuator", "cfrc_ext")}
STAYS = {"terminate_when_unhealthy": False}
V4 = {name: value for name, value in LOCOMOTION.items() if name != "forward_reward_weight"}
OPTIONS = {
    "CartPole-v1": [{"sutton_barto_reward": True, LIMIT: 400}, {LIMIT: 15}],
    "MountainCar-v0": [{"goal_velocity": 0.03, LIMIT: 700}, {"goal_velocity": 0}],
    "MountainCarContinuous-v0": [{"goal_velocity": 0.03}, {"goal_velocity": 0.07}, {"goal_velocity": 0.0700000001, LIMIT: 2000}, {"goal_velocity": -1}],
    "Acrobot-v1": [{LIMIT: 60}],
    "Pendulum-v1": [{"g": 2}, {"g": 9.81}, {"g": -3.3, LIMIT: 77}, {"g": 0}],
    "Hopper-v5": [LOCOMOTION | HOPPER | {"frame_skip": 3}, LOCOMOTION | STAYS, {"frame_skip": 8}, {"xml_file": "hopper.xml", LIMIT: 20}],
    "HalfCheetah-v5": [LOCOMOTION | {"frame_skip": 3}, {"xml_file": "half_cheetah.xml", LIMIT: 20}],
    "Walker2d-v5": [LOCOMOTION | WALKER | {"frame_skip": 3}, STAYS | {"xml_file": "walker2d.xml"}],
    "Ant-v5": [LOCOMOTION | ANT | {"frame_skip": 3, "main_body": 3}, STAYS | {"main_body": "aux_4", "include_cfrc_ext_in_observation": False},
               {"xml_file": "ant.xml", "main_body": "world"}],
    "Humanoid-v5": [LOCOMOTION | HUMANOID | {"frame_skip": 3}, STAYS | NARROW, {"xml_file": "humanoid.xml", "include_cvel_in_observation": False}],
    "Swimmer-v5": [LOCOMOTION | {"frame_skip": 3}, {"xml_file": "swimmer.xml"}],
    "Reacher-v5": [{"frame_skip": 3, "reward_dist_weight": 0.3, "reward_control_weight": 0.7}, {"xml_file": "reacher.xml", "reward_dist_weight": 2}],
    "InvertedPendulum-v5": [{"frame_skip": 3, "reset_noise_scale": 0.1}, {"xml_file": "inverted_pendulum.xml"}],
    "InvertedDoublePendulum-v5": [{"frame_skip": 3, "healthy_reward": 2, "reset_noise_scale": 0.2}, {"xml_file": "inverted_double_pendulum.xml"}],
    "Pusher-v5": [{"frame_skip": 3, "reward_near_weight": 0.3, "reward_dist_weight": 0.9, "reward_control_weight": 0.2}, {"xml_file": "pusher_v5.xml"}],
    "Hopper-v4": [LOCOMOTION | HOPPER, STAYS],
    "HalfCheetah-v4": [LOCOMOTION],
    "Walker2d-v4": [LOCOMOTION | WALKER, STAYS],
    "Ant-v4": [V4 | ANT | {"use_contact_forces": True}, ANT | STAYS, {"xml_file": "ant.xml", "use_contact_forces": True}],
}
RESCALE = ("RescaleAction", {"min_action": -1.0, "max_action": 1.0})
WRAPPERS = {
    "Pendulum-v1": [[RESCALE], [("ClipAction", {})], [RESCALE, ("ClipAction", {})], [("RescaleAction", {"min_action": 0, "max_action": 3})],
                    [("ClipReward", {"min_reward": -1.5})], [("ClipReward", {"min_reward": -4.0, "max_reward": -0.1})], [("TimeLimit", {LIMIT: 30})]],
    "CartPole-v1": [[("ClipReward", {"max_reward": 0.5})], [("TimeLimit", {LIMIT: 7}), ("RecordEpisodeStatistics", {})]],
    "MountainCarContinuous-v0": [[("RescaleAction", {"min_action": -0.1, "max_action": 0.7})], [("ClipAction", {})]],
    "Pusher-v5": [[RESCALE], [("ClipAction", {}), ("ClipReward", {"min_reward": -1})]],
    "Humanoid-v5": [[RESCALE, ("TimeLimit", {LIMIT: 25})], [("ClipAction", {})]],
    "Hopper-v4": [[("RescaleAction", {"min_action": -3.0, "max_action": 0.1}), ("ClipAction", {})]],
}
# Cars get to their goals by going where they roll.
DRIVERS = {"MountainCar-v0": lambda o: 2 if o[1] >= 0 else 0, "MountainCarContinuous-v0": lambda o: numpy.array([1 if o[1] >= 0 else -1], dtype=numpy.float32)}
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


def text(value):
    """A value as our program writes it behind an id."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(text, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def name_of(env_id, options, wrappers):
    items = [f"{name}={text(value)}" for name, value in options.items()]
    items += [f"{name}({','.join(f'{key}={text(value)}' for key, value in kwargs.items())})" for name, kwargs in wrappers]
    return env_id + "?" * bool(items) + "&".join(items)


def make(env_id, options, wrappers):
    env = gymnasium.make(env_id, **options)
    for name, kwargs in wrappers:
        env = getattr(gymnasium.wrappers, name)(env, **kwargs)
    return env


def value_of(written):
    """The value that our program wrote."""
    try:
        return json.loads(written.replace("inf", "Infinity"))
    except json.JSONDecodeError:
        return written


def check_constructor(program, env_id):
    """Our options are those of Gymnasium's constructor, with its default values, and all of them are tried here."""
    lines = subprocess.run([program, env_id, "options"], check=True, capture_output=True, text=True).stdout.splitlines()
    mine = {name: value_of(value) for name, value in (line.split("=", 1) for line in lines)}
    parameters = inspect.signature(type(gymnasium.make(env_id).unwrapped).__init__).parameters
    theirs = {name: list(p.default) if isinstance(p.default, tuple) else p.default for name, p in parameters.items() if name not in PICTURE}
    if mine != theirs:
        raise Difference(f"{env_id}: options are {mine}, Gymnasium has {theirs}")
    untried = set(theirs) - {name for options in OPTIONS[env_id] for name in options}
    if untried:
        raise Difference(f"{env_id}: nothing tries {sorted(untried)}")


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


def check_one(program, env_id, seed, steps, tolerance, options={}, wrappers=()):
    name = name_of(env_id, options, wrappers)
    env = make(env_id, options, wrappers)
    rng = numpy.random.default_rng([seed, 1])
    # A space without bounds says nothing of what is worth trying.
    is_bounded = numpy.isfinite(getattr(env.action_space, "high", 0)).all()
    actions = stubborn(rng, env.action_space if is_bounded else env.unwrapped.action_space)
    commands, theirs = [], []

    def expect(command, observation, **rest):
        commands.append(command)
        theirs.append({"observation": observation.astype(float), "state": state_of(env), **rest})

    observation = env.reset(seed=seed)[0]
    expect(f"reset {seed}", observation)
    for _ in range(steps):
        action = next(actions)
        if env_id in DRIVERS and options and rng.random() < 0.9:
            action = DRIVERS[env_id](observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        expect(words(action), observation, reward=float(reward), terminated=terminated, truncated=truncated)
        # Where it is allowed to, it sometimes continues after the end.
        if (terminated or truncated) and (not options or rng.random() < 0.7):
            observation = env.reset()[0]
            expect("reset", observation)
    for i, (mine, expected) in enumerate(zip(ours(program, [name], commands), theirs, strict=True)):
        compare(f"{name}, seed {seed}, command {i} ({commands[i]})", mine, expected, tolerance)


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
        # Here nothing resets: the episode continues after its end, too.
        theirs.append({"observation": observation, "reward": float(reward), "terminated": terminated, "truncated": truncated, "state": state_of(env)})
    for i, (mine, expected) in enumerate(zip(ours(program, [env_id], commands), theirs, strict=True)):
        compare(f"{env_id}, unstable, seed {seed}, command {i} ({commands[i]})", mine, expected, tolerance)


def check_rows(program, env_id, mode, seed, steps, tolerance, options={}, wrappers=(), rows=5):
    name = name_of(env_id, options, wrappers)
    envs = SyncVectorEnv([lambda: make(env_id, options, wrappers)] * rows, autoreset_mode=MODES[mode])
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
    answers = ours(program, [name, str(rows), mode], commands)
    for i, (mine, expected) in enumerate(zip(answers, theirs, strict=True)):
        what = f"{name}, {rows} rows, {mode}, seed {seed}, command {i}"
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

    checks = []

    def add(check, env_id, *middle, steps=options.steps, what="", **rest):
        name = name_of(env_id, rest.get("options", {}), rest.get("wrappers", ()))
        checks.append((f"{name}{what}", lambda seed: check(program, env_id, *middle, seed, steps, options.tolerance, **rest), steps))

    for env_id in [*IDS, *MUJOCO]:
        add(check_one, env_id)
        for variant in OPTIONS[env_id]:
            add(check_one, env_id, options=variant)
        for wrappers in WRAPPERS.get(env_id, []):
            add(check_one, env_id, wrappers=wrappers)
    add(check_one, "Hopper-v5", options=OPTIONS["Hopper-v5"][0], wrappers=WRAPPERS["Hopper-v4"][0])
    for mode in MODES:
        for env_id in ("CartPole-v1", "MountainCarContinuous-v0", "Hopper-v5"):
            add(check_rows, env_id, mode, what=f" {mode}")
        # Columns with options, wrappers around rows.
        add(check_rows, "Pendulum-v1", mode, what=f" {mode}", options={"g": 9.81}, rows=20)
        add(check_rows, "CartPole-v1", mode, what=f" {mode}", options={"sutton_barto_reward": True}, rows=20)
        add(check_rows, "Pendulum-v1", mode, what=f" {mode}", options={"g": 2}, wrappers=[RESCALE])
    for env_id in MUJOCO:
        add(check_unstable, env_id, steps=min(options.steps, 45), what=" unstable")
    failed = False
    for env_id in OPTIONS:
        try:
            check_constructor(program, env_id)
        except Difference as difference:
            failed = True
            print(f"DIFFERENT {difference}")
    for name, check, steps in checks:
        # Seeds of one, two and more words take different ways through NumPy's SeedSequence.
        seeds = [secrets.randbits(math.ceil(63 * (i + 1) / options.seeds)) for i in range(options.seeds)]
        try:
            for seed in seeds:
                check(seed)
            print(f"equal     {name}: {len(seeds)} seeds, {steps} steps each")
        except Difference as difference:
            failed = True
            print(f"DIFFERENT {difference}")
    sys.exit(failed)


main()
