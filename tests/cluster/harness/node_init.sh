#!/bin/bash
# The first process of a node, in fresh network, mount, uts, pid and ipc namespaces: builds the
# node's root file system, moves into it, and becomes a PID 1 that reaps.
# Arguments: mount point, lower layers, folder for the changes, host name, then pairs of
# "outside folder" and "folder inside" to be seen in the node.
set -euo pipefail
root=$1 lower=$2 changes=$3 name=$4
shift 4

mount --make-rprivate /
mkdir -p "$root" "$changes/upper" "$changes/work"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$changes/upper,workdir=$changes/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -m 1777 "$root/run/lock"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --bind /dev "$root/dev"
# Terminals of its own: `gnt-instance console` and ssh ask for some.
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
while [ $# -gt 0 ]; do
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  shift 2
done

hostname "$name"
mkdir -p "$root/mnt/outside"
cd "$root"
pivot_root . mnt/outside
umount -l /mnt/outside
rmdir /mnt/outside
cd /
# Without a PID 1 that reaps, Ganeti waits half a minute for each QEMU that it killed.
exec /usr/bin/tini -s -- sleep infinity </dev/null >/dev/null 2>&1
