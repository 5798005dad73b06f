"""rtg's vector environments beside Gymnasium's: the same numbers, types, infos and contract."""

import importlib.util
import os
import sys
import threading
import unittest

import gymnasium
import numpy as np
from gymnasium.utils import env_checker
from gymnasium.utils.performance import benchmark_vector_step
from gymnasium.vector import AutoresetMode

import returntogo as rtg

# Environments, options of both sides, and steps: enough for several ends of episodes.
CLASSIC = [
    ("CartPole-v1", {}, 300),
    ("CartPole-v1", {"sutton_barto_reward": True, "max_episode_steps": 15}, 60),
    ("MountainCar-v0", {"max_episode_steps": 40}, 130),
    ("MountainCarContinuous-v0", {"max_episode_steps": 40}, 130),
    ("Acrobot-v1", {"max_episode_steps": 40}, 130),
    ("Pendulum-v1", {"g": 9.81, "max_episode_steps": 40}, 130),
]
MUJOCO = [("Hopper-v5", {"frame_skip": 8}, 60), ("InvertedPendulum-v5", {}, 60)]
ROWS = 5


def theirs(name, mode, rows=ROWS, **options):
    return gymnasium.make_vec(
        name, rows, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **options)


def exactly(ours, expected, where):
    """Equal values, types and shapes, in arrays, dictionaries, tuples and lists."""
    assert type(ours) is type(expected), (where, type(ours), type(expected))
    if isinstance(expected, np.ndarray):
        assert (ours.dtype, ours.shape) == (expected.dtype, expected.shape), (where, ours, expected)
        if expected.dtype == object:
            for one, other in zip(ours, expected, strict=True):
                exactly(one, other, where)
        else:
            assert np.array_equal(ours, expected), (where, ours, expected)
    elif isinstance(expected, dict):
        assert list(ours) == list(expected), (where, list(ours), list(expected))
        for key in expected:
            exactly(ours[key], expected[key], f"{where}: {key}")
    elif isinstance(expected, (tuple, list)):
        assert len(ours) == len(expected), where
        for number, (one, other) in enumerate(zip(ours, expected)):
            exactly(one, other, f"{where}: {number}")
    else:
        assert ours == expected, (where, ours, expected)


