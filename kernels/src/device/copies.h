// Asynchronous copies from global to shared memory, by their PTX ("Asynchronous copy" of the PTX ISA). The emulator
// (emulator/copies.h) makes them as late, or in reverse order as early, as a device may.
#pragma once

/// Copies 16 bytes, which are there once this thread has waited for their group; zeros if there is nothing to copy.
__device__ inline void copy_async(void* to, const void* from, bool exists) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(u32(__cvta_generic_to_shared(to))),
                 "l"(__cvta_generic_to_global(from)), "r"(exists ? 16 : 0)
                 : "memory");
}

/// Ends a group of this thread's copies.
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits for this thread's copies but those of the last `LATER` groups.
template <int LATER>
__device__ inline void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LATER) : "memory");
}
