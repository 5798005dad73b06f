"""What the machine code of each kernel says of its speed, without a card: the table of account.md.

From ptxas and nvdisasm, for compute capability 9.0. The hot loop is the innermost loop with the most arithmetic: on
tensor cores (HMMA) where a kernel uses them, else fused multiplications and additions (FFMA). The other instructions of
that loop take issue slots, too (of a kernel with two such loops, the longer one counts; where HMMAs are in no innermost
loop, it is the code from one branch, label or barrier to the next that has the most of them): with n instructions for each HMMA, a scheduler that issues one a cycle starts one HMMA
in n cycles, and what tensor cores could do beyond that is lost.
"""

import re
import subprocess

ARCH = "sm_90"
MOST_FOR_HMMA = 6
LEAST_WIDE = 0.9
ATTENTION = "both ways to read rows are in it; one quad at a time is used where a head's rows begin at 16 bytes"
# Why a kernel has other loads. What ends in _any is the twin for rows that do not begin at 16 bytes.
OTHER_LOADS = {
    "attention": ATTENTION,
    "attention_backward": ATTENTION,
    "attention_bf16": "the key and the place of a row's dropout are single numbers",
    "attention_backward_bf16": "so they are here; an output meets its gradient eight bytes at a time",
    "add_up": "slices and pieces of a gradient begin anywhere, and are read eight at a time",
    "embed_backward": "a step has any number of inputs; it looks for the few steps of a row of the table",
    "embed": "a step has any number of observations and actions; timesteps and lengths are single numbers",
    "gather": "a step has any number of observations and actions",
    "head_and_loss": "an action has any number of parts",
    "layer_norm": "the key and the place of a row's dropout are single numbers",
    "layer_norm_backward": "so they are here, and a row has two statistics",
    "positionwise_bf16": "the key and the place of a row's dropout are single numbers",
    "update": "it adds up the squares of all pieces, in f64",
}
# Of a multiprocessor of compute capability 9.0: CUDA C++ Programming Guide, "Compute Capabilities".
REGISTERS, THREADS, BLOCKS, SHARED_BYTES, RESERVED_BYTES = 65536, 2048, 32, 228 << 10, 1 << 10
# Dynamic shared memory of kernels that have any, as the constants in their sources.
DYNAMIC = {r".*_(large|wide)": 96 << 10, "attention_bf16": 52 << 10, "attention_backward_bf16": 70 << 10}
HEADER = """# The kernels' machine code

Made by `build.py`, which fails in the gate when a kernel's row changes without this file, or when a kernel misses a
bar of `account.py`, which explains the columns: at most {hmma} instructions of the hot loop for each HMMA of products in
bfloat16, at least {wide:.0%} of loads from global memory of 16 bytes, or the reason why not, no generic loads and stores, no spills.
For compute capability 9.0. Nothing here was measured.

| kernel | registers | shared bytes | blocks of a multiprocessor | hot loop | for each HMMA | loads of 4, 8, 16 bytes | of 16 | generic |
|---|---|---|---|---|---|---|---|---|
""".format(hmma=MOST_FOR_HMMA, wide=LEAST_WIDE)
REASONS = """
Other loads than of 16 bytes, besides those of the twins for rows that begin anywhere (`_any`):

"""


