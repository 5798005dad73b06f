// What a run did with the fake driver, what fails on request, and the settings of the fake device.
//
// | variable | meaning |
// |---|---|
// | FAKE_CUDA_REPORT | a file: what was called, counted and left behind, as JSON, written when the process ends |
// | FAKE_CUDA_FAIL | `function:n:status`: the n-th call of a function returns this status |
// | FAKE_CUDA_FAULT | `kernel:n`: the n-th run of a kernel is an illegal access, reported by a later call |
// | FAKE_CUDA_DEVICES, FAKE_CUDA_CAPABILITY | how many devices (2), and what they can do (90) |
// | FAKE_CUDA_MEMORY | bytes of a device (8 GiB) |
// | FAKE_CUDA_DRIVER | the driver's version (13000) |
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace fake {

inline uint64_t setting(const char* variable, uint64_t otherwise) {
    const char* text = std::getenv(variable);
    return text ? std::strtoull(text, nullptr, 0) : otherwise;
}

/// `name:n` or `name:n:status` of a variable.
struct Planned {
    std::string name;
    uint64_t turn = 0;
    int status = 0;

    explicit Planned(const char* variable) {
        const char* text = std::getenv(variable);
        std::string all = text ? text : "";
        size_t first = all.find(':'), second = all.find(':', first + 1);
        if (first == std::string::npos) return;
        name = all.substr(0, first);
        turn = std::strtoull(all.c_str() + first + 1, nullptr, 10);
        if (second != std::string::npos) status = std::atoi(all.c_str() + second + 1);
    }

    bool is(const std::string& called, uint64_t count) const { return turn != 0 && name == called && turn == count; }
};

/// Everything that is counted; written when the process ends.
struct Record {
    std::map<std::string, uint64_t> calls, kernels, left;
    /// Calls that returned an error, but for those that were to fail.
    std::vector<std::string> refused;
    uint64_t launches = 0, replays = 0;
    uint64_t uploads = 0, uploaded_bytes = 0, downloads = 0, downloaded_bytes = 0;
    uint64_t held_bytes = 0, most_bytes = 0;
    Planned fail{"FAKE_CUDA_FAIL"}, fault{"FAKE_CUDA_FAULT"};

    ~Record() {
        const char* path = std::getenv("FAKE_CUDA_REPORT");
        FILE* file = path ? std::fopen(path, "w") : nullptr;
        if (file == nullptr) return;
        auto counts = [&](const char* name, const std::map<std::string, uint64_t>& of) {
            std::fprintf(file, "\"%s\": {", name);
            const char* between = "";
            for (const auto& [key, count] : of) {
                std::fprintf(file, "%s\"%s\": %llu", between, key.c_str(), (unsigned long long)count);
                between = ", ";
            }
            std::fprintf(file, "},\n");
        };
        std::fprintf(file, "{");
        counts("calls", calls);
        counts("kernels", kernels);
        counts("left", left);
        counts("totals", {{"launches", launches},
                          {"replays", replays},
                          {"uploads", uploads},
                          {"uploaded_bytes", uploaded_bytes},
                          {"downloads", downloads},
                          {"downloaded_bytes", downloaded_bytes},
                          {"held_bytes", held_bytes},
                          {"most_bytes", most_bytes}});
        std::fprintf(file, "\"refused\": [");
        for (size_t i = 0; i < refused.size(); i++) std::fprintf(file, "%s\"%s\"", i ? ", " : "", refused[i].c_str());
        std::fprintf(file, "]}\n");
        std::fclose(file);
    }
};

inline Record& record() {
    static Record kept;
    return kept;
}

}  // namespace fake
