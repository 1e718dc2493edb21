#!/bin/bash
# Unpacks Debian's Python for arm64 into .work/arm64, with the qemu-aarch64-static that runs it here.
. "$(dirname "$0")/common.sh"

TARGET=$WORK/arm64
EMULATOR=qemu-user-static
key=$(digest "$RELEASE" python3 "$EMULATOR")
if is_done arm64_python "$key" && [ -x "$TARGET/qemu-aarch64-static" ]; then exit 0; fi

lists=$WORK/apt/arm64
download=$(mktemp -d "$WORK/download.XXXXXX")
unpacked=$(mktemp -d "$WORK/arm64.XXXXXX")
trap 'rm -rf "$download" "$unpacked"' EXIT
mkdir -p "$download/partial" "$lists/lists/partial"
printf 'deb [arch=arm64] %s %s main\n' "$(archive_uri)" "$RELEASE" >"$lists/sources.list"
# As a machine of its own, on which nothing is installed: apt finds all that Python needs.
of_arm64() {
  apt-get -qq -y -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::status=/dev/null \
    -o Dir::Etc::SourceList="$lists/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$lists/lists" -o Dir::Cache::archives="$download" -o Dir::Cache::pkgcache= \
    -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root "$@"
}
say "Python for arm64"
of_arm64 update
of_arm64 --no-install-recommends --download-only install python3
apt_update_once
(cd "$download" && apt-get -qq -o APT::Sandbox::User=root download "$EMULATOR")
mkdir "$download/emulator"
mv "$download/$EMULATOR"_* "$download/emulator"
for package in "$download"/*_arm64.deb "$download"/*_all.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" "$unpacked"
done
dpkg -x "$download"/emulator/*.deb "$download/emulator"
cp "$download/emulator/usr/bin/qemu-aarch64-static" "$unpacked"
chmod 755 "$unpacked"
put_in_place "$unpacked" "$TARGET"
"$TARGET/qemu-aarch64-static" -L "$TARGET" "$TARGET/usr/bin/python3" -c 'import platform; assert platform.machine() == "aarch64"' ||
  die "Python for arm64 does not run here"
mark_done arm64_python "$key"
