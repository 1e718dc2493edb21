#!/bin/bash
# Fetches what the cluster's nodes are made of beside this machine's own files:
#   backports  .deb files of Ganeti 3.1 and QEMU 10 in .work/cluster/backports; for the row next too
#   debian13   a root file system in .work/cluster/trixie
#   unstable   a root file system in .work/cluster/sid
. "$(dirname "$0")/common.sh"

GANETI=(ganeti ganeti-3.1 ganeti-haskell-3.1 ganeti-htools-3.1 qemu-system-x86 qemu-system-modules-spice)
NODE=(
  ganeti ganeti-os-noop qemu-system-x86 qemu-system-modules-spice qemu-utils openssh-server openssh-client fping tini socat
  iproute2 procps python3-pip passwd util-linux bsdextrautils
)
mkdir -p "$WORK/cluster"

packages_of_backports() {
  local suite=$RELEASE-backports target=$WORK/cluster/backports state=$WORK/apt/cluster-backports key
  key=$(digest "$suite" "${GANETI[@]}" "$(dpkg-query -W | sha256sum)")
  is_done cluster_backports "$key" && compgen -G "$target/*.deb" >/dev/null && return
  rm -rf "$target.new"
  mkdir -p "$state/lists/partial" "$target.new/partial"
  printf 'deb %s %s main\n' "$(archive_uri)" "$RELEASE" "$(archive_uri)" "$suite" >"$state/sources.list"
  local apt=(apt-get -qq -y --no-install-recommends -o Dir::Etc::SourceList="$state/sources.list"
    -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$state/lists"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root
    -o Dir::Cache::archives="$target.new")
  say "package lists of $RELEASE and $suite"
  "${apt[@]}" update
  say "Ganeti 3.1 and QEMU 10: ${GANETI[*]}"
  "${apt[@]}" -t "$suite" --download-only install "${GANETI[@]}" >"$WORK/cluster/backports.log" 2>&1 ||
    { tail -n 30 "$WORK/cluster/backports.log" >&2; die "they cannot be fetched"; }
  rm -rf "$target.new/partial" "$target.new/lock"
  put_in_place "$target.new" "$target"
  mark_done cluster_backports "$key"
}

root_file_system() {
  local suite=$1 target=$WORK/cluster/$1 log=$WORK/cluster/$1.log key
  key=$(digest "$suite" "${NODE[@]}")
  is_done "cluster_$suite" "$key" && [ -x "$target/usr/sbin/gnt-cluster" ] && return
  debian_root "$suite" "$target.new" "$log" "${NODE[@]}"
  with_old_openssl "$target.new" >>"$log" 2>&1 || { tail -n 30 "$log" >&2; die "pyOpenSSL for $suite"; }
  put_in_place "$target.new" "$target"
  mark_done "cluster_$suite" "$key"
}

# Ganeti 3.1 makes its certificates with a class that unstable's pyOpenSSL has no longer: `gnt-cluster
# init` fails there, whatever the hypervisor module. An older one beside Debian's helps.
with_old_openssl() {
  local root=$1 wheels=$WORK/cluster/wheels
  chroot "$root" python3 -c 'import OpenSSL.crypto; OpenSSL.crypto.X509Req' && return
  "$ROOT/.venv/bin/python" -m pip download -q --no-deps --only-binary :all: -d "$wheels" \
    pyOpenSSL==25.0.0 cryptography==44.0.3
  mkdir "$root/wheels"
  cp "$wheels"/*.whl "$root/wheels"
  chroot "$root" sh -c 'python3 -m pip install --break-system-packages --ignore-installed --no-deps \
    --no-index --root-user-action=ignore /wheels/*.whl'
  rm -r "$root/wheels"
}

case ${1:-} in
debian12) ;;
backports) packages_of_backports ;;
debian13) root_file_system trixie ;;
unstable) root_file_system sid ;;
*) die "usage: cluster_system.sh debian12|backports|debian13|unstable" ;;
esac
