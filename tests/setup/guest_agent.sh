#!/bin/bash
# Unpacks Debian's guest agent into .work/guest-agent, for a guest that has one; installs nothing.
. "$(dirname "$0")/common.sh"

# What the agent is linked with; the machine has most of it anyway.
LIBRARIES=(libglib2.0-0 libnuma1 libudev1 liburing2 libpcre2-8-0)
key=$(digest qemu-guest-agent "${LIBRARIES[@]}")
if is_done guest_agent "$key" && [ -x "$WORK/guest-agent/usr/sbin/qemu-ga" ]; then exit 0; fi

download=$(mktemp -d "$WORK/download.XXXXXX")
unpacked=$(mktemp -d "$WORK/guest-agent.XXXXXX")
trap 'rm -rf "$download" "$unpacked"' EXIT
fetch() {
  say "guest: qemu-guest-agent"
  (cd "$download" &&
    apt-get -qq -o APT::Sandbox::User=root download qemu-guest-agent "${LIBRARIES[@]}")
}
fetch || { need_root "apt-get update"; apt_update_once; fetch; }
for package in "$download"/*.deb; do dpkg -x "$package" "$unpacked"; done
chmod 755 "$unpacked"
put_in_place "$unpacked" "$WORK/guest-agent"
mark_done guest_agent "$key"
