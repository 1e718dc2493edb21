#!/bin/bash
# Unpacks a kernel and a static busybox into .work/guest; installs nothing on the host.
. "$(dirname "$0")/common.sh"

META=linux-image-cloud-amd64
kernel_package() {
  apt-cache depends "$META" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1
}
key=$(digest "$META" busybox-static)
if is_done guest_parts "$key" && compgen -G "$WORK/guest/boot/vmlinuz-*" >/dev/null; then exit 0; fi

fetch() {
  local package
  package=$(kernel_package)
  [ -n "$package" ] || return 1
  say "guest: $package and busybox-static"
  (cd "$download" && apt-get -qq -o APT::Sandbox::User=root download "$package" busybox-static)
}
download=$(mktemp -d "$WORK/download.XXXXXX")
unpacked=$(mktemp -d "$WORK/guest.XXXXXX")
trap 'rm -rf "$download" "$unpacked"' EXIT
fetch || { need_root "apt-get update"; apt_update_once; fetch; }
for package in "$download"/*.deb; do dpkg -x "$package" "$unpacked"; done
chmod 755 "$unpacked"
put_in_place "$unpacked" "$WORK/guest"
mark_done guest_parts "$key"
