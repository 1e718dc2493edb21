#!/bin/sh
# PID 1 of the test guest: tells each second on its serial console what hardware it sees.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
# The kernel's own messages would break our lines.
echo 1 >/proc/sys/kernel/printk
while read -r module; do
  insmod "/modules/$module"
done </modules/order
ip link set lo up
ip link set eth0 up 2>/dev/null
acpid -c /etc/acpi -l /dev/null
# A line that comes in on the console is a command.
while read -r command; do eval "$command"; done </dev/console &

disks() {
  for disk in /sys/block/vd* /sys/block/sd*; do
    [ -e "$disk/size" ] || continue
    printf ' %s:%dMiB' "${disk##*/}" $(($(cat "$disk/size") / 2048))
  done
}
nics() {
  for nic in /sys/class/net/eth*; do
    [ -e "$nic/address" ] || continue
    printf ' %s:%s' "${nic##*/}" "$(cat "$nic/address")"
  done
}
# Many lines a second, to see for how long the guest stood still.
case " $(cat /proc/cmdline) " in
*" guest.ticks "*)
  tick=0
  while true; do
    echo "guest: tick $tick"
    tick=$((tick + 1))
    sleep 0.05
  done
  ;;
esac
second=0
while true; do
  memory=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
  echo "guest: up ${second}s, cpus $(nproc), memory ${memory}MiB, disks$(disks), nics$(nics)."
  second=$((second + 1))
  sleep 1
done
