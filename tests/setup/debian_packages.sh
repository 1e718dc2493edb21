#!/bin/bash
# Installs the Debian packages that the build, the demo and the tests use; only what is missing.
. "$(dirname "$0")/common.sh"

PACKAGES=(
  ganeti ganeti-testsuite          # what the module plugs into, and its own tests
  qemu-system-x86 socat            # guests and their consoles
  ovmf                             # UEFI firmware for some of them
  iproute2 tini                    # private networks; a PID 1 that reaps
  tmux                             # screens in a real terminal
  python3 python3-venv python3-pip # Debian's interpreter runs Ganeti
  python3-psutil python3-bitarray
  strace                           # lets one system call fail (tests/inject)
  gcc libc6-dev                    # the linker of the Rust build
)

missing=()
for package in "${PACKAGES[@]}"; do
  installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

need_root "installing ${missing[*]}"
say "installing ${missing[*]}"
options=(-y -qq --no-install-recommends -o Dpkg::Options::=--force-confold)
extra=()
# A newer qemu-utils from elsewhere forbids this release's qemu-system-x86: bring it to the same release.
if [[ " ${missing[*]} " == *" qemu-system-x86 "* ]] && installed qemu-utils; then
  extra=(--allow-downgrades "qemu-utils/$RELEASE" "qemu-system-x86/$RELEASE")
fi
log=$WORK/debian_packages.log
install() { apt-get install "${options[@]}" "${missing[@]}" "${extra[@]}" >"$log" 2>&1; }

install && exit 0
apt_update_once
install || { tail -n 30 "$log" >&2; die "apt-get install failed (all of it: $log)"; }
