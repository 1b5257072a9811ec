#!/usr/bin/env bash
# Builds the disk of a small Debian that the machine tests boot, from Debian's packages; needs root.
# usage: build-image.sh DIRECTORY     makes there: disk.img, vmlinuz, initrd.img, key, key.pub
# Every network manager of the tests is installed, none is configured: a test writes its own files
# into a copy of the disk, and says on the kernel's command line who is to run.
set -euo pipefail
out=${1:?usage: build-image.sh DIRECTORY}
mkdir -p "$out"
work=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root

# The mirror that this machine's own packages come from.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2> /dev/null |
    sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' |
    grep -E '/debian/?$' | head -n 1 || true)
[ -n "$mirror" ] || { echo "build-image: no Debian mirror among this machine's package sources" >&2; exit 1; }

packages=(systemd-sysv dbus udev kmod openssh-server iproute2 nftables procps
    linux-image-cloud-amd64 initramfs-tools ifupdown network-manager netplan.io)
echo "build-image: installing Debian"
loudly_if_it_fails() { "$@" > "$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }; }
loudly_if_it_fails debootstrap --variant=minbase bookworm "$root" "$mirror"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d" # nothing starts while it is installed
chmod +x "$root/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$root/etc/resolv.conf"
export DEBIAN_FRONTEND=noninteractive
loudly_if_it_fails chroot "$root" apt-get install -y --no-install-recommends "${packages[@]}"
rm "$root/usr/sbin/policy-rc.d"

ssh-keygen -q -t ed25519 -N '' -C 'machine tests' -f "$work/key"
install -d -m 700 "$root/root/.ssh"
install -m 600 "$work/key.pub" "$root/root/.ssh/authorized_keys"
echo machine > "$root/etc/hostname"
echo '/dev/vda / ext4 errors=remount-ro 0 1' > "$root/etc/fstab"
printf '127.0.0.1 localhost machine\n::1 localhost\n' > "$root/etc/hosts"
: > "$root/etc/machine-id"
# Nothing of this starts by itself: the command line wants one of them.
for unit in networking NetworkManager NetworkManager-wait-online NetworkManager-dispatcher ModemManager \
    systemd-networkd systemd-networkd-wait-online wpa_supplicant apt-daily.timer apt-daily-upgrade.timer \
    fstrim.timer e2scrub_all.timer e2scrub_reap dpkg-db-backup.timer; do
    chroot "$root" systemctl disable -q "$unit" 2> /dev/null || true
done
rm -rf "$root/var/cache/apt/archives" "$root/var/lib/apt/lists" "$root/usr/share/doc" "$root/usr/share/locale"

cp "$root"/boot/vmlinuz-* "$work/vmlinuz"
cp "$root"/boot/initrd.img-* "$work/initrd.img"
rm -f "$root"/boot/*
echo "build-image: making the disk"
mkfs.ext4 -q -F -O ^has_journal -d "$root" "$work/disk.img" 1200M
mv "$work"/{disk.img,vmlinuz,initrd.img,key,key.pub} "$out/"
