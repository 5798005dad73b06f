// The functions of NVIDIA's driver that `../../driver/` calls, on the emulator: as `libcuda.so.1` it lets the program
// run as if there were a GPU, on a machine without one. It refuses what a driver refuses: calls before it was
// started, without a current context, with handles that were freed, outside allocations, and, while a graph is
// captured, everything but launches.
//
// Source: NVIDIA, CUDA Driver API 12.4.
#include "objects.h"
#include <mutex>

namespace fake {

enum class Needs { Nothing, Start, Context };

/// What a call may do while its thread captures a graph.
enum class During { Capture, NoCapture };

static std::recursive_mutex lock;
static bool started = false;
static std::map<int, Context> contexts;
static thread_local int current = -1;

static int device_count() { return int(setting("FAKE_CUDA_DEVICES", 2)); }
static uint64_t device_bytes() { return setting("FAKE_CUDA_MEMORY", 8ull << 30); }
static int driver_version() { return int(setting("FAKE_CUDA_DRIVER", 13000)); }

/// The current context, if it is one that is retained.
static Context* context() {
    auto found = contexts.find(current);
    return found == contexts.end() ? nullptr : &found->second;
}

/// Makes invalid what this thread captures. Whether it captured anything.
static bool breaks_capture() {
    bool any = false;
    if (Context* here = context())
        for (auto& [handle, stream] : here->streams.all)
            if (stream->capture && stream->by == std::this_thread::get_id()) any = stream->broken = true;
    return any;
}

/// Counts a call and does it, unless it is not allowed now or is to fail. What gives something back is done although
/// it is to fail.
template <class Body>
int call(const char* name, Needs needs, During during, bool gives_back, Body body) {
    std::lock_guard<std::recursive_mutex> guard(lock);
    Record& counts = record();
    uint64_t turn = ++counts.calls[name];
    bool fails = counts.fail.is(name, turn);
    auto answer = [&]() -> int {
        if (needs != Needs::Nothing && !started) return NOT_INITIALIZED;
        if (needs == Needs::Context && context() == nullptr) return INVALID_CONTEXT;
        if (during == During::NoCapture && breaks_capture()) return CAPTURE_UNSUPPORTED;
        if (fails && !gives_back) return counts.fail.status;
        if (needs == Needs::Context && !gives_back && context()->fault != SUCCESS) return context()->fault;
        return body();
    };
    int status = answer();
    if (fails) return counts.fail.status;
    bool fault = context() != nullptr && status == context()->fault;
    if (status != SUCCESS && !fault) counts.refused.push_back(name + (" " + std::to_string(status)));
    return status;
}

template <class Body>
int ask(const char* name, Needs needs, Body body) {
    return call(name, needs, During::Capture, false, body);
}
template <class Body>
int act(const char* name, During during, Body body) {
    return call(name, Needs::Context, during, false, body);
}
template <class Body>
int give_back(const char* name, Body body) {
    return call(name, Needs::Context, During::NoCapture, true, body);
}

static int enqueue(void* handle, std::function<int()> work) {
    Stream* stream = context()->streams.find(handle);
    if (stream == nullptr) return INVALID_HANDLE;
    stream->work.push_back(std::move(work));
    return SUCCESS;
}

struct Name {
    int status;
    const char *name, *text;
};
static const Name NAMES[] = {
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {UNSUPPORTED_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
     "the provided PTX was compiled with an unsupported toolchain."},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
};

static int text_of(int status, const char** out, const char* Name::*part) {
    *out = nullptr;
    for (const Name& known : NAMES)
        if (known.status == status) *out = known.*part;
    return *out == nullptr ? INVALID_VALUE : SUCCESS;
}

/// The image as a module, or why it is none; `log` is where messages go, or null.
static int load(const char* image, std::unique_ptr<Module>& to, char* log, size_t bytes) {
    Ptx ptx(image);
    if (ptx.version > newest_ptx(driver_version())) {
        if (log != nullptr) std::snprintf(log, bytes, "fatal   : Unsupported .version %.1f", ptx.version / 10.0);
        return UNSUPPORTED_PTX_VERSION;
    }
    if (ptx.target > int(setting("FAKE_CUDA_CAPABILITY", 90))) return NO_BINARY_FOR_GPU;
    if (ptx.entries.empty()) return INVALID_PTX;
    to = std::make_unique<Module>();
    to->entries = std::move(ptx.entries);
    return SUCCESS;
}

}  // namespace fake

