#!/usr/bin/env bash
# Builds the kernels for the CPU: build.sh OUT.so [options of g++]. RTG_CUDA_EMULATOR=OUT.so makes `--device cuda`
# run on them.
set -euo pipefail
out=$1
shift
exec g++ -std=c++17 -O2 -march=native -DRTG_EMULATED -shared -fPIC -Wall -Wextra -Werror -Wno-unknown-pragmas \
    -x c++ "$(dirname "$0")/../../kernels.cu" -o "$out" "$@"
