#!/usr/bin/env bash
# Builds the kernels for the CPU: build.sh OUT.so [options of g++].
#
# RTG_CUDA_EMULATOR=OUT.so makes `--device cuda` run on them directly. The library also has the functions of NVIDIA's
# driver: as libcuda.so.1 in a folder of LD_LIBRARY_PATH it runs the same kernels through the program's driver layer.
#
# -fno-gnu-unique: several libraries may be loaded at once, and each must have variables of its own.
set -euo pipefail
out=$1
shift
here=$(dirname "$0")
exec g++ -std=c++17 -O2 -march=native -fno-gnu-unique -DRTG_EMULATED -shared -fPIC \
    -Wall -Wextra -Werror -Wno-unknown-pragmas \
    -x c++ "$here/../../kernels.cu" "$here/driver/driver.cpp" -o "$out" -ldl "$@"
