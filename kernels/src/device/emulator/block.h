// Blocks: their threads, barriers and shared memory, and the launch of a grid of them.
#pragma once
#include "fiber.h"
#include <cstring>
#include <memory>
#include <string>
#include <vector>

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

namespace emulator {

constexpr unsigned WARP = 32;
constexpr unsigned MOST_THREADS = 1024;
constexpr unsigned MOST_BLOCKS_Y = 65535;
/// Static shared memory that every device grants to a block.
constexpr size_t MOST_SHARED_BYTES = 48 << 10;
/// Dynamic shared memory that every device grants to a block whose kernel asks for it.
constexpr size_t MOST_DYNAMIC_BYTES = 99 << 10;

enum class State { Ready, AtBlockBarrier, AtWarpBarrier, Done };

/// An asynchronous copy of 16 bytes, or of zeros if it is from nowhere, and its group.
struct Copy {
    void* to;
    const void* from;
    size_t group;
};

/// One thread of the block.
struct Thread {
    Fiber fiber;
    State state = State::Ready;
    /// The line of the barrier where it waits.
    int line = 0;
    /// Shared objects that it has requested.
    size_t shared = 0;
    /// What the other lanes of its warp may read.
    const void* published = nullptr;
    /// Copies that were not waited for, and groups of them that it has ended.
    std::vector<Copy> copies;
    size_t groups = 0;
};

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};

/// A shared object of the block, in an allocation of exactly its size.
struct Shared {
    std::unique_ptr<void, Free> memory;
    size_t bytes = 0;
};

/// The block that runs now.
struct Block {
    dim3 index, grid;
    unsigned size = 0;
    unsigned current = 0;
    bool reversed = false;
    Fiber scheduler;
    std::vector<std::unique_ptr<Thread>> threads;
    std::vector<Shared> shared;
    std::string failure;
    void (*kernel)(const void*) = nullptr;
    const void* parameters = nullptr;
    /// Bytes that the launch requests.
    size_t dynamic_bytes = 0;
};

inline thread_local Block* running = nullptr;

inline Thread& self() { return *running->threads[running->current]; }

inline void give_way(State state, int line) {
    Thread& thread = self();
    thread.state = state;
    thread.line = line;
    thread.fiber.switch_to(running->scheduler);
}

/// Ends the launch with an error, from inside a kernel. This thread is not resumed.
inline void fail(const std::string& what) {
    if (running->failure.empty()) running->failure = what;
    give_way(State::Done, 0);
}

inline void block_barrier(int line) { give_way(State::AtBlockBarrier, line); }
inline void warp_barrier(int line) { give_way(State::AtWarpBarrier, line); }

inline void poison(Shared& object) { std::memset(object.memory.get(), 0xff, object.bytes); }

/// The next shared object of this thread: the same for all threads, because all request them in the
/// same order.
template <class T>
T& shared(bool dynamic = false) {
    Block& block = *running;
    size_t index = self().shared++;
    if (index == block.shared.size()) {
        Shared object;
        object.bytes = sizeof(T);
        object.memory.reset(std::aligned_alloc(alignof(T), sizeof(T)));
        poison(object);
        block.shared.push_back(std::move(object));
        size_t total = 0;
        for (const Shared& each : block.shared) total += each.bytes;
        if (total > (dynamic ? block.dynamic_bytes : MOST_SHARED_BYTES)) fail("more shared memory than it was given");
    }
    return *static_cast<T*>(block.shared[index].memory.get());
}

inline void thread_main() {
    Fiber::begun(running->scheduler);
    for (;;) {
        running->kernel(running->parameters);
        give_way(State::Done, 0);
    }
}

/// Releases a warp whose threads, from `first` on, all wait at one barrier. Threads that wait at different ones are
/// deadlocked.
inline bool release_warp(Block& block, unsigned first, unsigned end) {
    for (unsigned i = first; i < end; i++) {
        const Thread& thread = *block.threads[i];
        if (thread.state != State::AtWarpBarrier || thread.line != block.threads[first]->line) return false;
    }
    for (unsigned i = first; i < end; i++) block.threads[i]->state = State::Ready;
    return true;
}

/// Releases all threads if all wait at one barrier.
inline bool release_block(Block& block) {
    for (unsigned i = 0; i < block.size; i++) {
        const Thread& thread = *block.threads[i];
        if (thread.state != State::AtBlockBarrier || thread.line != block.threads[0]->line) return false;
    }
    for (unsigned i = 0; i < block.size; i++) block.threads[i]->state = State::Ready;
    return true;
}

