#!/bin/bash
# Unpacks QEMU 10 from backports into .work/qemu-10, beside the installed 7.2, which stays.
. "$(dirname "$0")/common.sh"

SUITE=$RELEASE-backports
# Its firmware is looked for beside it; that of the installed QEMU's packages fits.
PACKAGES=(qemu-system-{x86,common,data,modules-opengl,modules-spice} qemu-block-extra)
FIRMWARE=(/usr/share/seabios /usr/lib/ipxe)
TARGET=$WORK/qemu-10
key=$(digest "$SUITE" "${PACKAGES[@]}" "${FIRMWARE[@]}")
if is_done qemu_backport "$key" && [ -x "$TARGET/usr/bin/qemu-system-x86_64" ]; then exit 0; fi

download=$(mktemp -d "$WORK/download.XXXXXX")
unpacked=$(mktemp -d "$WORK/qemu.XXXXXX")
trap 'rm -rf "$download" "$unpacked"' EXIT
prepare_suite "$SUITE"
say "QEMU 10: ${PACKAGES[*]} of $SUITE"
(cd "$download" && in_suite "$SUITE" apt-get -qq download "${PACKAGES[@]/%//$SUITE}")
for package in "$download"/*.deb; do dpkg -x "$package" "$unpacked"; done
for folder in "${FIRMWARE[@]}"; do ln -sfT "$folder" "$unpacked$folder"; done
# It looks for its loadable modules where the installed QEMU keeps its own, and aborts over them:
# it gets to see its own there, and nobody else does.
modules=/usr/lib/x86_64-linux-gnu/qemu
cat >"$unpacked/qemu-system-x86_64" <<SCRIPT
#!/bin/sh
exec unshare --mount -- sh -c 'mount --bind "\$0\$1" "\$1" && shift && exec "\$0/usr/bin/qemu-system-x86_64" "\$@"' \
  "$TARGET" $modules "\$@"
SCRIPT
chmod 755 "$unpacked" "$unpacked/qemu-system-x86_64"
put_in_place "$unpacked" "$TARGET"
"$TARGET/qemu-system-x86_64" -device help >/dev/null 2>&1 ||
  die "QEMU 10 does not run here; does it lack a library? (ldd $TARGET/usr/bin/qemu-system-x86_64)"
mark_done qemu_backport "$key"
