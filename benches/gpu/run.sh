#!/usr/bin/env bash
# What is to be known of the kernels on one GPU, in parts that each have their own time limit:
#
#     run.sh [--gpu N] [--fake] RESULTS PART...
#
# | part | what | most seconds |
# |---|---|---|
# | devices | the driver, the card, its clocks | 60 |
# | parity | every kernel against its reference, 100 steps against the CPU engine | 180 |
# | train | a run on the CPU, on the GPU, and on both in turn; wrong devices; a batch too large | 180 |
# | act | decisions of 1 and 100 episodes on the CPU and on the GPU, and the returns of a run on both | 120 |
# | repeat | the same run three times, once waiting for every launch: the same bits | 120 |
# | step-64 | the published size, f32, tf32 and bf16, the first steps also on the CPU | 180 |
# | torch-64 | PyTorch at that size: eager, compiled, and the whole step as one graph | 420 |
# | step-large, torch-large | batches of 4096 and wide models | 400, 560 |
# | peaks | what large products and copies reach in PyTorch | 60 |
# | memcheck, racecheck, synccheck, initcheck | compute-sanitizer on the kernels' tests | 560 each |
#
# `quick` stands for the first seven and peaks, in an order that gives what matters first; `all` for everything. After
# each part the table is written again, so that what was measured is there however the time ends.
#
# Needed: a driver (or --fake: the fake driver, which proves the script; its times mean nothing). Used where they are:
# python3 for the table, PyTorch, compute-sanitizer, nvidia-smi.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
gpu=0
fake=
while [ $# -gt 0 ]; do
    case "$1" in
    --gpu) gpu=$2 && shift 2 ;;
    --fake) fake=yes && shift ;;
    *) break ;;
    esac
