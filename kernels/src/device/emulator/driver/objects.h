// What the handles of the fake driver stand for, and how its work is done.
//
// Work is put off until a call waits for it, as late as a device may do it: so a copy that is read before it was
// waited for, or memory that is used after it was freed, shows. An error in a kernel stays with its context and is
// returned by every later call.
#pragma once
#include "ptx.h"
#include "record.h"
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <functional>
#include <memory>
#include <thread>

namespace fake {

enum Status {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209,
    INVALID_PTX = 218,
    UNSUPPORTED_PTX_VERSION = 222,
    INVALID_HANDLE = 400,
    ILLEGAL_STATE = 401,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
};

typedef const char* (*Emulated)(const unsigned*, unsigned, unsigned, const void*, unsigned long, bool);

/// A kernel of a module: its signature in the PTX, and the emulated kernel of that name.
struct Function {
    std::string name;
    Entry entry;
    Emulated run = nullptr;
    bool loaded = false;
    /// The most dynamic shared memory that a launch may request.
    unsigned dynamic_bytes = 48 << 10;
};

struct Launch {
    Function* function = nullptr;
    unsigned grid[3] = {}, threads = 0, dynamic_bytes = 0;
    std::vector<char> parameters;
};

struct Module {
    std::map<std::string, Entry> entries;
    std::map<std::string, std::unique_ptr<Function>> functions;
};

/// A captured graph, or one that can run.
struct Graph {
    std::vector<Launch> launches;
};

struct Stream {
    std::deque<std::function<int()>> work;
    /// What is captured now, by which thread, and whether a call made it invalid.
    std::unique_ptr<Graph> capture;
    std::thread::id by;
    bool broken = false;
};

/// Objects of one kind, by their handle.
template <class T>
struct Objects {
    std::map<void*, std::unique_ptr<T>> all;

    T* find(void* handle) {
        auto found = all.find(handle);
        return found == all.end() ? nullptr : found->second.get();
    }
    void* add(std::unique_ptr<T> object) {
        void* handle = object.get();
        all[handle] = std::move(object);
        return handle;
    }
    bool remove(void* handle) { return all.erase(handle) == 1; }
};

/// The primary context of a device, with all that belongs to it.
struct Context {
    unsigned retained = 0;
    /// The error of a kernel, which stays.
    int fault = SUCCESS;
    std::map<uint64_t, std::vector<char>> memory;
    Objects<Stream> streams;
    Objects<Module> modules;
    Objects<Graph> graphs, executables;

    /// Does what a stream still has to do.
    int finish(Stream& stream) {
        while (!stream.work.empty() && fault == SUCCESS) {
            auto work = std::move(stream.work.front());
            stream.work.pop_front();
            fault = work();
        }
        return fault;
    }
    int finish() {
        for (auto& [handle, stream] : streams.all) finish(*stream);
        return fault;
    }
    bool idle() const {
        for (auto& [handle, stream] : streams.all)
            if (!stream->work.empty()) return false;
        return true;
    }
    /// Whether these bytes lie inside one allocation.
    bool holds(uint64_t address, size_t bytes) const {
        auto above = memory.upper_bound(address);
        if (above == memory.begin()) return false;
        const auto& [start, block] = *--above;
        return address - start + bytes <= block.size();
    }
    /// Counts what is still there, and frees it.
    void close() {
        auto& left = record().left;
        left["allocations"] += memory.size();
        left["streams"] += streams.all.size();
        left["modules"] += modules.all.size();
        left["graphs"] += graphs.all.size();
        left["executables"] += executables.all.size();
        *this = Context();
    }
};

/// Runs one launch on the emulator.
inline int run(const Launch& launch) {
    const std::string& name = launch.function->name;
    uint64_t turn = ++record().kernels[name];
    if (record().fault.is(name, turn)) return ILLEGAL_ADDRESS;
    const char* failure = launch.function->run(
        launch.grid, launch.threads, launch.dynamic_bytes, launch.parameters.data(), launch.parameters.size(), false);
    if (failure != nullptr) std::fprintf(stderr, "kernel %s: %s\n", name.c_str(), failure);
    return failure == nullptr ? SUCCESS : LAUNCH_FAILED;
}

/// The emulated kernel `name` of the library that this code is in.
inline Emulated emulated(const std::string& name) {
    Dl_info here;
    if (dladdr(reinterpret_cast<void*>(&setting), &here) == 0) return nullptr;
    void* library = dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    return library ? reinterpret_cast<Emulated>(dlsym(library, ("emulated_" + name).c_str())) : nullptr;
}

/// The newest PTX version that a driver reads: CUDA 12.4 has 8.4, 12.5 and 12.6 have 8.5, 12.8 has 8.7, 13.0 has 9.0.
inline int newest_ptx(int driver) {
    if (driver >= 13000) return 90 + driver % 1000 / 10;
    int minor = driver % 1000 / 10;
    return 80 + (minor >= 6 ? minor - 1 : minor);
}

}  // namespace fake
