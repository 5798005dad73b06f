"""What a training step should take on an H100, from the machine code of its kernels: estimate.md.

None of it was measured. The launches and their sizes are those of `sequence.rs`, which a test compares;
instructions are those that account.py finds in the machine code. A launch takes as long as the slowest of

- issuing: a scheduler issues an instruction in most cycles, not in all, shared memory answers one request of 128 bytes
  a cycle, and tensor cores reach a part of their peak with `mma.sync`;
- waiting: a thread that needs a number from memory waits for it, once a piece or a row, unless other blocks of the
  multiprocessor have work;
- moving: bytes through the second-level cache, or from memory if they do not fit there;

of blocks that begin in their order, wherever others have ended; and the launch itself.
"""

from heapq import heapreplace
from math import ceil

MULTIPROCESSORS, CLOCK = 132, 1.755e9
# Of each scheduler's cycles, and of the tensor cores' multiplications, 2048 in a cycle.
ISSUED, TENSOR = 0.65, 0.62
CACHE_BYTES, CACHE_RATE, MEMORY_RATE = 50e6, 5.5e12, 0.85 * 3.35e12
CACHE_WAIT, MEMORY_WAIT = 600, 900
BARRIER, START_AND_END = 60, 2500
NODE = 1.5e-6
# Pieces that a tile of bfloat16 has in shared memory, as in panels.h.
STAGES = {(64, 64): 4, (128, 128): 4, (128, 256): 3}
# batch, width, layers, heads; and the milliseconds that such a step is to take.
STEPS = [((64, 128, 3, 1), 0.30), ((4096, 512, 4, 4), 60.0)]
# Hopper, K 20.
CONTEXT, OBSERVATION, ACTION, TIMESTEPS = 20, 11, 3, 1000

HEADER = """# What a step in bfloat16 should take

Made by `build.py` from the machine code, by the method of `estimate.py`. Not measured: a card may well differ by half.
Context 20, 11 observations and 3 actions, ReLU, on an H100 SXM.
"""


