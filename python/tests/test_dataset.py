"""Datasets: equal to the files as h5py reads them, and views instead of copies."""

import gc
import json
import os
import pathlib
import subprocess
import unittest

import gymnasium
import h5py
import numpy as np

import returntogo as rtg

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "datasets" / "fixtures"


class Reading(unittest.TestCase):
    def test_a_file_is_read_as_h5py_reads_it(self):
        for name, env in (("cartpole-v0", "CartPole-v1"), ("pendulum-v0", "Pendulum-v1")):
            path = FIXTURES / "minari" / "tiny" / name
            data = rtg.Dataset(path)
            self.assertEqual(data.env, env)
            self.assertEqual(data.observation_space, gymnasium.make(env).observation_space)
            self.assertEqual(data.action_space, gymnasium.make(env).action_space)
            with h5py.File(path / "data" / "main_data.hdf5") as file:
                self.assertEqual(len(data), len(file))
                for number, episode in enumerate(data):
                    stored = file[f"episode_{number}"]
                    steps = len(stored["rewards"])
                    self.assertEqual(len(episode), steps)
                    for ours, theirs in (
                        (episode.observations, stored["observations"]),
                        (episode.actions, stored["actions"]),
                        (episode.rewards, stored["rewards"]),
                    ):
                        self.assertTrue(np.array_equal(ours, theirs[()].reshape(ours.shape)))
                    self.assertEqual(episode.terminated, stored["terminations"][-1])
                    self.assertEqual(episode.truncated, stored["truncations"][-1])
                    self.assertAlmostEqual(episode.episode_return, stored["rewards"][()].sum())
            self.assertEqual(data.steps, sum(len(episode) for episode in data))

    def test_the_hash_is_that_of_rtg_inspect(self):
        path = FIXTURES / "minari" / "tiny" / "pendulum-v0"
        program = os.environ.get("RTG", "rtg")
        told = subprocess.run([program, "inspect", path, "--json"], check=True, capture_output=True, text=True)
        self.assertIn(rtg.Dataset(path).hash(), json.dumps(json.loads(told.stdout)))

    def test_numbers_are_views_and_cannot_be_written(self):
        data = rtg.Dataset("builtin/cartpole/random")
        first, again = data[0], data[0]
        for name in ("observations", "actions", "rewards"):
            one, other = getattr(first, name), getattr(again, name)
            self.assertEqual(one.dtype, np.float64)
            self.assertFalse(one.flags.owndata or one.flags.writeable)
            self.assertEqual(one.ctypes.data, other.ctypes.data)
            with self.assertRaises(ValueError):
                one[0] = 1.0
            with self.assertRaises(ValueError):
                one.flags.writeable = True

    def test_numbers_live_longer_than_the_dataset(self):
        data = rtg.Dataset("builtin/cartpole/random")
        episode = data[3]
        copies = [np.array(numbers) for numbers in (episode.observations, episode.actions, episode.rewards)]
        del data
        gc.collect()
        # What is free now would be written over.
        others = [rtg.Dataset("builtin/cartpole/expert") for _ in range(3)]
        views = (episode.observations, episode.actions, episode.rewards)
        for view, copy in zip(views, copies, strict=True):
            self.assertTrue(np.array_equal(view, copy))
        self.assertEqual(len(others), 3)

    def test_it_is_a_sequence(self):
        data = rtg.Dataset("builtin/cartpole/random")
        self.assertEqual(data.id, "builtin/cartpole/random")
        self.assertEqual(repr(data), f"Dataset('builtin/cartpole/random', episodes={len(data)}, steps={data.steps})")
        self.assertTrue(np.array_equal(data[-1].rewards, data[len(data) - 1].rewards))
        self.assertEqual([len(episode) for episode in data[:3]], [len(data[number]) for number in range(3)])
        for number in (len(data), -len(data) - 1):
            with self.assertRaisesRegex(IndexError, f"no episode {number} in {len(data)}"):
                data[number]

    def test_what_does_not_exist_or_is_damaged_is_an_error_with_a_hint(self):
        for name, said in [
            ("builtin/cartpole/nothing", "builtin/cartpole/nothing"),
            ("no/such-v0", "unknown dataset 'no/such-v0'"),
            (FIXTURES / "minari" / "tiny" / "broken-rows-v0", "observation"),
        ]:
            with self.assertRaisesRegex(rtg.Error, said) as caught:
                rtg.Dataset(name)
            self.assertIsNotNone(caught.exception.hint)


if __name__ == "__main__":
    unittest.main()
