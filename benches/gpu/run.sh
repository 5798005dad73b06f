#!/usr/bin/env bash
# Everything that is to be known of the kernels on one GPU: parity, sanitizers, timings. Run it in the folder that
# build.sh made:
#
#     ./run.sh RESULTS [GPU]
#
# Nothing but the driver is needed. Where there are also compute-sanitizer and a python3 with PyTorch, they are used.
# With RTG_CUDA_EMULATOR=kernels.so (see src/kernels/device/emulator/build.sh) the same script runs on the CPU, with small
# sizes: it proves the script, its times mean nothing.
set -euo pipefail
cd "$(dirname "$0")"
results=$1
gpu=${2:-0}
mkdir -p "$results"
failures=0
step() { printf '\n== %s\n' "$1"; }
missing() { printf 'SKIPPED: %s\n' "$1" | tee -a "$results/skipped.txt"; }

step "devices"
./rtg devices | tee "$results/devices.txt"

# The same tests that run on the emulator elsewhere: every kernel against its reference, and 100 steps (20 emulated)
# against the CPU engine. Emulated, they use the library that RTG_TEST_EMULATOR names.
step "parity of every kernel, and of training steps against the CPU engine"
if [ -n "${RTG_CUDA_EMULATOR:-}" ]; then
    export RTG_TEST_EMULATOR=$RTG_CUDA_EMULATOR
else
    export RTG_TEST_DEVICE=$gpu
fi
tests=(./kernel-tests kernels::device kernels::decision_transformer::cuda --test-threads 1 --skip faults)
"${tests[@]}" | tee "$results/parity.txt" || failures=$((failures + 1))

step "compute-sanitizer"
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -n 1 || true)
if [ -n "${RTG_CUDA_EMULATOR:-}" ]; then
    missing "compute-sanitizer needs a GPU; the emulator has AddressSanitizer in the tests"
elif [ -z "$sanitizer" ]; then
    missing "there is no compute-sanitizer"
else
    for tool in memcheck racecheck synccheck initcheck; do
        "$sanitizer" --tool "$tool" --error-exitcode 1 "${tests[@]}" >"$results/$tool.txt" 2>&1 ||
            failures=$((failures + 1))
        tail -n 1 "$results/$tool.txt"
    done
fi

step "timings"
if [ -n "${RTG_CUDA_EMULATOR:-}" ]; then
    sizes=("--batch 2 --width 16 --layers 1 --heads 1 --context 2")
    repeats=1
else
    sizes=(
        "--batch 64 --width 128 --layers 3 --heads 1"
        "--batch 4096 --width 128 --layers 3 --heads 1"
        "--batch 64 --width 512 --layers 4 --heads 4"
        "--batch 4096 --width 512 --layers 4 --heads 4"
    )
    repeats=20
fi
: >"$results/ours.jsonl"
for size in "${sizes[@]}"; do
    for precision in f32 tf32 bf16; do
        # shellcheck disable=SC2086 # the sizes are several words
        ./rtg bench device-step --ordinal "$gpu" --precision "$precision" --repeats "$repeats" $size --json |
            python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)))' >>"$results/ours.jsonl"
    done
done

step "PyTorch, eager and compiled with CUDA graphs"
: >"$results/pytorch.jsonl"
if python3 -c 'import torch' 2>/dev/null; then
    device="cuda:$gpu"
    [ -z "${RTG_CUDA_EMULATOR:-}" ] || device=cpu
    for size in "${sizes[@]}"; do
        # shellcheck disable=SC2086
        python3 pytorch_gpu.py --device "$device" --repeats "$repeats" $size >>"$results/pytorch.jsonl" ||
            failures=$((failures + 1))
    done
    python3 pytorch_gpu.py --device "$device" --peaks >"$results/peaks.json"
else
    missing "there is no PyTorch to compare with"
fi

step "table"
python3 table.py "$results" | tee "$results/table.md"
[ "$failures" = 0 ] || { echo "$failures parts failed"; exit 1; }