class BesideSyncVectorEnv(unittest.TestCase):
    def compare(self, name, options, steps, mode, with_infos=True):
        ours = rtg.make_vec(name, ROWS, autoreset_mode=mode, **options)
        peer = theirs(name, mode, **options)
        self.assertEqual(ours.single_observation_space, peer.single_observation_space)
        self.assertEqual(ours.single_action_space, peer.single_action_space)
        self.assertEqual(ours.observation_space, peer.observation_space)
        self.assertEqual(ours.action_space, peer.action_space)
        self.assertEqual(ours.metadata["autoreset_mode"], mode)
        keep = slice(None) if with_infos else slice(-1)
        exactly(ours.reset(seed=11)[keep], peer.reset(seed=11)[keep], "reset")
        peer.action_space.seed(3)
        ends = 0
        for step in range(steps):
            actions = peer.action_space.sample()
            result, expected = ours.step(actions), peer.step(actions)
            exactly(result[keep], expected[keep], f"{name} {mode} step {step}")
            self.assertIn(result[0], ours.observation_space)
            ended = expected[2] | expected[3]
            ends += ended.sum()
            if mode == AutoresetMode.DISABLED and ended.any():
                reset = [envs.reset(options={"reset_mask": ended})[keep] for envs in (ours, peer)]
                exactly(*reset, f"{name} reset after step {step}")
        self.assertGreater(ends, 0, "no episode has ended")
        exactly(ours.reset()[keep], peer.reset()[keep], "reset without a seed")
        seeds = [7, None, 8, 9, None]
        exactly(ours.reset(seed=seeds)[keep], peer.reset(seed=seeds)[keep], "reset with a list")
        ours.close()
        peer.close()

    def test_classic_control_is_equal_in_each_autoreset_mode(self):
        for name, options, steps in CLASSIC:
            for mode in AutoresetMode:
                with self.subTest(name=name, mode=mode):
                    self.compare(name, options, steps, mode)

    def test_mujoco_is_equal(self):
        if importlib.util.find_spec("mujoco") is None:
            self.assertNotEqual(os.environ.get("RTG_REQUIRE_MUJOCO"), "1", "mujoco is not installed")
            self.skipTest("the package mujoco is not installed")
        for name, options, steps in MUJOCO:
            for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
                with self.subTest(name=name, mode=mode):
                    self.compare(name, options, steps, mode, with_infos=False)

    def test_a_mask_resets_rows_in_every_mode(self):
        mask = np.array([True, False, True, False, False])
        for mode in AutoresetMode:
            ours, peer = rtg.make_vec("CartPole-v1", ROWS, autoreset_mode=mode), theirs("CartPole-v1", mode)
            for envs in (ours, peer):
                envs.reset(seed=0)
                envs.step(np.ones(ROWS, dtype=np.int64))
            reset = [envs.reset(seed=5, options={"reset_mask": mask}) for envs in (ours, peer)]
            exactly(*reset, f"{mode}")

    def test_wrappers_of_gymnasium_work_the_same(self):
        wrappers = gymnasium.wrappers.vector
        modes = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)
        # The one that normalises observations refuses SAME_STEP.
        stacks = [
            ("CartPole-v1", modes, lambda envs: wrappers.RecordEpisodeStatistics(envs)),
            ("CartPole-v1", modes, lambda envs: wrappers.DictInfoToList(wrappers.RecordEpisodeStatistics(envs))),
            ("CartPole-v1", modes[:1], lambda envs: wrappers.NormalizeObservation(envs)),
            ("Pendulum-v1", modes, lambda envs: wrappers.NormalizeReward(wrappers.ClipReward(envs, -1, 0))),
            ("Pendulum-v1", modes, lambda envs: wrappers.RescaleAction(envs, -1.0, 1.0)),
        ]
        for name, modes, wrap in stacks:
            for mode in modes:
                options = {"max_episode_steps": 12}
                ours = wrap(rtg.make_vec(name, ROWS, autoreset_mode=mode, **options))
                peer = wrap(theirs(name, mode, **options))
                with self.subTest(wrapper=repr(peer), mode=mode):
                    exactly(ours.reset(seed=1)[0], peer.reset(seed=1)[0], "reset")
                    peer.action_space.seed(2)
                    for step in range(40):
                        actions = peer.action_space.sample()
                        results = ours.step(actions), peer.step(actions)
                        for result in results:
                            forget_times(result[4])
                        exactly(*results, f"step {step}")


def forget_times(infos):
    """Takes the wall times out of the infos of RecordEpisodeStatistics."""
    for info in infos if isinstance(infos, list) else [infos]:
        if "episode" in info:
            for key in ("t", "_t"):
                info["episode"].pop(key, None)


