#!/bin/bash
# Every set-up step in its order; one at a time, however many start it. Quick when all is done.
. "$(dirname "$0")/common.sh"

exec 9>"$WORK/set-up.lock"
flock 9
[ "$(. /etc/os-release; echo "${VERSION_CODENAME:-}")" = "$RELEASE" ] ||
  die "made for Debian 12 ($RELEASE); this is $(. /etc/os-release; echo "$PRETTY_NAME")"
command -v cargo >/dev/null || die "no cargo on PATH: a Rust toolchain is needed (see rust-version in Cargo.toml)"
for step in debian_packages rust_tools python_venv guest_parts ganeti_backport qemu_backport; do
  "$(dirname "$0")/$step.sh"
done