inline std::string divergence(const Block& block) {
    std::string text = "divergent barrier: threads";
    for (unsigned i = 0; i < block.size && i < 4; i++) {
        const Thread& thread = *block.threads[i * (block.size - 1) / 3 % block.size];
        const char* where = thread.state == State::Done             ? " finished"
                            : thread.state == State::AtBlockBarrier ? " at __syncthreads"
                                                                    : " at a warp's barrier";
        text += where;
        if (thread.state != State::Done) text += " in line " + std::to_string(thread.line);
        text += ",";
    }
    return text + " ...";
}

/// Runs the ready threads of a warp until all wait for the whole block, or have finished. Whether any ran.
inline bool run_warp(Block& block, unsigned first, unsigned end) {
    bool ran = false;
    do {
        for (unsigned turn = first; turn < end; turn++) {
            block.current = block.reversed ? end - 1 - (turn - first) : turn;
            Thread& thread = self();
            if (thread.state != State::Ready) continue;
            block.scheduler.switch_to(thread.fiber);
            ran = true;
            if (!block.failure.empty()) return ran;
        }
    } while (release_warp(block, first, end));
    return ran;
}

/// Runs one block to its end. A warp runs as far as it can before the next one, so that what it should have waited for
/// is not there.
inline void run_block(Block& block) {
    for (Shared& object : block.shared) poison(object);
    for (unsigned i = 0; i < block.size; i++) {
        block.threads[i]->state = State::Ready;
        block.threads[i]->shared = 0;
        block.threads[i]->copies.clear();
        block.threads[i]->groups = 0;
    }
    unsigned warps = (block.size + WARP - 1) / WARP;
    for (;;) {
        bool ran = false;
        for (unsigned turn = 0; turn < warps; turn++) {
            unsigned first = (block.reversed ? warps - 1 - turn : turn) * WARP;
            ran |= run_warp(block, first, first + WARP < block.size ? first + WARP : block.size);
            if (!block.failure.empty()) return;
        }
        unsigned done = 0;
        for (unsigned i = 0; i < block.size; i++) done += block.threads[i]->state == State::Done;
        if (done == block.size) return;
        if (!release_block(block) && !ran) {
            block.failure = divergence(block);
            return;
        }
    }
}

/// The block of this thread of the CPU, kept because its stacks are large.
inline Block& prepared(unsigned threads) {
    static thread_local std::unique_ptr<Block> kept;
    // After a failure, threads are in the middle of a kernel, so they are not used again.
    if (!kept || !kept->failure.empty()) kept = std::make_unique<Block>();
    Block& block = *kept;
    while (block.threads.size() < threads) {
        block.threads.push_back(std::make_unique<Thread>());
        block.threads.back()->fiber.prepare(thread_main);
    }
    block.size = threads;
    block.shared.clear();
    return block;
}

/// Runs a kernel over a grid. Returns what went wrong, or null.
template <class P>
const char* launch(
    void (*kernel)(P), const unsigned* grid, unsigned threads, unsigned dynamic_bytes, const void* parameters,
    size_t bytes, bool reversed) {
    static thread_local std::string failure;
    static thread_local void (*body)(P);
    if (bytes != sizeof(P)) {
        failure = "the kernel takes " + std::to_string(sizeof(P)) + " bytes, not " + std::to_string(bytes);
        return failure.c_str();
    }
    bool fits = threads >= 1 && threads <= MOST_THREADS && grid[0] >= 1 && grid[1] >= 1 && grid[2] >= 1 &&
                grid[0] <= 0x7fffffffu && grid[1] <= MOST_BLOCKS_Y && grid[2] <= MOST_BLOCKS_Y;
    if (!fits) return "no device runs such a grid";
    if (dynamic_bytes > MOST_DYNAMIC_BYTES) return "no device has so much shared memory";
    Block& block = prepared(threads);
    body = kernel;
    // Parameters may lie anywhere in the caller's memory; a kernel gets an aligned copy.
    P copy;
    std::memcpy(&copy, parameters, sizeof(P));
    block.parameters = &copy;
    block.kernel = [](const void* from) { body(*static_cast<const P*>(from)); };
    block.grid = {grid[0], grid[1], grid[2]};
    block.reversed = reversed;
    block.dynamic_bytes = dynamic_bytes;
    running = &block;
    uint64_t blocks = uint64_t(grid[0]) * grid[1] * grid[2];
    for (uint64_t turn = 0; turn < blocks; turn++) {
        uint64_t at = reversed ? blocks - 1 - turn : turn;
        block.index = {unsigned(at % grid[0]), unsigned(at / grid[0] % grid[1]), unsigned(at / grid[0] / grid[1])};
        run_block(block);
        if (!block.failure.empty()) {
            failure = block.failure;
            return failure.c_str();
        }
    }
    return nullptr;
}

}  // namespace emulator