class Contract(unittest.TestCase):
    def test_gymnasiums_checks_pass(self):
        checks = [
            env_checker.check_reset_seed_determinism,
            env_checker.check_reset_options,
            env_checker.check_reset_return_type,
            env_checker.check_reset_return_info_deprecation,
            env_checker.check_seed_deprecation,
        ]
        peer = gymnasium.make_vec("CartPole-v1", ROWS, vectorization_mode="vector_entry_point")
        for check in checks:
            check(peer)
            for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
                for name, options, _ in CLASSIC:
                    with self.subTest(check=check.__name__, name=name, mode=mode):
                        check(rtg.make_vec(name, ROWS, autoreset_mode=mode, **options))
        # Written for one row.
        for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
            env_checker.check_returned_data_not_reused(rtg.make_vec("CartPole-v1", 1, autoreset_mode=mode))
        self.assertGreater(benchmark_vector_step(rtg.make_vec("CartPole-v1", 4), target_duration=0.1), 0)

    def test_it_is_a_vector_environment_that_describes_itself(self):
        envs = rtg.make_vec("CartPole-v1", 3, max_episode_steps=20)
        self.assertIsInstance(envs, gymnasium.vector.VectorEnv)
        self.assertEqual(repr(envs), "VectorEnv(CartPole-v1, num_envs=3)")
        self.assertEqual(envs.id, "CartPole-v1?max_episode_steps=20")
        self.assertEqual((envs.spec.max_episode_steps, envs.spec.reward_threshold), (20, 475.0))
        self.assertEqual(envs.metadata["render_fps"], 50)
        self.assertIs(envs.unwrapped, envs)

    def test_what_a_call_returned_is_never_changed_by_a_later_one(self):
        for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
            envs = rtg.make_vec("CartPole-v1", 2, autoreset_mode=mode, max_episode_steps=3)
            results = [envs.reset(seed=0)]
            results += [envs.step(np.zeros(2, dtype=np.int64)) for _ in range(5)]
            arrays = [item for result in results for item in result if isinstance(item, np.ndarray)]
            for number, array in enumerate(arrays):
                self.assertTrue(array.flags.owndata and array.flags.writeable)
                self.assertFalse(any(np.shares_memory(array, other) for other in arrays[:number]))

    def test_without_a_seed_episodes_start_anywhere(self):
        starts = [rtg.make_vec("CartPole-v1", 2).reset()[0] for _ in range(3)]
        self.assertFalse(np.array_equal(starts[0], starts[1]) or np.array_equal(starts[1], starts[2]))
        self.assertFalse(np.array_equal(starts[0][0], starts[0][1]))

    def test_environments_of_rtg_alone_and_texts_with_options(self):
        envs = rtg.make_vec("delayed/KeyToDoor-v0", 2, autoreset_mode="SameStep")
        envs.reset(seed=0)
        total = sum(envs.step([0, 1])[1].sum() for _ in range(30))
        self.assertEqual(total, 0.0)
        text = "Pendulum-v1?g=2&ClipReward(min_reward=-1,max_reward=0)"
        envs = rtg.make_vec(text, 2, max_episode_steps=7)
        envs.reset(seed=0)
        self.assertGreaterEqual(envs.step(np.zeros((2, 1), np.float32))[1].min(), -1)
        self.assertEqual(envs.spec.max_episode_steps, 7)

    def test_pictures_are_drawn_where_they_are_asked_for(self):
        envs = rtg.make_vec("CartPole-v1", 2, render_mode="rgb_array")
        envs.reset(seed=0)
        frames = envs.render()
        self.assertEqual([(frame.dtype, frame.ndim, frame.shape[2]) for frame in frames], [(np.uint8, 3, 3)] * 2)
        self.assertGreater(len(np.unique(frames[0])), 1)
        with self.assertWarns(UserWarning):
            self.assertIsNone(rtg.make_vec("CartPole-v1", 1).render())

    def test_threads_change_no_number(self):
        sides = [rtg.make_vec("Pendulum-v1", 9, threads=threads) for threads in (1, 3)]
        results = []
        for envs in sides:
            observations = [envs.reset(seed=4)[0]]
            observations += [envs.step(np.full((9, 1), 0.5, np.float32))[0] for _ in range(20)]
            results.append(np.array(observations))
        self.assertTrue(np.array_equal(*results))

    def test_other_threads_run_during_a_long_step(self):
        envs = rtg.make_vec("CartPole-v1", 100_000)
        envs.reset(seed=0)
        actions = np.zeros(100_000, dtype=np.int64)
        may_run, has_run = threading.Event(), []

        def other():
            may_run.wait()
            has_run.append(True)

        thread = threading.Thread(target=other)
        interval = sys.getswitchinterval()
        thread.start()
        try:
            # The interpreter does not change threads by itself any more.
            sys.setswitchinterval(1000)
            may_run.set()
            for _ in range(200):
                envs.step(actions)
                if has_run:
                    break
        finally:
            sys.setswitchinterval(interval)
        self.assertTrue(has_run, "the step did not let the other thread run")
        thread.join()


