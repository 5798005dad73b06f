"""What the machine code of each kernel says of its speed, without a card: the table of account.md.

From ptxas and nvdisasm, for compute capability 9.0. The hot loop is the innermost loop with the most arithmetic: on
tensor cores (HMMA) where a kernel uses them, else fused multiplications and additions (FFMA). The other instructions of
that loop take issue slots, too: with n instructions for each HMMA, a scheduler that issues one a cycle starts one HMMA
in n cycles, and what tensor cores could do beyond that is lost.
"""

import re
import subprocess

ARCH = "sm_90"
# Of a multiprocessor of compute capability 9.0: CUDA C++ Programming Guide, "Compute Capabilities".
REGISTERS, THREADS, BLOCKS, SHARED_BYTES, RESERVED_BYTES = 65536, 2048, 32, 228 << 10, 1 << 10
HEADER = """# The kernels' machine code

Made by `build.py`, which fails in the gate when a kernel's row changes without this file. For compute capability 9.0;
`account.py` explains the columns. Nothing here was measured.

| kernel | registers | shared bytes | blocks of a multiprocessor | hot loop | for each HMMA | loads of 4, 8, 16 bytes | generic |
|---|---|---|---|---|---|---|---|
"""


def kernels(report, ptx):
    """Registers, shared bytes and threads of a block, of each kernel."""
    threads = dict(re.findall(r"\.entry (\w+)\([^{]*?\.maxntid (\d+)", ptx))
    found = re.findall(r"Function properties for (\w+)\n[^\n]*\nptxas info\s+: Used (\d+) registers([^\n]*)", report)
    shared = {name: re.search(r"(\d+) bytes smem", rest) for name, _, rest in found}
    return {name: (int(registers), int(shared[name][1]) if shared[name] else 0, int(threads[name]))
            for name, registers, _ in found}


def resident(registers, shared, threads):
    """Blocks that a multiprocessor runs at a time; registers are given to warps in steps of 256."""
    of_warp = -(-registers * 32 // 256) * 256
    by_registers = REGISTERS // of_warp // (threads // 32)
    by_shared = SHARED_BYTES // (shared + RESERVED_BYTES)
    return min(by_registers, by_shared, THREADS // threads, BLOCKS)


def functions(text):
    """The instructions of each kernel, and its labels: name -> index of the instruction that follows."""
    found, code, labels = {}, None, None
    for line in text.splitlines():
        if match := re.match(r"\.text\.(\w+):", line):
            code, labels = [], {}
            found[match[1]] = (code, labels)
        elif code is None:
            continue
        elif match := re.match(r"(\.L_x_\d+):", line):
            labels[match[1]] = len(code)
        elif match := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*)", line):
            code.append((match[1], match[2]))
    return found


def hot_loop(code, labels):
    """The instructions of the innermost loop with the most arithmetic; none without a loop."""
    loops = []
    for end, (name, arguments) in enumerate(code):
        target = re.search(r"\.L_x_\d+", arguments) if name.startswith("BRA") else None
        if target and labels.get(target[0], end + 1) <= end:
            loops.append((labels[target[0]], end + 1))
    inner = [loop for loop in loops
             if not any(other != loop and loop[0] <= other[0] and other[1] <= loop[1] for other in loops)]
    bodies = [[name for name, _ in code[begin:end]] for begin, end in inner]
    count = lambda body, start: sum(name.startswith(start) for name in body)  # noqa: E731
    return max(bodies, key=lambda body: (count(body, "HMMA"), count(body, "FFMA"), len(body)), default=[])


def table(cuda, ptx, folder):
    """The whole file."""
    source, cubin = folder / "account.ptx", folder / "account.cubin"
    source.write_text(ptx)
    command = [cuda / "bin/ptxas", "-v", f"-arch={ARCH}", source, "-o", cubin]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    command = [cuda / "bin/nvdisasm", "-c", cubin]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    resources, rows = kernels(report, ptx), []
    for name, (code, labels) in sorted(functions(text).items()):
        registers, shared, threads = resources[name]
        loop = hot_loop(code, labels)
        tensor = sum(instruction.startswith("HMMA") for instruction in loop)
        loads = [instruction for instruction, _ in code if re.match(r"LDG\b", instruction)]
        wide = [sum(f".{bits}" in load for load in loads) for bits in (64, 128)]
        generic = sum(bool(re.match(r"(LD|ST)\b", instruction)) for instruction, _ in code)
        cells = [f"`{name}`", registers, shared, resident(registers, shared, threads), len(loop) or "-",
                 f"{len(loop) / tensor:.1f}" if tensor else "-",
                 f"{len(loads) - sum(wide)}, {wide[0]}, {wide[1]}", generic]
        rows.append("| " + " | ".join(map(str, cells)) + " |\n")
    return HEADER + "".join(rows)