class Card:
    """Times of launches, in seconds, by kernel."""

    def __init__(self, kernels, fits):
        self.kernels, self.times = kernels, {}
        self.wait = CACHE_WAIT if fits else MEMORY_WAIT
        self.rate = CACHE_RATE if fits else MEMORY_RATE

    def launch(self, name, parts, moved, cached=0.0):
        """`parts`: blocks of one kind, the cycles of one that has a multiprocessor for itself, and the cycles that it
        takes from others."""
        room = MULTIPROCESSORS * self.kernels[name]["resident"]
        blocks = [part[1:] for part in parts for _ in range(part[0])]
        ends = [0.0] * room
        for first in range(0, len(blocks), room):
            # These are beside each other, more or less. Each begins where another one has ended.
            round_ = blocks[first : first + room]
            shared = ceil(len(round_) / MULTIPROCESSORS) * sum(together for _, together in round_) / len(round_)
            for alone, _ in round_:
                heapreplace(ends, ends[0] + max(alone, shared))
        cycles = max(ends)
        seconds = NODE + max((cycles + START_AND_END) / CLOCK, moved / self.rate, cached / CACHE_RATE)
        count, total = self.times.get(name, (0, 0.0))
        self.times[name] = (count + 1, total + seconds)

    def issue(self, instructions, threads):
        """Cycles of a multiprocessor for this many instructions of each warp of a block."""
        return instructions * threads / 32 / 4 / ISSUED

    def form(self, products):
        """The kernels of one launch of products, as `Form::of` in linear/cuda.rs has them, and rows and columns of
        their tiles; none if their kernels differ."""
        def fits(product, tile):
            precision, across, rows, columns, depth = product[:5]
            quad, whole = 8 if precision == "bf16" else 4, columns % tile[1] == 0
            if across == "weight":
                return whole and rows % tile[0] == 0
            if across == "input":
                return columns % quad == 0 and depth % quad == 0 and (whole or tile != (128, 256))
            return whole and depth % quad == 0

        of_tiles = {fits(product, (64, 64)) for product in products}
        if False in of_tiles:
            return ("any", (64, 64)) if len(of_tiles) == 1 else None
        precision = products[0][0]
        for name, tile in (("wide", (128, 256)), ("large", (128, 128))):
            blocks = sum(ceil(rows / tile[0]) * ceil(columns / tile[1]) * slices
                         for _, _, rows, columns, _, slices, _ in products)
            if precision == "bf16" and all(fits(product, tile) for product in products) and blocks >= 128:
                return f"{precision}_{name}", tile
        return precision, (64, 64)

    def products(self, family, products):
        """One launch of products of `linear.cu` that have the same form: (precision, across, rows, columns, depth,
        slices, matrices of the result's size that are read or written)."""
        form, tile = self.form(products)
        name = f"{family}_{form}"
        kernel = self.kernels[name]
        warps, halves = kernel["threads"] // 32, form.startswith("bf16")
        parts, moved, cached = [], 0, 0
        for precision, _, rows, columns, depth, slices, results in products:
            pieces = ceil(ceil(depth / slices) / 32)
            # Of a warp's share of a piece: multiply-adds of each thread, or instructions of tensor cores.
            if kernel["hmma"]:
                a_piece = tile[0] * tile[1] * 32 / warps / (2048 if halves else 1024)
                share = kernel["hmma"] / a_piece
                tensor = a_piece * warps / (1 if halves else 0.5) / TENSOR
            else:
                share, tensor = kernel["ffma"] / 1024, 0.0
            busy = max(self.issue(kernel["loop"] / share, kernel["threads"]), tensor,
                       kernel["shared_requests"] / share * warps)
            blocks = ceil(rows / tile[0]) * ceil(columns / tile[1]) * slices
            # Pieces on their way: of halves, all stages but one; of floats, two where they are whole.
            ahead = STAGES[tile] - 1 if halves else 1 if form == "any" else 2
            parts.append((blocks, pieces * (max(self.wait / ahead, busy) + BARRIER), pieces * (busy + BARRIER)))
            # Factors in bfloat16 are so in memory.
            size = 2 if halves else 4
            moved += size * (rows * depth + depth * columns) + 4 * results * slices * rows * columns
            cached += size * blocks * pieces * 32 * (tile[0] + tile[1])
        self.launch(name, parts, moved, cached)

    def gradients(self, *products):
        """Those of a layer's input and of its weight, in one launch if they have the same kernel: the longer blocks
        first."""
        if self.form(products):
            self.products("gradients", products[::-1])
        else:
            for product in products:
                self.products("gradients", [product])

    def attention(self, name, windows, heads, width, last, kinds, matrices):
        """`kinds` of blocks: whether one has keys, and its tiles of dot products and of sums. `matrices` of queries and
        of keys are read and written."""
        channels = width // heads
        halves = channels % 16 == 0 and channels <= 128
        kernel, side = self.kernels[f"{name}_bf16" if halves else name], 64 if halves else 32
        queries, keys = CONTEXT * (1 if last else 3), 3 * CONTEXT
        chunks, warps = ceil(channels / 128), kernel["threads"] // 32
        parts = []
        for has_keys, dots, mixed in kinds:
            tiles = ceil((keys if has_keys else queries) / side)
            pairs = tiles * (tiles + 1) // 2 if queries == keys else ceil(queries / side) * ceil(keys / side)
            if halves:
                # Instructions of tensor cores of a warp; each takes a scheduler as long as `account.md` says, and each
                # score the mathematics of softmax.
                instructions = (dots + mixed) * 16 * side * channels / 2048
                busy = max(self.issue(instructions * kernel["loop"] / kernel["hmma"] + 40 * side * side / 128, 128),
                           instructions * warps / TENSOR, kernel["shared_requests"] / kernel["hmma"] * instructions * warps)
                # All rows of a pair of tiles are on their way at the same time; before, what a block has of queries.
                waits = self.wait * (1 + 1 / pairs * tiles)
            else:
                fused = dots * 8 * channels + mixed * 1024 * chunks
                busy = self.issue(fused * kernel["loop"] / kernel["ffma"] + 300, kernel["threads"])
                # What a product of tiles reads is on its way at the same time.
                waits = (dots + mixed) * chunks * self.wait
            parts.append((tiles * windows * heads, (waits + busy) * pairs / tiles, busy * pairs / tiles))
        moved = 4 * windows * width * (matrices[halves][0] * queries + matrices[halves][1] * keys)
        self.launch(f"{name}_bf16" if halves else name, parts, moved)

    def positionwise(self, rows, next_rows, width):
        """The kernel of positionwise.cu, for models of its width."""
        kernel = self.kernels["positionwise_bf16"]
        # Products of 128 x 128 weights: projection, up, down; queries, keys and values.
        squares, strip = 9 + (3 if next_rows else 0), 48
        instructions = strip / 16 * 4 * 8
        tensor = instructions * 4 * 2048 / 2048 / TENSOR
        busy = max(self.issue(kernel["loop"] / kernel["hmma"] * instructions, kernel["threads"]), tensor,
                   kernel["shared_requests"] / kernel["hmma"] * instructions * 4)
        # A square of a weight is loaded while the one before it is multiplied. A block waits for the keys of its masks,
        # for the first square, and for the middle of the stream, which it wrote. Norms wait for ten shuffles of three
        # groups of rows each; epilogues issue their code.
        norms = (2 if next_rows else 1) * (3 * 10 * 25 + self.issue(600, kernel["threads"]))
        ends = squares * (self.issue(400, kernel["threads"]) + 2 * BARRIER)
        alone = squares * max(self.wait, busy) + 5 * self.wait + norms + ends
        together = squares * busy + norms + ends
        blocks = ceil(rows / strip)
        # Halves: attention's output, normed and hidden rows. Floats: the stream, read once and written twice, queries,
        # keys and values.
        moved = width * (2 * (6 * rows + next_rows) + 4 * (3 * rows + 3 * next_rows))
        self.launch("positionwise_bf16", [(blocks, alone, together)], moved, blocks * squares * 2 * width * width)

    def rows(self, name, blocks, rounds, moved):
        """A kernel whose threads wait this often."""
        wait = rounds * self.wait
        self.launch(name, [(blocks, wait, wait / self.kernels[name]["resident"])], moved)