using namespace fake;

extern "C" {

int cuInit(unsigned flags) {
    return ask("cuInit", Needs::Nothing, [&] {
        started = flags == 0;
        return started ? SUCCESS : INVALID_VALUE;
    });
}

int cuDriverGetVersion(int* version) {
    return ask("cuDriverGetVersion", Needs::Nothing, [&] {
        *version = driver_version();
        return SUCCESS;
    });
}

int cuGetErrorName(int status, const char** text) { return text_of(status, text, &Name::name); }
int cuGetErrorString(int status, const char** text) { return text_of(status, text, &Name::text); }

int cuDeviceGetCount(int* count) {
    return ask("cuDeviceGetCount", Needs::Start, [&] {
        *count = device_count();
        return SUCCESS;
    });
}

int cuDeviceGet(int* device, int ordinal) {
    return ask("cuDeviceGet", Needs::Start, [&] {
        if (ordinal < 0 || ordinal >= device_count()) return INVALID_DEVICE;
        *device = ordinal;
        return SUCCESS;
    });
}

int cuDeviceGetName(char* name, int bytes, int device) {
    return ask("cuDeviceGetName", Needs::Start, [&] {
        std::snprintf(name, size_t(bytes), "fake device %d", device);
        return SUCCESS;
    });
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
    return ask("cuDeviceGetAttribute", Needs::Start, [&] {
        if (device >= device_count()) return INVALID_DEVICE;
        int capability = int(setting("FAKE_CUDA_CAPABILITY", 90));
        if (attribute != 75 && attribute != 76) return INVALID_VALUE;
        *value = attribute == 75 ? capability / 10 : capability % 10;
        return SUCCESS;
    });
}

int cuDeviceTotalMem_v2(size_t* bytes, int device) {
    return ask("cuDeviceTotalMem_v2", Needs::Start, [&] {
        *bytes = device_bytes();
        return device < device_count() ? SUCCESS : INVALID_DEVICE;
    });
}

int cuDevicePrimaryCtxRetain(void** out, int device) {
    return ask("cuDevicePrimaryCtxRetain", Needs::Start, [&] {
        if (device < 0 || device >= device_count()) return INVALID_DEVICE;
        contexts[device].retained++;
        *out = &contexts[device];
        return SUCCESS;
    });
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    return call("cuDevicePrimaryCtxRelease_v2", Needs::Start, During::NoCapture, true, [&]() -> int {
        auto found = contexts.find(device);
        if (found == contexts.end()) return INVALID_CONTEXT;
        if (--found->second.retained > 0) return SUCCESS;
        found->second.close();
        contexts.erase(found);
        return SUCCESS;
    });
}

int cuCtxSetCurrent(void* wanted) {
    return ask("cuCtxSetCurrent", Needs::Start, [&] {
        for (auto& [device, each] : contexts) {
            if (&each != wanted) continue;
            current = device;
            return SUCCESS;
        }
        return INVALID_CONTEXT;
    });
}

int cuStreamCreate(void** stream, unsigned) {
    return act("cuStreamCreate", During::NoCapture, [&] {
        *stream = context()->streams.add(std::make_unique<Stream>());
        return SUCCESS;
    });
}

int cuStreamDestroy_v2(void* handle) {
    return give_back("cuStreamDestroy_v2", [&]() -> int {
        Stream* stream = context()->streams.find(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        context()->finish(*stream);
        context()->streams.remove(handle);
        return SUCCESS;
    });
}

int cuStreamSynchronize(void* handle) {
    return act("cuStreamSynchronize", During::NoCapture, [&]() -> int {
        Stream* stream = context()->streams.find(handle);
        return stream == nullptr ? INVALID_HANDLE : context()->finish(*stream);
    });
}

int cuMemGetInfo_v2(size_t* free, size_t* total) {
    return act("cuMemGetInfo_v2", During::Capture, [&] {
        *total = device_bytes();
        *free = *total - record().held_bytes;
        return SUCCESS;
    });
}

int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    return act("cuMemAlloc_v2", During::NoCapture, [&] {
        Record& counts = record();
        if (bytes == 0) return INVALID_VALUE;
        if (counts.held_bytes + bytes > device_bytes()) return OUT_OF_MEMORY;
        // What was there before is unknown; so it is something that shows.
        std::vector<char> block(bytes, char(0xff));
        *address = reinterpret_cast<uint64_t>(block.data());
        context()->memory[*address] = std::move(block);
        counts.held_bytes += bytes;
        if (counts.held_bytes > counts.most_bytes) counts.most_bytes = counts.held_bytes;
        return SUCCESS;
    });
}

int cuMemFree_v2(uint64_t address) {
    return give_back("cuMemFree_v2", [&]() -> int {
        auto found = context()->memory.find(address);
        if (found == context()->memory.end()) return INVALID_VALUE;
        context()->finish();
        record().held_bytes -= found->second.size();
        context()->memory.erase(found);
        return SUCCESS;
    });
}

int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void* stream) {
    return act("cuMemsetD8Async", During::NoCapture, [&]() -> int {
        if (!context()->holds(to, bytes)) return INVALID_VALUE;
        return enqueue(stream, [=] {
            std::memset(reinterpret_cast<void*>(to), value, bytes);
            return SUCCESS;
        });
    });
}

