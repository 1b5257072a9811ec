#!/usr/bin/env bash
# Builds the disk of a small Debian that the machine tests boot, from Debian's packages; needs root.
# usage: build-image.sh DIRECTORY SUITE PACKAGE...
# Makes in DIRECTORY: disk.img, key, key.pub, and vmlinuz-RELEASE and initrd.img-RELEASE of every
# kernel among the packages. Nothing that is installed starts by itself but SSH: a test writes its
# own files into a copy of the disk, and says on the kernel's command line which units are to run.
set -euo pipefail
out=${1:?usage: build-image.sh DIRECTORY SUITE PACKAGE...} suite=${2:?a suite} packages=("${@:3}")
mkdir -p "$out"
work=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root
loudly_if_it_fails() { "$@" > "$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }; }

# The mirrors that this machine's own packages come from: mirror debian, mirror debian-security.
mirror() {
    local found
    found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2> /dev/null |
        sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' |
        grep -E "/$1/?\$" | head -n 1 || true)
    [ -n "$found" ] || { echo "build-image: no $1 mirror among this machine's package sources" >&2; exit 1; }
    echo "$found"
}
main=$(mirror debian) security=$(mirror debian-security)

echo "build-image: installing Debian ($suite)"
loudly_if_it_fails debootstrap --variant=minbase "$suite" "$root" "$main"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d" # nothing starts while it is installed
chmod +x "$root/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf 'deb %s %s main\n' "$main" "$suite" "$security" "$suite-security" > "$root/etc/apt/sources.list"
export DEBIAN_FRONTEND=noninteractive
loudly_if_it_fails chroot "$root" apt-get update
loudly_if_it_fails chroot "$root" apt-get install -y --no-install-recommends \
    systemd-sysv dbus udev kmod openssh-server iproute2 procps initramfs-tools "${packages[@]}"
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

cp "$root"/boot/vmlinuz-* "$root"/boot/initrd.img-* "$work/"
rm -f "$root"/boot/*
echo "build-image: making the disk"
mkfs.ext4 -q -F -O ^has_journal -d "$root" "$work/disk.img" 1800M
mv "$work"/{vmlinuz-*,initrd.img-*,disk.img,key,key.pub} "$out/"
