#!/bin/bash
# What wheels for other machines are linked with: zig, and Rust's library for aarch64.
. "$(dirname "$0")/common.sh"

ZIG=(ziglang==0.17.1)
"$(dirname "$0")/python_venv.sh"
key=$(digest "${ZIG[@]}" "$(cat "$STAMPS/python_venv")")
if ! is_done cross_tools "$key"; then
  say "zig: ${ZIG[*]}"
  "$ROOT/.venv/bin/python" -m pip install -q --disable-pip-version-check "${ZIG[@]}"
  mark_done cross_tools "$key"
fi
[ -d "$(rustc --print sysroot)/lib/rustlib/aarch64-unknown-linux-gnu" ] && exit 0
command -v rustup >/dev/null || die "this Rust has no library for aarch64-unknown-linux-gnu; rustup could add it"
say "Rust's library for aarch64"
rustup -q target add aarch64-unknown-linux-gnu