int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* stream) {
    return act("cuMemcpyHtoDAsync_v2", During::NoCapture, [&]() -> int {
        if (!context()->holds(to, bytes)) return INVALID_VALUE;
        record().uploads++;
        record().uploaded_bytes += bytes;
        // Memory that is not pinned has been read when the call returns.
        auto staged = std::make_shared<std::vector<char>>(static_cast<const char*>(from),
                                                          static_cast<const char*>(from) + bytes);
        return enqueue(stream, [=] {
            std::memcpy(reinterpret_cast<void*>(to), staged->data(), staged->size());
            return SUCCESS;
        });
    });
}

int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* stream) {
    return act("cuMemcpyDtoHAsync_v2", During::NoCapture, [&]() -> int {
        if (!context()->holds(from, bytes)) return INVALID_VALUE;
        record().downloads++;
        record().downloaded_bytes += bytes;
        return enqueue(stream, [=] {
            std::memcpy(to, reinterpret_cast<void*>(from), bytes);
            return SUCCESS;
        });
    });
}

int cuModuleLoadDataEx(void** module, const void* image, unsigned count, const int* options, void** values) {
    return act("cuModuleLoadDataEx", During::NoCapture, [&]() -> int {
        char* log = nullptr;
        size_t bytes = 0;
        for (unsigned i = 0; i < count; i++) {
            if (options[i] == 5) log = static_cast<char*>(values[i]);
            if (options[i] == 6) bytes = reinterpret_cast<size_t>(values[i]);
        }
        std::unique_ptr<Module> loaded;
        int status = load(static_cast<const char*>(image), loaded, log, bytes);
        if (status == SUCCESS) *module = context()->modules.add(std::move(loaded));
        return status;
    });
}

int cuModuleUnload(void* module) {
    return give_back("cuModuleUnload", [&]() -> int {
        if (!context()->idle() && context()->fault == SUCCESS) return ILLEGAL_STATE;
        return context()->modules.remove(module) ? SUCCESS : INVALID_HANDLE;
    });
}

int cuModuleGetFunction(void** function, void* handle, const char* name) {
    return act("cuModuleGetFunction", During::Capture, [&]() -> int {
        Module* module = context()->modules.find(handle);
        if (module == nullptr) return INVALID_HANDLE;
        auto entry = module->entries.find(name);
        Emulated body = emulated(name);
        if (entry == module->entries.end() || body == nullptr) return NOT_FOUND;
        auto made = std::make_unique<Function>();
        made->name = name;
        made->entry = entry->second;
        made->run = body;
        *function = made.get();
        module->functions[name] = std::move(made);
        return SUCCESS;
    });
}

/// The function of a handle, if its module is loaded.
static Function* function_of(void* handle) {
    for (auto& [at, module] : context()->modules.all)
        for (auto& [name, function] : module->functions)
            if (function.get() == handle) return function.get();
    return nullptr;
}

int cuFuncLoad(void* handle) {
    return act("cuFuncLoad", During::NoCapture, [&]() -> int {
        Function* function = function_of(handle);
        if (function == nullptr) return INVALID_HANDLE;
        function->loaded = true;
        return SUCCESS;
    });
}

