// What the fake driver reads of a PTX file: its version and target, and the kernels with their parameters' bytes.
#pragma once
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace fake {

/// The signature of a kernel.
struct Entry {
    /// Bytes of each parameter.
    std::vector<size_t> parameters;
    /// The most threads of a block; 0 if that is open.
    unsigned most_threads = 0;
};

struct Ptx {
    /// 10 major + minor; compute capability times 10.
    int version = 0, target = 0;
    std::map<std::string, Entry> entries;

    explicit Ptx(const char* text) {
        std::istringstream lines(text);
        std::string line;
        Entry* entry = nullptr;
        while (std::getline(lines, line)) {
            std::istringstream words(line);
            std::string word;
            words >> word;
            if (word == ".version") {
                std::string number;
                words >> number;
                size_t dot = number.find('.');
                version = 10 * std::atoi(number.c_str()) + std::atoi(number.c_str() + dot + 1);
            } else if (word == ".target") {
                words >> word;
                target = std::atoi(word.c_str() + word.find('_') + 1);
            } else if (line.find(".entry") != std::string::npos) {
                std::string name = line.substr(line.find(".entry") + 7);
                entry = &entries[name.substr(0, name.find('('))];
            } else if (entry != nullptr && word == ".param") {
                entry->parameters.push_back(bytes_of(line));
            } else if (entry != nullptr && word == ".maxntid") {
                words >> entry->most_threads;
            } else if (word == "{") {
                entry = nullptr;
            }
        }
    }

private:
    /// Bytes of `.param .align 8 .b8 name[72]` or `.param .u64 name`.
    static size_t bytes_of(const std::string& line) {
        size_t bracket = line.rfind('[');
        if (bracket != std::string::npos) return std::strtoull(line.c_str() + bracket + 1, nullptr, 10);
        size_t digits = line.find_first_of("123456789", line.find(".param") + 6);
        return std::strtoull(line.c_str() + digits, nullptr, 10) / 8;
    }
};

}  // namespace fake
