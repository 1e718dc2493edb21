#!/bin/bash
# Builds the sdist in Debian 13 with its own rustc, cargo and maturin, without a network: the least
# Rust that Cargo.toml names is really enough. Then the wheel is installed there and imported.
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/setup/debian_builder.sh
WORK=$PWD/.work
HERE=$WORK/debian-build
rm -rf "$HERE"
mkdir -p "$HERE/cargo" "$HERE/upper" "$HERE/overlay" "$HERE/root"
.venv/bin/maturin sdist --out "$HERE" 2>/dev/null
cargo vendor --quiet --locked --versioned-dirs "$HERE/vendor" >/dev/null
cat >"$HERE/cargo/config.toml" <<'TOML'
[source.crates-io]
replace-with = "vendor"
[source.vendor]
directory = "/build/vendor"
TOML
# All that it writes goes into an overlay; its mounts are gone with their namespace.
unshare --mount --pid --net --fork --kill-child -- bash -euc '
  here=$1 lower=$2
  mount -t overlay -o "lowerdir=$lower,upperdir=$here/upper,workdir=$here/overlay" overlay "$here/root"
  mkdir -p "$here/root/build"
  mount --bind "$here" "$here/root/build"
  mount -t proc proc "$here/root/proc"
  mount --rbind /dev "$here/root/dev"
  chroot "$here/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 CARGO_HOME=/build/cargo CARGO_NET_OFFLINE=true \
    bash -euc "
      cd /
      rustc --version; maturin --version
      pip wheel --quiet --no-index --no-build-isolation --no-deps -w /build/dist /build/ganeti_hv_kvm-*.tar.gz
      pip install --quiet --no-index --break-system-packages --root-user-action=ignore /build/dist/*.whl
      python3 -c \"from ganeti_hv_kvm import _native, installation; installation.check(); print(_native.__version__)\"
    "
' - "$HERE" "$WORK/builder"
ls "$HERE/dist"
rm -rf "$HERE"
