#!/usr/bin/env bash
# Puts what run.sh needs into a folder: the program, the program of the kernels' tests, the scripts.
# build.sh FOLDER, on a machine with Rust and no GPU; then carry FOLDER to the machine with the GPU.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$1
mkdir -p "$folder"
cargo build --release --locked --bin rtg
tests=$(cargo test --release --locked --lib --no-run --message-format json |
    python3 -c 'import json, sys
for line in sys.stdin:
    found = json.loads(line)
    if found.get("executable") and "lib" in found["target"]["kind"]:
        print(found["executable"])')
cp "${CARGO_TARGET_DIR:-target}/release/rtg" "$folder/rtg"
cp "$tests" "$folder/kernel-tests"
cp benches/gpu/run.sh benches/gpu/pytorch_gpu.py benches/gpu/table.py benches/peers/pytorch_model.py "$folder/"
