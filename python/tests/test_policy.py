"""`load(run).act` plays what `rtg evaluate` plays. RTG names the program."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import gymnasium
import numpy as np

import returntogo as rtg

PENDULUM, CARTPOLE = "--dataset builtin/pendulum/random", "--dataset builtin/cartpole/mixed"
SMALL = "--set decision_transformer.width=32 --set decision_transformer.layers=1 --set decision_transformer.heads=2 " \
    "--set decision_transformer.context=8"
SHORT = "--steps 30 --threads 1 --set evaluation.every=0 --set evaluation.final_episodes=1"
# Runs: options of `rtg train`, environment, targets.
RUNS = {
    "dt": (f"{PENDULUM} --recipe corl {SMALL}", "Pendulum-v1", [-200.0, -1000.0]),
    "dt-official": (f"{PENDULUM} --recipe official {SMALL}", "Pendulum-v1", [-200.0]),
    "dt-discrete": (f"{CARTPOLE} --recipe corl {SMALL}", "CartPole-v1", [500.0, 20.0]),
    "rvs": (f"{CARTPOLE} --algorithm rvs", "CartPole-v1", [500.0]),
    "bc": (f"{PENDULUM} --algorithm bc", "Pendulum-v1", [None]),
    "td3_bc": (f"{PENDULUM} --algorithm td3_bc", "Pendulum-v1", [None]),
    "discrete_bcq": (f"{CARTPOLE} --algorithm discrete_bcq", "CartPole-v1", [None]),
}
EPISODES, SEED = 4, 20


class Playing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        for name, (options, _, _) in RUNS.items():
            cls.call(f"train {options} {SHORT} --run-dir {name}")

    @classmethod
    def call(cls, words):
        program = os.environ.get("RTG", "rtg")
        done = subprocess.run([program, *words.split()], cwd=cls.folder, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def evaluated(self, name):
        """The returns of `rtg evaluate`, for each target."""
        targets = [str(target) for target in RUNS[name][2] if target is not None]
        asked = f"--targets={','.join(targets)}" if targets else ""
        told = self.call(f"evaluate {name} --episodes {EPISODES} --seed {SEED} --json {asked}")
        return [target["returns"] for target in json.loads(told)["targets"]]

    def test_the_real_gymnasium_gives_the_returns_of_rtg_evaluate(self):
        for name, (_, env_id, targets) in RUNS.items():
            with self.subTest(name):
                policy, env = rtg.load(self.folder / name), gymnasium.make(env_id)
                self.assertEqual(policy.env, env_id)
                self.assertEqual(policy.observation_space, env.observation_space)
                self.assertEqual(policy.action_space, env.action_space)
                played = [[play(policy, env, target, SEED + episode) for episode in range(EPISODES)]
                          for target in targets]
                self.assertEqual(played, self.evaluated(name))

    def test_rows_of_rtg_give_the_returns_of_rtg_evaluate(self):
        for name, (_, env_id, targets) in RUNS.items():
            with self.subTest(name):
                envs = rtg.make_vec(env_id, len(targets) * EPISODES, autoreset_mode="SameStep")
                policy = rtg.load(self.folder / name, num_envs=envs.num_envs, threads=2)
                self.assertEqual(policy.action_space, envs.action_space)
                seeds = [SEED + episode for _ in targets for episode in range(EPISODES)]
                asked = None if targets == [None] else np.repeat(targets, EPISODES)
                played = play_rows(policy, envs, asked, seeds)
                self.assertEqual(played.reshape(len(targets), EPISODES).tolist(), self.evaluated(name))

    def test_a_masked_reset_begins_an_episode_in_those_rows_alone(self):
        one, two = (rtg.load(self.folder / "dt", num_envs=count) for count in (1, 2))
        generator = np.random.default_rng(0)
        observations = generator.normal(size=(6, 1, 3)).astype(np.float32)
        two.reset(-300.0)
        for observation in observations[:3]:
            two.act(np.repeat(observation, 2, axis=0), [-1.0, -1.0])
        two.reset(-500.0, mask=np.array([False, True]))
        one.reset(-500.0)
        for observation in observations[3:]:
            both = two.act(np.repeat(observation, 2, axis=0), [-1.0, -1.0])
            self.assertEqual(both[1].tolist(), one.act(observation, [-1.0])[0].tolist())
            self.assertNotEqual(both[0].tolist(), both[1].tolist())

    def test_the_best_checkpoint_is_that_of_rtg_evaluate(self):
        self.call(f"train {PENDULUM} --algorithm bc --steps 40 --threads 1 --set evaluation.every=10 "
                  "--set evaluation.episodes=1 --set evaluation.final_episodes=1 --run-dir often")
        told = self.call(f"evaluate often --checkpoint best --episodes 1 --seed {SEED} --json")
        policy = rtg.load(self.folder / "often", checkpoint="best")
        self.assertIn(policy.step, (10, 20, 30, 40))
        played = play(policy, gymnasium.make("Pendulum-v1"), None, SEED)
        self.assertEqual([played], json.loads(told)["targets"][0]["returns"])

    def test_what_is_known_of_a_policy(self):
        policy = rtg.load(str(self.folder / "dt"), num_envs=3)
        self.assertEqual(repr(policy), "Policy(decision_transformer, Pendulum-v1, step=30, num_envs=3)")
        self.assertTrue(policy.takes_target and policy.targets)
        self.assertEqual(policy.observation_space.shape, (3, 3))
        clone = rtg.load(self.folder / "bc")
        self.assertEqual((clone.takes_target, clone.targets, clone.algorithm), (False, [], "bc"))
        self.assertEqual(rtg.load(self.folder / "bc", checkpoint="latest").step, 30)

    def test_misuse_is_refused_with_what_to_do(self):
        policy, clone = rtg.load(self.folder / "dt"), rtg.load(self.folder / "bc")
        with self.assertRaisesRegex(RuntimeError, r"call reset\(\) before act\(\)"):
            policy.act(np.zeros(3))
        policy.reset(-200)
        policy.act(np.zeros(3))
        for call, said in [
            (lambda: policy.act(np.zeros(3)), "give the reward of the last step"),
            (lambda: policy.act(np.zeros(4), 0.0), r"expected float64 numbers of shape \[1, 3\]"),
            (lambda: policy.act(np.zeros(3), [0.0, 0.0]), "expected 1 rewards, got 2"),
            (lambda: policy.reset(mask=np.ones(2, bool)), r"mask must have shape \(1,\)"),
            (lambda: clone.reset(100), "the policy of bc takes no target return"),
            (lambda: rtg.load(self.folder / "dt", checkpoint="worst"), "'latest' or 'best', not 'worst'"),
            (lambda: rtg.load(self.folder / "dt", num_envs=0), "must be at least 1"),
        ]:
            with self.assertRaisesRegex(ValueError, said):
                call()
        with self.assertRaises(rtg.Error) as caught:
            rtg.load(self.folder / "nothing")
        self.assertIn("nothing", str(caught.exception))
        self.assertIsNotNone(caught.exception.hint)

    def test_a_run_without_an_environment_acts_too(self):
        self.call(f"train {PENDULUM} --algorithm bc --env none {SHORT} --run-dir apart")
        policy = rtg.load(self.folder / "apart")
        self.assertEqual(policy.observation_space, gymnasium.make("Pendulum-v1").observation_space)
        policy.reset()
        self.assertIn(policy.act(np.zeros(3)), policy.action_space)


def play(policy, env, target, seed):
    """The return of an episode in one environment."""
    observation, _ = env.reset(seed=seed)
    policy.reset(target)
    reward, total, is_over = None, 0.0, False
    while not is_over:
        action = policy.act(observation, reward)
        observation, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        is_over = terminated or truncated
    return total


def play_rows(policy, envs, targets, seeds):
    """The return of the first episode in each row."""
    observations, _ = envs.reset(seed=seeds)
    policy.reset(targets)
    rewards = np.zeros(envs.num_envs)
    totals, is_over = np.zeros(envs.num_envs), np.zeros(envs.num_envs, dtype=bool)
    while not is_over.all():
        actions = policy.act(observations, rewards)
        observations, rewards, terminations, truncations, _ = envs.step(actions)
        totals += np.where(is_over, 0.0, rewards)
        ended = terminations | truncations
        if ended.any():
            policy.reset(targets, mask=ended)
        is_over |= ended
    return totals


if __name__ == "__main__":
    unittest.main()
