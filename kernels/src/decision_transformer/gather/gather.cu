// Gathers windows from a dataset on the device: see `mod.rs`. One block per window.
#include "../../device/device.h"

struct Gather {
    /// The dataset, N steps: N x S, N x A or null, N or null, N; then, for each step, where its episode ends and its
    /// own timestep.
    const float* observations;
    const float* actions;
    const u32* labels;
    const float* returns_to_go;
    const u32* ends;
    const u32* timesteps;
    /// parts x B: the steps where windows start.
    const u32* starts;
    const Clock* clock;
    /// The batch: B x K x S, B x K x A, B x K, B x K, B, B. Valid steps first, followed by zeros.
    float* to_observations;
    float* to_actions;
    float* to_returns_to_go;
    u32* to_timesteps;
    int* lengths;
    int* first_steps;
    int windows, context, observation, action;
    /// The largest timestep.
    u32 limit;
    /// Whether padding precedes the steps.
    int left;
};

extern "C" __global__ void __launch_bounds__(THREADS) gather(Gather p) {
    int window = blockIdx.x;
    u32 start = p.starts[u64(p.clock->part) * p.windows + window];
    u32 rest = p.ends[start] - start;
    int length = rest < u32(p.context) ? int(rest) : p.context;
    if (threadIdx.x == 0) {
        p.lengths[window] = length;
        p.first_steps[window] = p.left ? p.context - length : 0;
    }
    for (int k = threadIdx.x; k < p.context; k += THREADS) {
        bool valid = k < length;
        u64 to = u64(window) * p.context + k;
        u32 timestep = valid ? p.timesteps[start + k] : 0;
        p.to_timesteps[to] = timestep < p.limit ? timestep : p.limit;
        p.to_returns_to_go[to] = valid ? p.returns_to_go[start + k] : 0.f;
    }
    for (int i = threadIdx.x; i < p.context * p.observation; i += THREADS) {
        bool valid = i < length * p.observation;
        float x = valid ? p.observations[u64(start) * p.observation + i] : 0.f;
        p.to_observations[u64(window) * p.context * p.observation + i] = x;
    }
    for (int i = threadIdx.x; i < p.context * p.action; i += THREADS) {
        bool valid = i < length * p.action;
        float x = 0.f;
        if (valid && p.labels == nullptr) x = p.actions[u64(start) * p.action + i];
        if (valid && p.labels != nullptr) x = p.labels[start + i / p.action] == u32(i % p.action) ? 1.f : 0.f;
        p.to_actions[u64(window) * p.context * p.action + i] = x;
    }
}
EXPORT(gather)
