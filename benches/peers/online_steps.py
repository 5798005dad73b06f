"""Times online learning in CartPole with PyTorch, and ours in turn with it.

    python benches/peers/online_steps.py dqn|ppo [--program target/release/rtg] [--rounds 3]

The figure is environment steps a second, updates included, evaluation and writing to disk omitted.
PyTorch's side is written as CleanRL writes `dqn.py` and `ppo.py`, with their values: Gymnasium's
environments in a SyncVectorEnv, a network call and a copy for each step, a replay buffer of NumPy
arrays or a rollout buffer of tensors, one Adam. What CleanRL sends to a logger is omitted. Updates
of DQN begin after 1000 steps on both sides. One thread each.

In each round both sides run one after the other; the figure printed is the median over the rounds.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical
from torch.nn import functional as F

GAMMA, LAMBDA, CLIP = 0.99, 0.95, 0.2
LEARNING_STARTS = 1000


def environments(count):
    make = lambda: gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("CartPole-v1"))
    same_step = gymnasium.vector.AutoresetMode.SAME_STEP
    return gymnasium.vector.SyncVectorEnv([make] * count, autoreset_mode=same_step)


def dqn(steps):
    """CleanRL's DQN: an update of 128 transitions after every tenth step."""
    envs = environments(1)
    q, target = (nn.Sequential(nn.Linear(4, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                               nn.Linear(84, 2)) for _ in range(2))
    target.load_state_dict(q.state_dict())
    adam = torch.optim.Adam(q.parameters(), lr=2.5e-4)
    capacity = 10_000
    held, following = (np.zeros((capacity, 1, 4), np.float32) for _ in range(2))
    taken = np.zeros((capacity, 1, 1), np.int64)
    earned, ended = (np.zeros((capacity, 1), np.float32) for _ in range(2))
    seen, _ = envs.reset(seed=0)
    began = time.perf_counter()
    for step in range(steps):
        epsilon = max(1 - 0.95 * step / (0.5 * steps), 0.05)
        if np.random.random() < epsilon:
            actions = np.array([envs.single_action_space.sample()])
        else:
            actions = q(torch.Tensor(seen)).argmax(1).numpy()
        after, rewards, terminated, truncated, infos = envs.step(actions)
        real = after.copy()
        if (terminated | truncated)[0]:
            real[0] = infos["final_obs"][0]
        at = step % capacity
        held[at], following[at], taken[at] = seen, real, actions[:, None]
        earned[at], ended[at] = rewards, terminated
        seen = after
        if step > LEARNING_STARTS and step % 10 == 0:
            rows = np.random.randint(0, min(step + 1, capacity), size=128)
            s, n, a, r, d = (torch.tensor(column[rows, 0])
                             for column in (held, following, taken, earned, ended))
            with torch.no_grad():
                best, _ = target(n).max(dim=1)
                wanted = r + GAMMA * best * (1 - d)
            loss = F.mse_loss(wanted, q(s).gather(1, a).squeeze())
            adam.zero_grad()
            loss.backward()
            adam.step()
            if step % 500 == 0:
                for to, own in zip(target.parameters(), q.parameters()):
                    to.data.copy_(own.data)
    return steps / (time.perf_counter() - began)


def layer(inputs, outputs, gain=2**0.5):
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.zeros_(linear.bias)
    return linear


def ppo(steps):
    """CleanRL's PPO: four environments, 128 steps of each, four epochs of four minibatches."""
    count, length = 4, 128
    envs = environments(count)
    critic = nn.Sequential(layer(4, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 1, 1.0))
    actor = nn.Sequential(layer(4, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 2, 0.01))
    parameters = [*critic.parameters(), *actor.parameters()]
    adam = torch.optim.Adam(parameters, lr=2.5e-4, eps=1e-5)
    held = torch.zeros(length, count, 4)
    taken, logs, earned, ends, values = (torch.zeros(length, count) for _ in range(5))
    seen, _ = envs.reset(seed=0)
    seen, end = torch.Tensor(seen), torch.zeros(count)
    rounds = steps // (count * length)
    began = time.perf_counter()
    for number in range(rounds):
        adam.param_groups[0]["lr"] = (1 - number / rounds) * 2.5e-4
        for step in range(length):
            held[step], ends[step] = seen, end
            with torch.no_grad():
                policy = Categorical(logits=actor(seen))
                action = policy.sample()
                logs[step], values[step] = policy.log_prob(action), critic(seen).flatten()
            taken[step] = action
            after, rewards, terminated, truncated, _ = envs.step(action.numpy())
            earned[step] = torch.tensor(rewards)
            seen, end = torch.Tensor(after), torch.Tensor(terminated | truncated)
        with torch.no_grad():
            last = critic(seen).flatten()
            advantages, later = torch.zeros_like(earned), 0
            for step in reversed(range(length)):
                goes_on = 1 - (end if step == length - 1 else ends[step + 1])
                following = last if step == length - 1 else values[step + 1]
                delta = earned[step] + GAMMA * following * goes_on - values[step]
                advantages[step] = later = delta + GAMMA * LAMBDA * goes_on * later
            returns = advantages + values
        flat = held.reshape(-1, 4), taken.reshape(-1), logs.reshape(-1)
        flat_advantages, flat_returns = advantages.reshape(-1), returns.reshape(-1)
        flat_values = values.reshape(-1)
        rows = np.arange(count * length)
        for _ in range(4):
            np.random.shuffle(rows)
            for start in range(0, len(rows), 128):
                part = rows[start:start + 128]
                policy = Categorical(logits=actor(flat[0][part]))
                log = policy.log_prob(flat[1].long()[part])
                log_ratio = log - flat[2][part]
                ratio = log_ratio.exp()
                with torch.no_grad():
                    ((ratio - 1) - log_ratio).mean()
                    ((ratio - 1).abs() > CLIP).float().mean().item()
                normal = flat_advantages[part]
                normal = (normal - normal.mean()) / (normal.std() + 1e-8)
                loss = torch.max(-normal * ratio,
                                 -normal * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
                value = critic(flat[0][part]).view(-1)
                old, wanted = flat_values[part], flat_returns[part]
                clipped = old + (value - old).clamp(-CLIP, CLIP)
                squares = torch.max((value - wanted) ** 2, (clipped - wanted) ** 2)
                loss = loss - 0.01 * policy.entropy().mean() + 0.5 * 0.5 * squares.mean()
                adam.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 0.5)
                adam.step()
    return rounds * count * length / (time.perf_counter() - began)


def ours(program, algorithm, steps):
    """The steps a second that the summary of a run gives: training alone."""
    own = {"dqn": ["--set", f"dqn.learning_starts={LEARNING_STARTS}"], "ppo": []}[algorithm]
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        subprocess.run(
            [program, "train", "--algorithm", algorithm, "--env", "CartPole-v1", "--threads", "1",
             "--steps", str(steps), "--set", "evaluation.every=0",
             "--set", "evaluation.final_episodes=1", "--set", f"checkpoint_every={steps}",
             *own, "--run-dir", run], check=True, capture_output=True)
        summary = json.loads((run / "summary.json").read_text())
    assert summary["steps"] == steps, summary
    return steps / summary["train_seconds"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algorithm", choices=["dqn", "ppo"])
    parser.add_argument("--program", help="the rtg to time; PyTorch alone without it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20_480, help="of each side in a round")
    options = parser.parse_args()

    torch.set_num_threads(1)
    peer = {"dqn": dqn, "ppo": ppo}[options.algorithm]
    rates = {"PyTorch": []}
    for _ in range(options.rounds):
        rates["PyTorch"].append(peer(options.steps))
        if options.program:
            rates.setdefault("rtg", []).append(
                ours(options.program, options.algorithm, options.steps))
    print(f"{options.algorithm} in CartPole-v1, {options.steps} steps, {options.rounds} rounds")
    print(f"{'side':<9}{'steps/s':>10}{'least':>10}{'most':>10}")
    for side, all_rates in rates.items():
        print(f"{side:<9}{statistics.median(all_rates):>10.0f}{min(all_rates):>10.0f}"
              f"{max(all_rates):>10.0f}")
    if options.program:
        ratio = statistics.median(rates["rtg"]) / statistics.median(rates["PyTorch"])
        print(f"ours over PyTorch's: {ratio:.1f}")


if __name__ == "__main__":
    sys.exit(main())