done
[ $# -ge 2 ] || { sed -n '2,/^set/p' "$0" | grep '^#' >&2; exit 2; }
mkdir -p "$1"
results=$(cd "$1" && pwd)
shift

rtg=$here/rtg
tests=("$here/kernel-tests" device::tests decision_transformer::cuda --test-threads 1 --skip faults)
small=(--batch 64 --width 128 --layers 3 --heads 1)
large=(
    "--batch 4096 --width 128 --layers 3 --heads 1"
    "--batch 64 --width 512 --layers 4 --heads 4"
    "--batch 4096 --width 512 --layers 4 --heads 4"
)
repeats=20 steps=200 episodes=100 torch_device="cuda:$gpu" oversized=4000000
export RTG_TEST_DEVICE=$gpu
# Compiled kernels are kept between the parts, also where the home folder cannot be written.
export CUDA_CACHE_PATH=${CUDA_CACHE_PATH:-$results/compiled}
if [ -n "$fake" ]; then
    export LD_LIBRARY_PATH=$here/fake${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    # Of the least width that has its factors in bfloat16.
    small=(--batch 2 --width 64 --layers 1 --heads 1 --context 2)
    large=("--batch 4 --width 64 --layers 2 --heads 2 --context 2")
    repeats=1 steps=20 episodes=1 torch_device=cpu oversized=400000
fi

failed=()
say() { printf '%s\n' "$*"; }
note() { say "$1: $2" | tee -a "$results/notes.txt"; }
json_line() { tr -d '\n' && echo; }

devices() {
    "$rtg" devices && { nvidia-smi -q -i "$gpu" 2>/dev/null || note devices "there is no nvidia-smi"; }
    nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.limit,persistence_mode \
        --format=csv -i "$gpu" 2>/dev/null >"$results/clocks.csv"
    uname -a
    lscpu | grep -E 'Model name|^CPU\(s\)'
}

parity() {
    [ "$("${tests[@]}" --list | grep -c ': test$')" -gt 0 ] || { note parity "no test has such a name"; return 1; }
    "${tests[@]}"
}

train() {
    local run=("$rtg" train --dataset builtin/cartpole/mixed --seed 3 --set logging.every=10
        --set evaluation.every=0 --set evaluation.final_episodes=10)
    [ -z "$fake" ] || run+=(--set decision_transformer.width=16 --set decision_transformer.layers=1
        --set optimiser.batch_size=8)
    local ok=0 folder=$results/runs
    rm -rf "$folder" && mkdir -p "$folder"
    "${run[@]}" --steps "$steps" --device cpu --run-dir "$folder/cpu" || ok=1
    "${run[@]}" --steps "$steps" --device "cuda:$gpu" --run-dir "$folder/cuda" || ok=1
    "${run[@]}" --device cpu --steps $((steps / 2)) --run-dir "$folder/both" || ok=1
    "$rtg" train --resume --run-dir "$folder/both" --steps "$steps" --device "cuda:$gpu" || ok=1
    "${run[@]}" --steps "$steps" --device auto --run-dir "$folder/auto" 2>&1 | tee "$results/auto.txt" || ok=1
    grep -q 'computes on the CPU' "$results/auto.txt" && { note train "auto did not use the GPU"; ok=1; }
    expect_error "there is no CUDA device 99" "${run[@]}" --device cuda:99 --run-dir "$folder/none" || ok=1
    expect_error "out of device memory" "${run[@]}" --device "cuda:$gpu" --run-dir "$folder/large" \
        --set "optimiser.batch_size=$oversized" || ok=1
    return $ok
}

act() {
    local ok=0 rows device run=("$rtg" evaluate "$results/runs/cpu" --episodes "$episodes" --json)
    : >"$results/acting.jsonl"
    for rows in 1 100; do
        for device in cpu "cuda:$gpu"; do
            "$rtg" bench act --rows "$rows" --device "$device" "${small[@]}" --json >"$results/answer.json" &&
                json_line <"$results/answer.json" >>"$results/acting.jsonl" || { note act "$rows on $device failed"; ok=1; }
        done
    done
    [ -d "$results/runs/cpu" ] || { note act "the part train was not run, so no returns are compared"; return $ok; }
    "${run[@]}" --device cpu >"$results/returns-cpu.json" || ok=1
    "${run[@]}" --device "cuda:$gpu" >"$results/returns-cuda.json" || ok=1
    return $ok
}

expect_error() {
    local text=$1 said
    shift
    said=$("$@" 2>&1) && { note train "no error: $*"; return 1; }
    say "$said" | grep -q "$text" || { note train "another error than '$text': $said"; return 1; }
}

repeat() {
    local run=("$rtg" train --dataset builtin/pendulum/random --seed 5 --steps "$steps" --set evaluation.every=0
        --set evaluation.final_episodes=1 --device "cuda:$gpu" --set decision_transformer.precision=bf16)
    [ -z "$fake" ] || run+=(--set decision_transformer.width=64 --set decision_transformer.layers=1
        --set optimiser.batch_size=8)
    rm -rf "$results"/repeated && mkdir -p "$results/repeated"
    "${run[@]}" --run-dir "$results/repeated/1" && "${run[@]}" --run-dir "$results/repeated/2" &&
        RTG_CUDA_SYNC=1 "${run[@]}" --run-dir "$results/repeated/3" || return 1
    (cd "$results/repeated" && sha256sum ./*/checkpoints/weights.safetensors)
    [ "$(sha256sum "$results"/repeated/*/checkpoints/weights.safetensors | cut -d' ' -f1 | sort -u | wc -l)" = 1 ] ||
        { note repeat "the same steps gave other bits"; return 1; }
}

ours() {
    local ok=0
    for precision in bf16 f32 tf32; do
        "$rtg" bench device-step --ordinal "$gpu" --precision "$precision" --repeats "$repeats" --seconds 2 "$@" \
            --json >"$results/answer.json" && json_line <"$results/answer.json" >>"$results/ours.jsonl" ||
            { note ours "$precision $* failed"; ok=1; }
    done
    return $ok
}

theirs() {
    python3 -c 'import torch' 2>/dev/null || { note torch "there is no PyTorch"; return 0; }
    local ok=0
    for precision in bf16 f32 tf32; do
        python3 "$here/pytorch_gpu.py" --device "$torch_device" --precision "$precision" --seconds 2 "$@" \
            >>"$results/pytorch.jsonl" || { note torch "$precision $* failed"; ok=1; }
    done
    return $ok
}

each_large() {
    local ok=0
    for size in "${large[@]}"; do
        # shellcheck disable=SC2086 # a size is several words
        "$1" $size || ok=1
    done
    return $ok
}

peaks() {
    python3 -c 'import torch' 2>/dev/null || { note peaks "there is no PyTorch"; return 0; }
    python3 "$here/pytorch_gpu.py" --device "$torch_device" --peaks >"$results/peaks.json"
}

sanitizer() {
    local found
    found=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -n 1)
    [ -n "$found" ] && [ -z "$fake" ] || { note "$1" "there is no compute-sanitizer, or no GPU"; return 0; }
    "$found" --tool "$1" --error-exitcode 1 "${tests[@]}"
}

# part NAME SECONDS FUNCTION [ARGUMENTS]: runs a part, with its output in RESULTS/NAME.txt.
part() {
    local name=$1 seconds=$2 began=$SECONDS outcome
    shift 2
    say "" "== $name (at most $seconds s)"
    # In its own process, so that it can be ended as a whole.
    (
        export -f devices parity train act expect_error repeat ours theirs each_large peaks sanitizer say note json_line
        declare -p here gpu fake results rtg tests small large repeats steps episodes torch_device oversized >"$results/settings"
        exec timeout --kill-after 10 "$seconds" bash -c "set -uo pipefail; source '$results/settings'; $*"
    ) 2>&1 | tee "$results/$name.txt"
    outcome=${PIPESTATUS[0]}
    case $outcome in
    0) say "$name: done in $((SECONDS - began)) s" ;;
    124 | 137) failed+=("$name") && note "$name" "stopped after $seconds s" ;;
    *) failed+=("$name") && note "$name" "failed" ;;
    esac
    python3 "$here/table.py" "$results" >"$results/table.md" 2>"$results/table-error.txt" ||
        note table "$(tail -n 1 "$results/table-error.txt")"
}

run() {
    case "$1" in
    devices) part devices 60 devices ;;
    parity) part parity 180 parity ;;
    train) part train 180 train ;;
    act) part act 120 act ;;
    repeat) part repeat 120 repeat ;;
    step-64) part step-64 180 ours --reference "${small[@]}" ;;
    torch-64) part torch-64 420 theirs "${small[@]}" ;;
    step-large) part step-large 400 each_large ours ;;
    torch-large) part torch-large 560 each_large theirs ;;
    peaks) part peaks 60 peaks ;;
    memcheck | racecheck | synccheck | initcheck) part "$1" 560 sanitizer "$1" ;;
    quick) for each in devices parity train act repeat step-64 torch-64 peaks; do run "$each"; done ;;
    all) for each in quick step-large torch-large memcheck racecheck synccheck initcheck; do run "$each"; done ;;
    *) say "unknown part '$1'" >&2 && failed+=("$1") ;;
    esac
}

for each in "$@"; do run "$each"; done
rm -f "$results/settings" "$results/answer.json"
say "" "== table" && cat "$results/table.md"
[ ${#failed[@]} = 0 ] || { say "failed: ${failed[*]}"; exit 1; }
