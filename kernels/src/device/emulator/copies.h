// The asynchronous copies of ../copies.h. A device may make one at any time until it is waited for. Here all are made
// when they are waited for, so that what is read too early is old; in reverse order all are made at once, so that
// what is written too early shows.
#pragma once
#include "block.h"

namespace emulator {

inline void make(const Copy& copy) {
    if (copy.from == nullptr)
        std::memset(copy.to, 0, 16);
    else
        std::memcpy(copy.to, copy.from, 16);
}

}  // namespace emulator

inline void copy_async(void* to, const void* from, bool exists) {
    emulator::Copy copy = {to, exists ? from : nullptr, emulator::self().groups};
    if (reinterpret_cast<uintptr_t>(to) % 16 != 0 || (exists && reinterpret_cast<uintptr_t>(from) % 16 != 0))
        emulator::fail("a copy does not begin at 16 bytes");
    if (emulator::running->reversed)
        emulator::make(copy);
    else
        emulator::self().copies.push_back(copy);
}

inline void commit_copies() { emulator::self().groups++; }

template <int LATER>
void wait_for_copies() {
    auto& copies = emulator::self().copies;
    size_t made = 0;
    while (made < copies.size() && copies[made].group + LATER < emulator::self().groups) emulator::make(copies[made++]);
    copies.erase(copies.begin(), copies.begin() + long(made));
}