def kernels(report, ptx):
    """Registers, shared bytes and threads of a block, of each kernel."""
    threads = dict(re.findall(r"\.entry (\w+)\([^{]*?\.maxntid (\d+)", ptx))
    found = re.findall(r"Function properties for (\w+)\n[^\n]*\nptxas info\s+: Used (\d+) registers([^\n]*)", report)
    shared = {name: re.search(r"(\d+) bytes smem", rest) for name, _, rest in found}
    dynamic = {name: sum(size for pattern, size in DYNAMIC.items() if re.fullmatch(pattern, name))
               for name, _, _ in found}
    return {name: (int(registers), dynamic[name] + (int(shared[name][1]) if shared[name] else 0), int(threads[name]))
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
    # An epilogue has many FFMA, too, but more of other instructions.
    sums = lambda body: count(body, "FFMA") if 2 * count(body, "FFMA") > len(body) else 0  # noqa: E731
    if not any(count(body, "HMMA") for body in bodies) and any(name.startswith("HMMA") for name, _ in code):
        cuts = sorted({0, *labels.values(), *(place + 1 for place, (name, _) in enumerate(code)
                                              if re.match(r"(BRA|BAR|EXIT|CALL|RET)\b", name)), len(code)})
        bodies = [[name for name, _ in code[begin:end]] for begin, end in zip(cuts, cuts[1:])]
    return max(bodies, key=lambda body: (count(body, "HMMA"), sums(body), len(body)), default=[])


def account(cuda, ptx, folder):
    """What is known of each kernel, by name."""
    source, cubin = folder / "account.ptx", folder / "account.cubin"
    source.write_text(ptx)
    command = [cuda / "bin/ptxas", "-v", f"-arch={ARCH}", source, "-o", cubin]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    command = [cuda / "bin/nvdisasm", "-c", cubin]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    resources, found = kernels(report, ptx), {}
    for name, (code, labels) in sorted(functions(text).items()):
        registers, shared, threads = resources[name]
        loop = hot_loop(code, labels)
        loads = [instruction for instruction, _ in code if re.match(r"LDG(STS)?\b", instruction)]
        wide = [sum(f".{bits}" in load for load in loads) for bits in (64, 128)]
        found[name] = {
            "registers": registers,
            "shared": shared,
            "threads": threads,
            "resident": resident(registers, shared, threads),
            "code": len(code),
            "loop": len(loop),
            "hmma": sum(instruction.startswith("HMMA") for instruction in loop),
            "ffma": sum(instruction.startswith("FFMA") for instruction in loop),
            "loads": [len(loads) - sum(wide), *wide],
            "shared_requests": sum(requests(instruction) for instruction in loop),
            "generic": sum(bool(re.match(r"(LD|ST)\b", instruction)) for instruction, _ in code),
        }
    return found


def requests(instruction):
    """Requests of 128 bytes that an instruction makes to shared memory, without conflicts between banks."""
    if instruction.startswith("LDSM"):
        return int(instruction[-1]) if instruction[-1].isdigit() else 1
    if not re.match(r"(LDS|STS|LDGSTS)\b", instruction):
        return 0
    return 4 if ".128" in instruction else 2 if ".64" in instruction else 1


def share_of_wide(kernel):
    return kernel["loads"][2] / max(sum(kernel["loads"]), 1)


def complaints(found):
    """Which kernels miss which bar."""
    for name, kernel in found.items():
        # A kernel of which the compiler dropped the code.
        if not sum(kernel["loads"]):
            yield f"{name}: no loads"
        # Attention has a softmax and a mask for each score, besides.
        if "bf16" in name and "attention" not in name and kernel["loop"] > MOST_FOR_HMMA * kernel["hmma"]:
            yield f"{name}: {kernel['loop']} instructions in the hot loop for {kernel['hmma']} HMMA"
        excused = "_any" in name or name in OTHER_LOADS
        if not excused and share_of_wide(kernel) < LEAST_WIDE:
            yield f"{name}: {share_of_wide(kernel):.0%} of its loads are of 16 bytes, and no reason is given"
        if kernel["generic"]:
            yield f"{name}: {kernel['generic']} generic loads and stores"


def table(found):
    """The whole file."""
    rows = []
    for name, kernel in found.items():
        loop, hmma = kernel["loop"], kernel["hmma"]
        cells = [f"`{name}`", kernel["registers"], kernel["shared"], kernel["resident"], loop or "-",
                 f"{loop / hmma:.1f}" if hmma else "-", ", ".join(map(str, kernel["loads"])),
                 f"{share_of_wide(kernel):.0%}", kernel["generic"]]
        rows.append("| " + " | ".join(map(str, cells)) + " |\n")
    reasons = [f"- `{name}`: {why}.\n" for name, why in OTHER_LOADS.items()]
    return HEADER + "".join(rows) + REASONS + "".join(reasons)
