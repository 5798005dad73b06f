"""Do exported policies choose what rtg chooses?

    python tests/export_check.py RTG [REPLAY]

Trains a little of every algorithm that can be exported, exports it as ONNX, checks the file with
onnx, lets `rtg collect` play at least 200 steps, and computes each of those steps with onnxruntime
from the recorded observations, actions and rewards: continuous actions must be equal to 1e-5 of
their range, and the value of a discrete action within 1e-5 of the largest. With REPLAY, the example
`replay` of rtg-act, it also exports every run for that crate, whose actions must be equal to 1e-6
of their range over the same steps, and discrete ones the same.

Decision Transformers also leave as a folder of Hugging Face's, which the real
`transformers.DecisionTransformerModel` loads without a missing or unexpected weight; a model of that
class, every parameter moved at random, comes back. Both directions are compared on padded batches,
to 1e-5 of the largest output. Exits with 1 at the first difference. Needs h5py, onnx, onnxruntime,
safetensors, torch and transformers.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.numpy import load_file
from transformers import DecisionTransformerConfig, DecisionTransformerModel

TOLERANCE = 1e-5
REPLAY_TOLERANCE = 1e-6
STEPS = 200
PENDULUM, CARTPOLE = "--dataset builtin/pendulum/random", "--dataset builtin/cartpole/mixed"
SMALL = "--set decision_transformer.width=32 --set decision_transformer.layers=2 --set decision_transformer.heads=2 " \
    "--set decision_transformer.context=8 --set optimiser.learning_rate=0.01"
# The policies: a name, and the options of `rtg train`.
RUNS = {
    "dt-official": f"{PENDULUM} --recipe official {SMALL}",
    "dt-corl": f"{PENDULUM} --recipe corl {SMALL}",
    "dt-official-discrete": f"{CARTPOLE} --recipe official {SMALL}",
    "dt-corl-discrete": f"{CARTPOLE} --recipe corl {SMALL}",
    "dt-convformer": f"{PENDULUM} --recipe convformer {SMALL} --set decision_transformer.heads=1",
    "dt-ddt": f"{PENDULUM} --recipe ddt {SMALL}",
    "dt-huggingface": f"{PENDULUM} --recipe huggingface {SMALL}",
    "dt-huggingface-discrete": f"{CARTPOLE} --recipe huggingface {SMALL}",
    "dt-d3rlpy": f"{PENDULUM} --recipe d3rlpy {SMALL}",
    "rvs": f"{PENDULUM} --algorithm rvs",
    "rvs-discrete": f"{CARTPOLE} --algorithm rvs",
    "bc-official": f"{PENDULUM} --algorithm bc --recipe official --set bc.context=4",
    "bc-corl": f"{PENDULUM} --algorithm bc --recipe corl",
    "bc-discrete": f"{CARTPOLE} --algorithm bc --recipe corl",
    **{name: f"{PENDULUM} --algorithm {name}" for name in ("td3_bc", "iql", "awac", "rebrac", "cql", "edac")},
    **{name: f"{CARTPOLE} --algorithm {name}" for name in ("discrete_cql", "discrete_bcq", "discrete_iql", "discrete_awac")},
    "quantiles": f"{CARTPOLE} --algorithm discrete_cql --set discrete_cql.quantiles=5",
    "sac": "--algorithm sac --env Pendulum-v1",
    "td3": "--algorithm td3 --env Pendulum-v1",
    "dqn": "--algorithm dqn --env CartPole-v1",
    "dueling": "--algorithm dqn --env CartPole-v1 --set dqn.dueling=true",
    "ppo": "--algorithm ppo --env Pendulum-v1",
    "ppo-discrete": "--algorithm ppo --env CartPole-v1",
}
# Members of the family that ONNX files are not written of.
WITHOUT_ONNX = ("dt-convformer", "dt-ddt")
SHORT = "--steps 30 --set evaluation.every=30 --set evaluation.episodes=1 --set evaluation.final_episodes=1 --threads 1"


def main():
    rtg, replay = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as folder:
        workbench = Workbench(rtg, pathlib.Path(folder))
        for name, options in RUNS.items():
            workbench.train(name, f"{options} {SHORT}")
            told = [f"onnxruntime {workbench.compare_rollout(name)}"] if name not in WITHOUT_ONNX else []
            if replay:
                told.append(f"rtg-act {workbench.compare_replay(name, replay)}")
            print(f"{name}: {'; '.join(told)}", flush=True)
        for name in ("dt-official", "dt-official-discrete", "dt-corl-discrete", "dt-huggingface",
                     "dt-huggingface-discrete", "dt-d3rlpy"):
            print(f"{name} in transformers: {workbench.leave(name):.1e}", flush=True)
        for recipe in ("official", "huggingface"):
            print(f"a model of transformers here, {recipe}: {workbench.come_back(recipe):.1e}")
        workbench.refuse()


class Workbench:
    """A folder of runs and their exports."""

    def __init__(self, rtg, folder):
        self.rtg, self.folder = rtg, folder

    def call(self, words, fails=False):
        done = subprocess.run([self.rtg, *words.split()], cwd=self.folder, capture_output=True, text=True)
        if (done.returncode != 0) != fails:
            sys.exit(f"rtg {words}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stderr if fails else done.stdout

    def train(self, name, options):
        self.call(f"train {options} --run-dir {name}")
        self.call(f"collect --policy {name} --steps {STEPS} --seed 5 --out ./{name}-v0")
        if name in WITHOUT_ONNX:
            return
        self.call(f"export {name} --onnx {name}.onnx")
        model = onnx.load(self.folder / f"{name}.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert (model.ir_version, model.opset_import[0].version) == (9, 20), name

    def session(self, name):
        return onnxruntime.InferenceSession(self.folder / f"{name}.onnx", providers=["CPUExecutionProvider"])

    def compare_rollout(self, name):
        """Computes each step that rtg has played with onnxruntime."""
        notes = {note.key: note.value for note in onnx.load(self.folder / f"{name}.onnx").metadata_props}
        targets = [float(target) for target in notes["target_returns"].split(",") if target]
        session = self.session(name)
        steps, worst = 0, 0.0
        for number, episode in enumerate(self.episodes(name)):
            target = targets[number % len(targets)] if targets else 0.0
            for step in range(len(episode["actions"])):
                outputs = session.run(None, feeds(session, episode, step, target))
                worst = max(worst, distance(session, outputs, episode["actions"][step]))
                steps += 1
        if steps < STEPS or not worst <= TOLERANCE:
            sys.exit(f"{name}: a distance of {worst} in {steps} steps")
        return f"{worst:.1e} in {steps} steps"

    def compare_replay(self, name, replay):
        """Computes each step that rtg has played with rtg-act."""
        self.call(f"export {name} --act {name}.act")
        targets = load_file(self.folder / f"{name}.act").get("targets", np.zeros(1))
        lines, played = [], []
        for number, episode in enumerate(self.episodes(name)):
            lines.append(f"reset {float(targets[number % len(targets)])!r}")
            for observation, action, reward in zip(episode["observations"], episode["actions"], episode["rewards"]):
                lines.append(f"observe {' '.join(repr(float(number)) for number in observation)}")
                lines.append(f"reward {float(reward)!r}")
                played.append(np.atleast_1d(action).astype(np.float64))
        done = subprocess.run([replay, self.folder / f"{name}.act"], input="\n".join(lines), capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr}")
        found = np.array([[float(number) for number in line.split()] for line in done.stdout.splitlines()])
        played = np.array(played)
        worst = (np.abs(found - played) / np.maximum(1.0, np.abs(played))).max()
        if len(played) < STEPS or not worst <= REPLAY_TOLERANCE:
            sys.exit(f"{name}: a distance of {worst} from rtg-act in {len(played)} steps")
        return f"{worst:.1e}"

    def episodes(self, name):
        """What rtg has played."""
        with h5py.File(self.folder / f"{name}-v0" / "data" / "main_data.hdf5") as file:
            for number in range(len([key for key in file if key.startswith("episode_")])):
                yield {key: file[f"episode_{number}"][key][()] for key in ("observations", "actions", "rewards")}

    def leave(self, name):
        """How far the real class is from our ONNX file."""
        self.call(f"export {name} --hugging-face {name}-hf")
        model, loading = DecisionTransformerModel.from_pretrained(
            self.folder / f"{name}-hf", output_loading_info=True)
        wrong = {key: names for key, names in loading.items() if names}
        if wrong:
            sys.exit(f"{name}: {wrong}")
        return self.compare(model, json.loads((self.folder / f"{name}-hf" / "config.json").read_text())["rtg"], name)

    def come_back(self, recipe):
        """How far a run that starts from the real class's weights is from the class. The recipe
        `huggingface` must have them to the bit, in its own file too."""
        torch.manual_seed(3)
        model = DecisionTransformerModel(DecisionTransformerConfig(
            state_dim=3, act_dim=1, hidden_size=32, n_layer=2, n_head=4, max_ep_len=200))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
        model.save_pretrained(self.folder / "foreign")
        name = f"back-{recipe}"
        self.train(name, f"--dataset builtin/pendulum/random --recipe {recipe} --steps 0 --threads 1 "
                   "--set initial_weights=foreign --set decision_transformer.width=32 "
                   "--set decision_transformer.layers=2 --set decision_transformer.heads=4 "
                   "--set evaluation.final_episodes=1")
        self.call(f"export {name} --hugging-face {name}-hf")
        if recipe == "huggingface":
            foreign = load_file(self.folder / "foreign" / "model.safetensors")
            for path in (f"{name}-hf/model.safetensors", f"{name}/checkpoints/weights.safetensors"):
                own = load_file(self.folder / path)
                if own.keys() != foreign.keys() or any((own[key] != foreign[key]).any() for key in own):
                    sys.exit(f"{path}: other weights than the class's")
        return self.compare(model, json.loads((self.folder / f"{name}-hf" / "config.json").read_text())["rtg"], name)

    def compare(self, model, notes, name):
        """The class next to the ONNX file on batches with padding left and right."""
        model.eval()
        session = self.session(name)
        generator = np.random.default_rng(7)
        mean, std = np.array(notes["observation_mean"]), np.array(notes["observation_std"])
        codec = notes["actions"].get("continuous")
        worst = 0.0
        for batch, context in ((1, 1), (3, 5), (2, 20)):
            states = generator.normal(size=(batch, context, len(mean))) * std + mean
            inner = generator.uniform(-1, 1, size=(batch, context, model.config.act_dim))
            returns = generator.normal(size=(batch, context, 1))
            timesteps = generator.integers(0, 100, size=(batch, context))
            mask = np.ones((batch, context), dtype=np.int64)
            mask[0, : context // 3] = 0
            mask[-1, context - context // 4:] = 0
            scale, offset = (np.array(codec["scale"]), np.array(codec["offset"])) if codec else (1.0, 0.0)
            ours = session.run(["action_preds"], {
                "states": states.astype(np.float32), "actions": (inner * scale + offset).astype(np.float32),
                "returns_to_go": (returns * notes["return_scale"]).astype(np.float32),
                "timesteps": timesteps, "attention_mask": mask})[0]
            with torch.no_grad():
                theirs = model(
                    states=single((states - mean) / std), actions=single(inner), returns_to_go=single(returns),
                    timesteps=torch.from_numpy(timesteps), attention_mask=torch.from_numpy(mask)).action_preds
            valid = mask == 1
            theirs = theirs.numpy() * scale + offset
            worst = max(worst, np.abs(ours - theirs)[valid].max() / np.abs(theirs[valid]).max())
        if not worst <= TOLERANCE:
            sys.exit(f"{name}: {worst} between ONNX and transformers")
        return worst

    def refuse(self):
        """What differs from the plan, or has no network of the class, ends with one error."""
        said = self.call("train --dataset builtin/pendulum/random --recipe official --steps 0 --run-dir refused "
                         "--set initial_weights=foreign --set decision_transformer.width=32 "
                         "--set decision_transformer.layers=2 --set decision_transformer.heads=2", fails=True)
        assert "'n_head' is 4, the plan needs 2" in said, said
        said = self.call("export td3_bc --hugging-face nothing", fails=True)
        assert "only for Decision Transformers" in said, said
        assert not (self.folder / "nothing").exists()


def feeds(session, episode, step, target):
    """The graph's inputs before the action of a step."""
    inputs = {given.name: given for given in session.get_inputs()}
    if "returns_to_go" in inputs:
        # More than the policy sees would be another policy.
        window = slice(max(0, step + 1 - CONTEXT), step + 1)
        count = step + 1 - window.start
        taken = np.cumsum(np.concatenate([[0.0], episode["rewards"].astype(np.float64)]))
        actions = episode["actions"][window]
        width = inputs["actions"].shape[2]
        actions = np.eye(width)[actions] if actions.ndim == 1 else actions.copy()
        actions[-1] = 9.0  # It is not known yet, and must not matter.
        return {
            "states": episode["observations"][window][None].astype(np.float32),
            "actions": actions[None].astype(np.float32),
            "returns_to_go": (target - taken[window])[None, :, None].astype(np.float32),
            "timesteps": np.arange(window.start, step + 1)[None],
            "attention_mask": np.ones((1, count), dtype=np.int64),
        }
    if "target_returns" in inputs:
        return {"states": episode["observations"][step][None].astype(np.float32),
                "target_returns": np.full((1, 1), target, dtype=np.float32)}
    if "attention_mask" in inputs:
        context = inputs["states"].shape[1]
        seen = episode["observations"][max(0, step + 1 - context): step + 1]
        states = np.zeros((1, context, seen.shape[1]), dtype=np.float32)
        states[0, context - len(seen):] = seen
        mask = np.zeros((1, context), dtype=np.int64)
        mask[0, context - len(seen):] = 1
        return {"states": states, "attention_mask": mask}
    return {"states": episode["observations"][step][None].astype(np.float32)}


# The runs' `decision_transformer.context`.
CONTEXT = 8


def distance(session, outputs, action):
    """Between the graph's newest action and the one that was taken; infinite if another was taken."""
    named = dict(zip((output.name for output in session.get_outputs()), outputs))
    last = named["action_preds"].reshape(-1, named["action_preds"].shape[-1])[-1]
    if "greedy_actions" not in named:
        return np.abs(last - action).max() / max(1.0, np.abs(action).max())
    best = named["greedy_actions"].reshape(-1)[-1]
    assert best == last.argmax(), (best, last)
    return (last[best] - last[int(action)]) / max(1.0, np.abs(last).max())


def single(array):
    return torch.from_numpy(np.asarray(array, dtype=np.float32))


if __name__ == "__main__":
    main()
