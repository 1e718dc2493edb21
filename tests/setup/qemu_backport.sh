#!/bin/bash
# Unpacks QEMU 10 from backports into .work/qemu-10, beside the installed 7.2, which stays.
. "$(dirname "$0")/common.sh"

SUITE=$RELEASE-backports
# The installed SeaBIOS would wait half a minute for the CD-ROM drive of a q35: QEMU 8.2 changed its
# AHCI, and 1.16.3 is the first that knows.
PACKAGES=(qemu-system-{x86,common,data,modules-opengl,modules-spice} qemu-block-extra seabios)
# It looks for these where the installed QEMU keeps its own, and aborts over that one's modules: it
# gets to see its own there, and nobody else does.
SEEN=(/usr/lib/x86_64-linux-gnu/qemu /usr/share/qemu /usr/share/seabios)
TARGET=$WORK/qemu-10
key=$(digest "$SUITE" "${PACKAGES[@]}" "${SEEN[@]}")
if is_done qemu_backport "$key" && [ -x "$TARGET/usr/bin/qemu-system-x86_64" ]; then exit 0; fi

download=$(mktemp -d "$WORK/download.XXXXXX")
unpacked=$(mktemp -d "$WORK/qemu.XXXXXX")
trap 'rm -rf "$download" "$unpacked"' EXIT
prepare_suite "$SUITE"
say "QEMU 10: ${PACKAGES[*]} of $SUITE"
(cd "$download" && in_suite "$SUITE" apt-get -qq download "${PACKAGES[@]/%//$SUITE}")
for package in "$download"/*.deb; do dpkg -x "$package" "$unpacked"; done
cat >"$unpacked/qemu-system-x86_64" <<SCRIPT
#!/bin/sh
exec unshare --mount -- sh -ec '
  for folder in ${SEEN[*]}; do mount --bind "\$0\$folder" "\$folder"; done
  exec "\$0/usr/bin/qemu-system-x86_64" "\$@"' "$TARGET" "\$@"
SCRIPT
chmod 755 "$unpacked" "$unpacked/qemu-system-x86_64"
put_in_place "$unpacked" "$TARGET"
"$TARGET/qemu-system-x86_64" -device help >/dev/null 2>&1 ||
  die "QEMU 10 does not run here; does it lack a library? (ldd $TARGET/usr/bin/qemu-system-x86_64)"
mark_done qemu_backport "$key"
