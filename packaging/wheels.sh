#!/bin/bash
# Builds the manylinux2014 wheels for x86-64 and aarch64 into the folder given, the same bytes from
# the same commit each time: no path, time or random number of the build is in them.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=$1
shift
MACHINES=("$@")
[ $# -gt 0 ] || MACHINES=(x86_64 aarch64)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
CARGO_TARGET_DIR=${WHEELS_TARGET_DIR:-$PWD/target/wheels-build}
RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$PWD=/ganeti-hv-kvm"
RUSTFLAGS+=" --remap-path-prefix=$CARGO_TARGET_DIR=/target"
export SOURCE_DATE_EPOCH CARGO_TARGET_DIR RUSTFLAGS PATH="$PWD/.venv/bin:$PATH"
for machine in "${MACHINES[@]}"; do
  maturin build --release --locked --quiet --zig --target "$machine-unknown-linux-gnu" \
    --compatibility manylinux2014 --out "$OUT"
done
