#!/bin/bash
# A Debian 12 with Ganeti in .work/cluster/bookworm: what a node's root file system is before its
# upgrade to 13. No QEMU and no more than Ganeti needs: apt has the less to fetch.
. "$(dirname "$0")/common.sh"

NODE=(ganeti ca-certificates iproute2 procps)
TARGET=$WORK/cluster/bookworm
key=$(digest "$RELEASE" "${NODE[@]}")
if is_done upgrade_system "$key" && [ -x "$TARGET/usr/sbin/gnt-cluster" ]; then exit 0; fi

mkdir -p "$WORK/cluster"
debian_root "$RELEASE" "$TARGET.new" "$WORK/cluster/bookworm.log" "${NODE[@]}"
put_in_place "$TARGET.new" "$TARGET"
mark_done upgrade_system "$key"
