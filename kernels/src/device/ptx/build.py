"""Makes the committed PTX of the kernels, the account of its machine code and the estimate of a step, or checks them:
`build.py [--check]`.

Needs the wheels of ptx/requirements.txt (about 100 MB) in the Python that runs it. --check fails if the committed
PTX is not what nvcc makes of the sources, if account.md and estimate.md are not what account.py and estimate.py make of
it, if a kernel misses a bar of account.py, or if ptxas reports for any kernel on any architecture that registers spill
or that a kernel needs a stack.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

import account
import estimate

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "kernels.cu"
# The least compute capability with bfloat16 and TF32 on tensor cores; later devices run the same PTX.
VIRTUAL = "compute_80"
# The PTX version of CUDA 12.4, the first driver with all functions that the program calls. nvcc writes its own, a later
# one; ptxas, below, refuses what the older version does not have.
VERSION = "8.4"
# Devices that the driver will compile it for.
REAL = ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]


def toolkit():
    """The folder of the CUDA wheels in this Python."""
    for folder in map(pathlib.Path, sys.path):
        if (folder / "nvidia/cu13/bin/nvcc").exists():
            return folder / "nvidia/cu13"
    sys.exit(f"no nvcc here: pip install -r {HERE / 'requirements.txt'}")


def compile_ptx(cuda):
    """The PTX of all kernels, without what names the machine it was made on."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "kernels.ptx"
        # Relative paths, so that no folder of this machine can get into the text.
        command = [cuda / "bin/nvcc", "--ptx", f"-arch={VIRTUAL}", "-O3", "-std=c++17", "-Werror", "all-warnings"]
        subprocess.run([*command, SOURCE.name, "-o", out], check=True, cwd=SOURCE.parent)
        ptx, count = re.subn(r"^\.version \d+\.\d+$", f".version {VERSION}", out.read_text(), flags=re.MULTILINE)
        assert count == 1, "PTX has one version"
        return ptx


def spills(cuda, ptx):
    """What ptxas complains of, and one line for each kernel: registers and shared memory."""
    complaints, table = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "kernels.ptx"
        path.write_text(ptx)
        for arch in REAL:
            command = [cuda / "bin/ptxas", "-v", f"-arch={arch}", path, "-o", pathlib.Path(folder) / "kernels.cubin"]
            report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
            for kernel, stack, stores, loads, registers in re.findall(
                r"Function properties for (\w+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores, "
                r"(\d+) bytes spill loads\s+ptxas info\s+: Used (\d+) registers",
                report,
            ):
                table.append((arch, kernel, int(registers)))
                if (stack, stores, loads) != ("0", "0", "0"):
                    complaints.append(f"{kernel} on {arch}: {stack} bytes of stack, {stores} + {loads} spilled")
    if len(table) == 0 or len(table) % len(REAL):
        complaints.append("ptxas reported nothing that this script understands")
    return complaints, table


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    cuda = toolkit()
    ptx = compile_ptx(cuda)
    complaints, table = spills(cuda, ptx)
    with tempfile.TemporaryDirectory() as folder:
        found = account.account(cuda, ptx, pathlib.Path(folder))
    complaints.extend(account.complaints(found))
    files = {f"{VIRTUAL}.ptx": ptx, "account.md": account.table(found), "estimate.md": estimate.text(found)}
    for committed, made in ((HERE / name, text) for name, text in files.items()):
        if not check:
            committed.write_text(made)
        elif not committed.exists() or committed.read_text() != made:
            complaints.append(f"{committed.name} is stale: run {pathlib.Path(__file__).name}")
    kernels = len(table) // len(REAL)
    most = max((registers for _, _, registers in table), default=0)
    print(f"{kernels} kernels, {len(ptx)} bytes of PTX, at most {most} registers on {', '.join(REAL)}")
    if complaints:
        sys.exit("\n".join(complaints))


main()
