"""Is what `rtg collect` recorded what Gymnasium does?

    MINARI_DATASETS_PATH=ROOT python tests/collect_check.py ID...

Loads each dataset with Python's minari, lets it make the environment again, resets that with each
episode's seed, plays the recorded actions, and compares observations, rewards and ends, exactly.
Exits with 1 and one line for each difference. Needs minari and gymnasium (and mujoco for its
environments).
"""

import sys

import minari
import numpy as np


def differences(dataset):
    env = dataset.recover_environment()
    for episode in dataset.iterate_episodes():
        metadata = dataset.storage.get_episode_metadata([episode.id])
        seed = int(next(iter(metadata))["seed"])
        observation, _ = env.reset(seed=seed)
        if not np.array_equal(observation, episode.observations[0]):
            yield f"episode {episode.id}: the first observation"
        for step, action in enumerate(episode.actions):
            observation, reward, terminated, truncated, _ = env.step(action)
            expected = (
                episode.observations[step + 1],
                episode.rewards[step],
                episode.terminations[step],
                episode.truncations[step],
            )
            made = (observation, reward, terminated, truncated)
            for name, left, right in zip(("observation", "reward", "termination", "truncation"), expected, made):
                if not np.array_equal(left, right):
                    yield f"episode {episode.id}, step {step}: {name} {left} is {right} in Gymnasium"
                    break
        if not (terminated or truncated):
            yield f"episode {episode.id} continues in Gymnasium"


def main():
    wrong = 0
    for name in sys.argv[1:]:
        dataset = minari.load_dataset(name)
        found = list(differences(dataset))
        for line in found[:20]:
            print(f"{name}: {line}")
        wrong += len(found)
        print(f"{name}: {dataset.total_episodes} episodes, {dataset.total_steps} steps, {len(found)} differences")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