class Actions(unittest.TestCase):
    def test_actions_of_any_kind_that_means_the_same(self):
        chosen = [1, 0, 1]
        padded = np.array([[1, 9], [0, 9], [1, 9]])[:, 0]
        kinds = [chosen, tuple(chosen), np.array(chosen, np.int32), np.array(chosen, np.uint8), padded]
        self.assert_equal_steps("CartPole-v1", np.array(chosen), kinds)
        torque = np.array([[0.5], [-1.0], [0.25]], dtype=np.float32)
        self.assert_equal_steps("Pendulum-v1", torque, [torque.tolist(), torque.astype(np.float64), torque[::-1][::-1]])

    def assert_equal_steps(self, name, actions, others):
        def step(actions):
            envs = rtg.make_vec(name, 3)
            envs.reset(seed=0)
            return envs.step(actions)

        expected = step(actions)
        for other in others:
            exactly(step(other), expected, repr(other))

    def test_actions_that_do_not_exist_are_refused_and_nothing_moves(self):
        envs = rtg.make_vec("CartPole-v1", 2)
        start = envs.reset(seed=0)[0]
        for actions, said in [
            (np.array([0, 2]), "the action of row 1 must be between 0 and 1, not 2"),
            (np.array([-1, 0]), "the action of row 0 must be between 0 and 1, not -1"),
            (np.array([0, 1, 0]), r"shape \[2\]"),
            (np.array([0.0, 1.0]), "must be integers"),
            (["left", "right"], "must be integers"),
        ]:
            with self.assertRaisesRegex(ValueError, said):
                envs.step(actions)
        expected = rtg.make_vec("CartPole-v1", 2)
        self.assertTrue(np.array_equal(expected.reset(seed=0)[0], start))
        exactly(envs.step([0, 1]), expected.step([0, 1]), "after errors")


class Refusals(unittest.TestCase):
    def test_errors_of_rtg_have_its_message_and_hint(self):
        with self.assertRaises(rtg.Error) as caught:
            rtg.make_vec("CartPole-v2", 2)
        self.assertIn("unknown environment 'CartPole-v2'", str(caught.exception))
        self.assertEqual(caught.exception.hint, "`rtg envs` lists them all")
        if sys.version_info >= (3, 11):
            self.assertEqual(caught.exception.__notes__, ["hint: `rtg envs` lists them all"])
        with self.assertRaisesRegex(rtg.Error, "Pendulum-v1 has no option 'gravity'; the nearest are g"):
            rtg.make_vec("Pendulum-v1", 2, gravity=2)
        with self.assertRaisesRegex(rtg.Error, "'g' is given twice"):
            rtg.make_vec("Pendulum-v1?g=1", 2, g=2)
        with self.assertRaisesRegex(TypeError, "an option cannot be <object"):
            rtg.make_vec("Pendulum-v1", 2, g=object())

    def test_arguments_out_of_range(self):
        for call, said in [
            (lambda: rtg.make_vec("CartPole-v1", 0), "num_envs must be at least 1, not 0"),
            (lambda: rtg.make_vec("CartPole-v1", 1, threads=0), "threads must be at least 1"),
            (lambda: rtg.make_vec("CartPole-v1", 1, render_mode="human"), "render_mode"),
            (lambda: rtg.make_vec("CartPole-v1", 1, autoreset_mode="Never"), "Never"),
            (lambda: rtg.make_vec("CartPole-v1", 2).reset(seed=[1]), "1 seeds for 2 rows"),
            (lambda: rtg.make_vec("CartPole-v1", 2).reset(seed=-1), "a seed must be between"),
            (lambda: rtg.make_vec("CartPole-v1", 2).reset(seed=2**64 - 1), "a seed must be between"),
            (lambda: rtg.make_vec("CartPole-v1", 2).reset(options={"low": 0}), "unknown reset options: low"),
            (lambda: rtg.make_vec("CartPole-v1", 2).reset(options={"reset_mask": np.array([False] * 2)}), "reset_mask"),
        ]:
            with self.assertRaisesRegex(ValueError, said):
                call()

    def test_a_step_before_the_reset_and_after_the_end(self):
        envs = rtg.make_vec("CartPole-v1", 2, autoreset_mode="Disabled", max_episode_steps=1)
        with self.assertRaises(gymnasium.error.ResetNeeded):
            envs.step([0, 0])
        envs.reset(seed=0)
        envs.step([0, 0])
        with self.assertRaisesRegex(gymnasium.error.ResetNeeded, "the episode in row 0 is over"):
            envs.step([0, 0])
        envs.close()
        envs.close()
        with self.assertRaises(gymnasium.error.ClosedEnvironmentError):
            envs.step([0, 0])


if __name__ == "__main__":
    unittest.main()
