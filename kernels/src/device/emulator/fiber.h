// Fibers: the threads of a block take turns on one thread of the CPU, each on its own stack.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Saves what a call must keep, changes the stack, and returns to the context that was saved there.
extern "C" void rtg_emulator_switch(void** saved, void* next);
asm(R"(
.text
.type rtg_emulator_switch, @function
rtg_emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size rtg_emulator_switch, .-rtg_emulator_switch
)");
#else
#include <ucontext.h>
#endif

namespace emulator {

/// A place to run: a stack, and where it stopped. The default one is the caller's own stack.
class Fiber {
public:
    Fiber() = default;
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;
    ~Fiber() { std::free(stack); }

    /// Next time this fiber is switched to, `entry` begins; it must never return.
    void prepare(void (*entry)()) {
        if (stack == nullptr) {
            stack = std::aligned_alloc(64, BYTES);
            bottom = stack;
            size = BYTES;
        }
#if defined(__x86_64__)
        // As if `entry` had been called (its return address is a zero) and had been interrupted at once:
        // below the address that `ret` takes lie the six registers that the switch restores.
        void** top = reinterpret_cast<void**>(static_cast<char*>(stack) + BYTES);
        top[-1] = nullptr;
        top[-2] = reinterpret_cast<void*>(entry);
        for (int i = 3; i <= 8; i++) top[-i] = nullptr;
        position = top - 8;
#else
        getcontext(&context);
        context.uc_stack.ss_sp = stack;
        context.uc_stack.ss_size = BYTES;
        context.uc_link = nullptr;
        makecontext(&context, entry, 0);
#endif
    }

    /// Stops here and continues in `next`; returns when another fiber switches back.
    void switch_to(Fiber& next) {
#if defined(__SANITIZE_ADDRESS__)
        void* fake = nullptr;
        __sanitizer_start_switch_fiber(&fake, next.bottom, next.size);
#endif
#if defined(__x86_64__)
        rtg_emulator_switch(&position, next.position);
#else
        swapcontext(&context, &next.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
        __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
    }

    /// Tells AddressSanitizer that a new fiber has begun, and whose stack `from` is.
    static void begun(Fiber& from) {
#if defined(__SANITIZE_ADDRESS__)
        __sanitizer_finish_switch_fiber(nullptr, &from.bottom, &from.size);
#else
        (void)from;
#endif
    }

private:
    static constexpr size_t BYTES = 256 << 10;
    void* stack = nullptr;
    const void* bottom = nullptr;
    size_t size = 0;
#if defined(__x86_64__)
    void* position = nullptr;
#else
    ucontext_t context = {};
#endif
};

}  // namespace emulator
