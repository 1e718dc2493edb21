#!/bin/bash
# Installs what the two-node cluster needs beside debian_packages.sh; starts no service here.
. "$(dirname "$0")/common.sh"

PACKAGES=(
  openssh-server fping ganeti-os-noop # Ganeti's nodes: how they reach each other, an empty OS
  debootstrap                         # root file systems of other Debian releases
  dnsmasq-base python3-pycurl iptables # what Ganeti's own QA needs
)

missing=()
for package in "${PACKAGES[@]}"; do
  installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

need_root "installing ${missing[*]}"
# A freshly installed sshd would be started: the cluster's runs inside its nodes alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
say "installing ${missing[*]}"
log=$WORK/cluster_packages.log
install() {
  apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold \
    "${missing[@]}" >"$log" 2>&1
}
install || { apt_update_once; install; } ||
  { tail -n 30 "$log" >&2; die "apt-get install failed (all of it: $log)"; }
