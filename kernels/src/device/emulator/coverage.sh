#!/usr/bin/env bash
# Lists the lines of the driver layer that no test executes. Needs g++, llvm-profdata and llvm-cov of LLVM 19 or later;
# where their names end in a version: LLVM_SUFFIX=-19 coverage.sh
set -euo pipefail
cd "$(dirname "$0")/../../../.."

folder=$(realpath "${CARGO_TARGET_DIR:-target}")/coverage
mkdir -p "$folder"
rm -f "$folder"/*.profraw
# Counts in the crates of the workspace, and in none that they depend on.
cat >"$folder/rustc" <<'WRAPPER'
#!/bin/sh
exec "$@" -C instrument-coverage
WRAPPER
chmod +x "$folder/rustc"
export RUSTC_WORKSPACE_WRAPPER=$folder/rustc CARGO_INCREMENTAL=0 RTG_REQUIRE_GPP=1

executables=$(cargo test -p rtg -p rtg-kernels --locked --no-run --bin rtg --lib --test integration --target-dir "$folder/target" 2>&1 |
    tee /dev/stderr | sed -n 's/.*Executable .*(\(.*\))$/\1/p')
kernels=$(grep /rtg_kernels- <<<"$executables")
program=$(grep /integration- <<<"$executables")
export LLVM_PROFILE_FILE=$folder/%p-%m.profraw
# Both tests run others of these again.
"$kernels" device:: --skip sanitizers --skip inexact
"$program" gpu

"llvm-profdata${LLVM_SUFFIX:-}" merge "$folder"/*.profraw -o "$folder/all.profdata"
"llvm-cov${LLVM_SUFFIX:-}" show "$folder/target/debug/rtg" -object "$kernels" -object "$program" \
    -instr-profile="$folder/all.profdata" kernels/src/device/{backend.rs,emulated.rs,mod.rs,parameters.rs,transfer.rs} \
    kernels/src/device/driver/{cuda,devices,interface}.rs |
    grep -E '^ *[0-9]+\| +0\||^/' || true
