# Shared by the set-up steps; sourced, never run.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
WORK=$ROOT/.work
STAMPS=$WORK/stamps
RELEASE=bookworm
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
mkdir -p "$STAMPS"

say() { printf '[set-up] %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# A step is done when its stamp holds the digest of all that it depends on.
digest() { printf '%s\0' "$@" | sha256sum | cut -d' ' -f1; }
is_done() { [ "$(cat "$STAMPS/$1" 2>/dev/null)" = "$2" ]; }
mark_done() { printf '%s\n' "$2" >"$STAMPS/$1"; }

need_root() { [ "$(id -u)" = 0 ] || die "$1 needs root"; }

installed() {
  dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

# Package lists may be missing (a fresh image) or name versions that are gone by now.
apt_update_once() {
  [ -n "${APT_UPDATED:-}" ] && return
  say "apt-get update"
  apt-get -qq update
  APT_UPDATED=1
}

# The place that this machine gets Debian from: other suites of the same archive lie there too.
archive_uri() {
  local uri
  uri=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Identifier: Packages' |
    awk -v release="$RELEASE" '$1 == release && $2 == "main" { print $3; exit }')
  [ -n "$uri" ] || die "apt has no source for $RELEASE main"
  printf '%s\n' "$uri"
}

# Runs apt with lists of its own for one more suite: the machine's own lists stay as they are.
in_suite() {
  local suite=$1 tool=$2 state=$WORK/apt/$1
  shift 2
  "$tool" -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$state/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
    -o APT::Sandbox::User=root "$@"
}

prepare_suite() {
  local suite=$1 state=$WORK/apt/$1
  mkdir -p "$state/lists/partial"
  printf 'deb %s %s main\n' "$(archive_uri)" "$suite" >"$state/sources.list"
  say "package lists of $suite"
  in_suite "$suite" apt-get -qq update
}

# Replaces folder $2 by $1 only once $1 is complete. $2 may be a link to somewhere else.
put_in_place() {
  rm -rf "$2.old"
  if [ -e "$2" ] || [ -L "$2" ]; then mv -T "$2" "$2.old"; fi
  mv -T "$1" "$2"
  rm -rf "$2.old"
}

# Makes $2, the root of Debian $1 with the packages that follow; $3 is its log. Not in place yet: the
# caller may have more to do in it.
debian_root() {
  local suite=$1 root=$2 log=$3
  shift 3
  need_root debootstrap
  if ! installed debootstrap; then
    apt_update_once
    apt-get -qq -y --no-install-recommends install debootstrap >/dev/null
  fi
  say "Debian $suite: debootstrap (its log: $log)"
  rm -rf "$root"
  mkdir -p "$WORK/debs-$suite"
  debootstrap --variant=minbase --cache-dir="$WORK/debs-$suite" "$suite" "$root" \
    "$(archive_uri)" /usr/share/debootstrap/scripts/sid >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die "debootstrap of $suite failed"; }
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  cp -L /etc/resolv.conf "$root/etc/resolv.conf"
  say "Debian $suite: $*"
  # A mount namespace of its own: its /proc and /dev are gone with it, whatever happens.
  unshare --mount --pid --fork --kill-child -- bash -euc '
    root=$1; shift
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    # Clock and archive may be weeks apart: unstable is valid for one.
    chroot "$root" apt-get -qq -o Acquire::Check-Valid-Until=false update
    chroot "$root" apt-get -qq -y --no-install-recommends install "$@"
    chroot "$root" apt-get -qq clean
  ' - "$root" "$@" >>"$log" 2>&1 ||
    { tail -n 30 "$log" >&2; die "packages of $suite cannot be installed"; }
}
