#!/bin/bash
# Makes the .deb of each machine from its wheel, in Debian 13 (.work/builder), and lints it.
#   deb.sh FOLDER-WITH-WHEELS FOLDER-FOR-DEBS
set -euo pipefail
cd "$(dirname "$0")/.."
tests/setup/debian_builder.sh
WHEELS=$(realpath "$1")
mkdir -p "$2"
OUT=$(realpath "$2")
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
unshare --mount --pid --net --fork --kill-child -- bash -euc '
  root=$1 project=$2 wheels=$3 out=$4
  mount -t tmpfs tmpfs "$root/mnt"
  mkdir "$root/mnt/project" "$root/mnt/wheels" "$root/mnt/out"
  mount --bind -o ro "$project" "$root/mnt/project"
  mount --bind -o ro "$wheels" "$root/mnt/wheels"
  mount --bind "$out" "$root/mnt/out"
  mount -t tmpfs tmpfs "$root/tmp"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \
    bash -euc "
      rm -f /mnt/out/ganeti-hv-kvm_*.deb
      for pair in x86_64:amd64 aarch64:arm64; do
        for wheel in /mnt/wheels/*\${pair%:*}.whl; do
          [ -e \$wheel ] || continue
          bash /mnt/project/packaging/debian/build.sh /mnt/project \$wheel \${pair#*:} /mnt/out
        done
      done
      lintian --fail-on error --tag-display-limit 0 --allow-root /mnt/out/*.deb
    "
' - "$PWD/.work/builder" "$PWD" "$WHEELS" "$OUT"
