# Process 1 of a cheap host: a libvirtd with its state in memory. It shares the machine's network, because its address is a
# port of 127.0.0.1, and ends when the lab closes the pipe or dies.
set -eu

mount --make-rprivate /
mount -t proc proc /proc
hostname "$LAB_NAME"
[ ! -d /run/dbus ] || mount -t tmpfs none /run/dbus
if [ -e /dev/kvm ]; then
	: >"$LAB_DIR/no-kvm"
	mount --bind "$LAB_DIR/no-kvm" /dev/kvm
	mount -o remount,bind,ro /dev/kvm
fi
mkdir -p /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt
for d in /run/libvirt /var/lib/libvirt /var/log/libvirt /etc/libvirt; do mount -t tmpfs -o mode=755,size=16m none $d; done
# Asked for its name, libvirtd looks it up: a hundred at once in DNS, which nobody answers for, takes seconds.
printf '127.0.0.1 localhost %s\n' "$LAB_NAME" >/run/libvirt/hosts
mount --bind /run/libvirt/hosts /etc/hosts
mkdir -p /var/cache/libvirt/qemu/capabilities
mount --bind "$LAB_CAPABILITIES" /var/cache/libvirt/qemu/capabilities
mkdir -p /etc/libvirt/qemu/networks /etc/libvirt/nwfilter
printf 'user="root"\ngroup="root"\nsecurity_driver="none"\ncgroup_controllers=[]\nnamespaces=[]\nstdio_handler="file"\n' >/etc/libvirt/qemu.conf

libvirtd --listen -f "$LAB_DIR/libvirtd.conf" -p /run/libvirt/libvirtd.pid &
while read -r _; do :; done
