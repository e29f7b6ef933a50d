#!/bin/bash
# The guest's first process: Debian's udev and sshd, and nothing else, since an emulated processor
# takes minutes for all that systemd starts.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mountpoint -q /dev || mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts -o gid=5,mode=620 pts /dev/pts
mount -t tmpfs run /run
mount -t tmpfs -o mode=1777 tmp /tmp
mkdir -p /run/sshd /run/lock
hostname usbrig
ip link set lo up
for module in virtio_net 9pnet_virtio 9p xhci_pci af_packet; do modprobe "$module"; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=524288 src /src
link=$(ls /sys/class/net | grep -v lo | head -1)
ip link set "$link" up
ip address add 10.0.2.15/24 dev "$link"
ip route add default via 10.0.2.2
/lib/systemd/systemd-udevd --daemon
udevadm trigger --subsystem-match=tty --subsystem-match=usb
udevadm settle
/usr/sbin/sshd
echo guest is up >/dev/ttyS0
while true; do wait; sleep 1; done