int cuFuncSetAttribute(void* handle, int attribute, int value) {
    return act("cuFuncSetAttribute", During::NoCapture, [&]() -> int {
        Function* function = function_of(handle);
        if (function == nullptr) return INVALID_HANDLE;
        // The device that has the least of this memory.
        if (attribute != 8 || value < 0 || value > 99 << 10) return INVALID_VALUE;
        function->dynamic_bytes = unsigned(value);
        return SUCCESS;
    });
}

int cuLaunchKernel(void* handle, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y,
                   unsigned threads_z, unsigned dynamic_bytes, void* stream_handle, void** parameters, void** extra) {
    return act("cuLaunchKernel", During::Capture, [&]() -> int {
        Function* function = function_of(handle);
        Stream* stream = context()->streams.find(stream_handle);
        if (function == nullptr || stream == nullptr) return INVALID_HANDLE;
        const Entry& entry = function->entry;
        bool fits = x >= 1 && y >= 1 && z >= 1 && x <= 0x7fffffffu && y <= 65535 && z <= 65535 && threads >= 1;
        bool plain = threads_y == 1 && threads_z == 1 && extra == nullptr;
        if (!fits || !plain || dynamic_bytes > function->dynamic_bytes || entry.parameters.size() != 1) return INVALID_VALUE;
        if (entry.most_threads != 0 && threads > entry.most_threads) return INVALID_VALUE;
        Launch launch;
        launch.function = function;
        launch.grid[0] = x, launch.grid[1] = y, launch.grid[2] = z;
        launch.threads = threads;
        launch.dynamic_bytes = dynamic_bytes;
        const char* bytes = static_cast<const char*>(parameters[0]);
        launch.parameters.assign(bytes, bytes + entry.parameters[0]);
        if (stream->capture) {
            // A driver that loads functions when they first run would have to do it now.
            if (!function->loaded) return breaks_capture() ? CAPTURE_UNSUPPORTED : INVALID_VALUE;
            stream->capture->launches.push_back(std::move(launch));
            return SUCCESS;
        }
        record().launches++;
        return enqueue(stream_handle, [=] { return run(launch); });
    });
}

int cuStreamBeginCapture_v2(void* handle, int) {
    return act("cuStreamBeginCapture_v2", During::NoCapture, [&]() -> int {
        Stream* stream = context()->streams.find(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        stream->capture = std::make_unique<Graph>();
        stream->by = std::this_thread::get_id();
        stream->broken = false;
        return SUCCESS;
    });
}

int cuStreamEndCapture(void* handle, void** graph) {
    return call("cuStreamEndCapture", Needs::Context, During::Capture, true, [&]() -> int {
        *graph = nullptr;
        Stream* stream = context()->streams.find(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        if (!stream->capture) return ILLEGAL_STATE;
        std::unique_ptr<Graph> captured = std::move(stream->capture);
        if (stream->broken) return CAPTURE_INVALIDATED;
        *graph = context()->graphs.add(std::move(captured));
        return SUCCESS;
    });
}

int cuGraphInstantiateWithFlags(void** executable, void* handle, unsigned long long) {
    return act("cuGraphInstantiateWithFlags", During::NoCapture, [&]() -> int {
        Graph* graph = context()->graphs.find(handle);
        if (graph == nullptr) return INVALID_HANDLE;
        *executable = context()->executables.add(std::make_unique<Graph>(*graph));
        return SUCCESS;
    });
}

int cuGraphLaunch(void* handle, void* stream) {
    return act("cuGraphLaunch", During::NoCapture, [&]() -> int {
        Graph* graph = context()->executables.find(handle);
        if (graph == nullptr) return INVALID_HANDLE;
        record().replays++;
        Context* here = context();
        return enqueue(stream, [=] {
            // Freed before it ran.
            if (here->executables.find(handle) == nullptr) return int(ILLEGAL_STATE);
            for (const Launch& launch : graph->launches)
                if (int status = run(launch)) return status;
            return int(SUCCESS);
        });
    });
}

int cuGraphDestroy(void* graph) {
    return give_back("cuGraphDestroy", [&] { return context()->graphs.remove(graph) ? SUCCESS : INVALID_HANDLE; });
}

int cuGraphExecDestroy(void* executable) {
    return give_back("cuGraphExecDestroy",
                     [&] { return context()->executables.remove(executable) ? SUCCESS : INVALID_HANDLE; });
}

}  // extern "C"
