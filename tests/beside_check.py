"""Does the program find a MuJoCo that is installed beside it?

    python tests/beside_check.py RTG VENV

VENV is a virtual environment with the package `mujoco`. The program is copied into its `bin`, as the
wheel puts it there, and called by its path, then by a link to it, while neither PATH nor the
environment names that Python. Exits with 1 unless it loads the library of VENV and steps with it.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

PLAIN = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}


def main():
    program, venv = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    (library,) = venv.glob("lib/python3*/site-packages/mujoco/libmujoco.so.*")
    beside = venv / "bin" / "rtg-beside"
    shutil.copy(program, beside)
    try:
        with tempfile.TemporaryDirectory() as folder:
            link = pathlib.Path(folder) / "rtg"
            link.symlink_to(beside)
            for path in (beside, link):
                told = call(folder, path, "envs")
                if str(library) not in told:
                    sys.exit(f"{path} envs: no {library} in\n{told}")
                out = f"./{path.name}-v0"
                call(folder, path, "collect", "--env", "Hopper-v5", "--steps", "20", "--out", out)
                print(f"{path}: {library}")
    finally:
        beside.unlink()


def call(folder, *words):
    done = subprocess.run(words, env=PLAIN, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    main()
