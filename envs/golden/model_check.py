"""Compares our MuJoCo models, compiled, with those of the installed Gymnasium, number for number.

    pip install gymnasium mujoco numpy && python envs/golden/model_check.py

Every array and every scalar of the two mjModels must be equal, bit for bit, but for what is only looked at (cameras, lights, materials, textures, colours,
the names' bytes) and what no code reads (custom numbers, empty keyframes). Bodies, joints, geoms and actuators must have the same names in the same order. Exits with 1 and the differences.
"""

import importlib
import pathlib
import sys

import gymnasium.envs.mujoco
import mujoco
import numpy

mujoco.set_mju_user_warning(lambda message: None)  # MuJoCo's own handler writes a log file
MODELS = ["hopper", "half_cheetah", "walker2d", "swimmer", "reacher", "inverted_pendulum", "inverted_double_pendulum", "pusher", "ant", "humanoid"]
OURS = pathlib.Path(__file__).resolve().parents[1] / "src" / "mujoco" / "models"
THEIRS = pathlib.Path(gymnasium.envs.mujoco.__file__).parent / "assets"
# What is drawn, how names and text are stored, how much memory is set aside, and what no code reads. `signature` is a hash over such counts, too.
LOOKS = ("cam_", "light_", "mat_", "tex_", "skin_", "vis", "stat", "name_", "ntex", "nmat", "ncam", "nlight", "nnames", "nbuffer", "paths", "npaths", "narena",
         "numeric_", "nnumeric", "key_", "nkey")
LOOKS_EXACTLY = {"names", "names_map", "text_data", "signature", "opt", "body_user", "geom_user", "nuser_geom", "nstack", "nconmax", "njmax", "geom_matid",
                 "geom_rgba", "nuserdata"}


def file_of(model):
    environment = importlib.import_module(f"gymnasium.envs.mujoco.{model}_v5")
    source = pathlib.Path(environment.__file__).read_text()
    return source.split('xml_file: str = "')[1].split('"')[0]


def fields(value):
    return [name for name in dir(value) if not name.startswith("_") and not callable(getattr(value, name))]


def names(model):
    kinds = {"body": model.nbody, "joint": model.njnt, "geom": model.ngeom, "actuator": model.nu}
    types = {"body": mujoco.mjtObj.mjOBJ_BODY, "joint": mujoco.mjtObj.mjOBJ_JOINT, "geom": mujoco.mjtObj.mjOBJ_GEOM, "actuator": mujoco.mjtObj.mjOBJ_ACTUATOR}
    return {kind: [mujoco.mj_id2name(model, types[kind], i) for i in range(count)] for kind, count in kinds.items()}


def differences(mine, theirs):
    compared = 0
    for prefix, a, b in (("", mine, theirs), ("opt.", mine.opt, theirs.opt)):
        for name in fields(a):
            if not prefix and (name.startswith(LOOKS) or name in LOOKS_EXACTLY):
                continue
            x, y = (numpy.asarray(getattr(value, name)) for value in (a, b))
            if x.dtype == object:
                continue
            compared += x.size
            if x.shape != y.shape or not numpy.array_equal(x, y):
                yield f"{prefix}{name}: ours {x.tolist()}, Gymnasium's {y.tolist()}"
    for kind, ours in names(mine).items():
        if ours != names(theirs)[kind]:
            yield f"names of {kind}: ours {ours}, Gymnasium's {names(theirs)[kind]}"
    if compared < 500:
        yield f"only {compared} numbers were compared"
    print(f"{compared:5} numbers compared")


failed = False
print(f"MuJoCo {mujoco.__version__}, Gymnasium {gymnasium.__version__}")
# Version 4 of the walker: the same text but for the right foot's friction, as `v4.rs` makes it.
walker = (OURS / "walker2d.xml").read_text()
right_foot = '<geom name="foot_geom"'
pairs = {model: ((OURS / f"{model}.xml").read_text(), file_of(model)) for model in MODELS}
pairs["walker2d_v4"] = (walker.replace(right_foot, right_foot + ' friction="0.9 0.1 0.1"', 1), "walker2d.xml")
for model, (text, file) in pairs.items():
    mine = mujoco.MjModel.from_xml_string(text)
    theirs = mujoco.MjModel.from_xml_path(str(THEIRS / file))
    found = list(differences(mine, theirs))
    failed |= bool(found)
    print(f"{'DIFFERENT' if found else 'equal'} {model} ({mine.body_mass.sum():.4f} kg)", *found, sep="\n    ")
sys.exit(failed)
