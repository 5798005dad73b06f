#!/usr/bin/env bash
# Puts what run.sh needs into one file: the program, the program of the kernels' tests, a fake driver for dry runs,
# the scripts.
#
#     build.sh FILE.tar.gz [PROFILE]        on a machine with Rust, g++ and no GPU
#
# PROFILE is release unless it is named; with `dev` what `cargo test` has built is not built again.
#
# On the machine with the GPU: tar xzf FILE.tar.gz && rtg-gpu/run.sh RESULTS quick
set -euo pipefail
file=$(realpath -m "$1")
profile=${2:-release}
cd "$(dirname "$0")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
folder=$scratch/rtg-gpu
mkdir -p "$folder/fake"
# The whole workspace, as the gate builds it: a package alone has other features, and is built again.
cargo build --profile "$profile" --workspace --bins --examples --locked
tests=$(cargo test --profile "$profile" --workspace --lib --no-run --locked --message-format json |
    python3 -c 'import json, sys
for line in sys.stdin:
    found = json.loads(line)
    if found.get("executable") and found["target"]["name"] == "rtg_kernels":
        print(found["executable"])')
built=$profile
[ "$profile" != dev ] || built=debug
strip -o "$folder/rtg" "${CARGO_TARGET_DIR:-target}/$built/rtg"
strip -o "$folder/kernel-tests" "$tests"
# For any x86-64 machine of the last ten years, not this one.
kernels/src/device/emulator/build.sh "$folder/fake/libcuda.so.1" -march=x86-64-v3
strip "$folder/fake/libcuda.so.1"
cp benches/gpu/run.sh benches/gpu/pytorch_gpu.py benches/gpu/table.py benches/peers/pytorch_model.py "$folder/"
tar czf "$file" -C "$scratch" rtg-gpu
bytes=$(stat -c %s "$file")
echo "$file: $((bytes >> 20)) MiB"
[ "$bytes" -lt $((40 << 20)) ] || { echo "more than 40 MiB" >&2; exit 1; }
