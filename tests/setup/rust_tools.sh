#!/bin/bash
# Makes sure that the Rust toolchain has the formatter and the lints.
. "$(dirname "$0")/common.sh"

for tool in fmt clippy; do
  cargo "$tool" --version >/dev/null 2>&1 && continue
  command -v rustup >/dev/null || die "cargo $tool is missing, and there is no rustup to add it"
  say "rustup component add rustfmt clippy"
  rustup component add rustfmt clippy >&2
  break
done