def slices(inputs, outputs, rows):
    """As in linear/cuda.rs."""
    tiles = ceil(inputs / 64) * ceil(outputs / 64)
    wanted = max(1, min(min(max(256 // tiles, 1), 32), ceil(rows / 32)))
    return max(wanted, ceil(rows / 16384))


def step(kernels, batch, width, layers, heads):
    """The launches of a step, in their order in `sequence.rs`."""
    steps, tokens = batch * CONTEXT, 3 * batch * CONTEXT
    c = width
    card = Card(kernels, fits=4 * tokens * c * 8 < CACHE_BYTES)
    norm_slices, gradients = [], []

    def norm(rows):
        card.rows("layer_norm", ceil(rows / 4), 3, 4 * 1.5 * rows * c)

    def norm_back(rows, matrices):
        block_rows = max(ceil(rows / 512), 16)
        blocks = ceil(rows / block_rows)
        norm_slices.append(blocks)
        # A row is loaded while the one before it is processed, which has a mask to find.
        card.rows("layer_norm_backward", blocks, 0.5 * block_rows / 4 + 3, 4 * matrices * rows * c)

    def weight(precision, inputs, outputs, rows, count=None):
        count = count or slices(inputs, outputs, rows)
        gradients.append((inputs * outputs, count))
        return precision, "weight", inputs, outputs, rows, count, 1

    def forward(precision, rows, columns, depth, results):
        card.products("product", [(precision, "", rows, columns, depth, 1, results)])

    def back(precision, rows, columns, depth, results=1):
        return precision, "input", rows, columns, depth, 1, results

    card.rows("gather", batch, 5, 8 * steps * (OBSERVATION + ACTION + 2))
    # Four steps of a block are twelve rows of its four warps, twice.
    card.rows("embed", ceil(steps / 4), 3 + (1 + OBSERVATION + ACTION) / 4 + 2 * 3, 4 * 4.5 * tokens * c)
    positionwise = c == 128
    for layer in range(layers):
        last = layer + 1 == layers
        rows = steps if last else tokens
        if layer and not positionwise:
            norm(tokens)
        if last and not (layer and positionwise):
            forward("bf16", steps, c, c, 1)
            forward("bf16", tokens, 2 * c, c, 1)
        elif not (layer and positionwise):
            forward("bf16", tokens, 3 * c, c, 1)
        card.attention("attention", batch, heads, c, last, [(False, 1, 1)], ((1.5, 2), (1, 1)))
        if positionwise:
            card.positionwise(rows, 0 if last else tokens, c)
            continue
        forward("bf16", rows, c, c, 2)
        norm(rows)
        forward("bf16", rows, 4 * c, c, 0.5)
        forward("bf16", rows, c, 4 * c, 2)
    card.rows("head_and_loss", min(ceil(steps / 4), 512), 6 * ceil(steps / 2048), 4 * steps * (2 * c + 3 * ACTION))
    card.gradients(back("f32", steps, c, ACTION), weight("f32", c, ACTION, steps))
    norm_back(steps, 3.5)
    for layer in reversed(range(layers)):
        last = layer + 1 == layers
        rows = steps if last else tokens
        card.gradients(back("bf16", rows, 4 * c, c, 1), weight("bf16", 4 * c, c, rows))
        card.gradients(back("bf16", rows, c, 4 * c), weight("bf16", c, 4 * c, rows))
        norm_back(rows, 4.5)
        card.gradients(back("bf16", rows, c, c), weight("bf16", c, c, rows))
        card.attention("attention_backward", batch, heads, c, last, [(False, 2, 1), (True, 2, 2)], ((3, 3), (2, 2)))
        if last:
            count = slices(c, 3 * c, tokens)
            card.gradients(back("bf16", tokens, c, 2 * c), weight("bf16", c, 2 * c, tokens, count))
            card.gradients(back("bf16", steps, c, c, 2), weight("bf16", c, c, steps, count))
        else:
            card.gradients(back("bf16", tokens, c, 3 * c), weight("bf16", c, 3 * c, tokens))
        norm_back(tokens, 4.5 if layer else 5)
    norm_back(tokens, 3)
    blocks = 0
    for inputs in (1, OBSERVATION, ACTION):
        _, _, _, _, _, count, _ = weight("f32", inputs, c, steps)
        blocks += ceil(inputs / 8) * count
    # Eight steps of a slice at a time; and the rows of the table, which search for their steps.
    groups = ceil(ceil(steps / count) / 32) * 4 + 1
    scanned, parts = min(steps, 4096), ceil(steps / 4096)
    resident = card.kernels["embed_backward"]["resident"]
    kinds = [(blocks, groups), (TIMESTEPS * min(parts, 16), max(scanned, steps / 16) * (1 / 512 + 1 / TIMESTEPS) + 1)]
    kinds = [(count * ceil(c / 128), rounds * card.wait, rounds * card.wait / resident) for count, rounds in kinds]
    card.launch("embed_backward", kinds, 4 * (5 * steps + TIMESTEPS) * c)
    numbers = sum(length * (count + 1) for length, count in gradients)
    parameters = sum(length for length, _ in gradients) + TIMESTEPS * c
    # A thread has four numbers of a piece, and reads eight slices at a time; norms have many slices of few numbers.
    rounds = max(4 * max(count for _, count in gradients), max(norm_slices)) / 8
    card.rows("add_up", ceil(parameters / 1024), rounds, 4 * numbers)
    card.rows("update", min(ceil(parameters / 256), 512), 4, 7 * 4 * parameters)
    return card.times


def text(kernels):
    """The whole file."""
    lines = [HEADER]
    for (batch, width, layers, heads), bar in STEPS:
        times = step(kernels, batch, width, layers, heads)
        total, nodes = sum(time for _, time in times.values()), sum(count for count, _ in times.values())
        lines.append(f"\n## Batch {batch}, width {width}, {layers} layers, {heads} heads\n\n")
        lines.append("| kernel | launches | ms |\n|---|---|---|\n")
        for name, (count, time) in sorted(times.items(), key=lambda item: -item[1][1]):
            lines.append(f"| `{name}` | {count} | {1e3 * time:.3g} |\n")
        lines.append(f"| all | {nodes} | {1e3 * total:.3g} |\n\nIt is to take {bar:g} ms, in at most 40 launches.\n")
    return "".join(lines)
