# Process 1 of a lab host. It makes the machine (its own mounts, name, addresses), starts the daemons, then reads orders
# from the lab until the lab closes the pipe or dies; when this ends, the kernel ends everything else in the namespaces.
# bash, because it reaps the orphans that fall to process 1: a QEMU that nobody reaps looks alive to libvirt.
set -eu

mount --make-rprivate /
mount -t proc proc /proc
hostname "$LAB_NAME"

# Daemons of the machine itself are not this host's: systemd-machined would learn of guests it cannot see.
[ ! -d /run/dbus ] || mount -t tmpfs none /run/dbus
if [ -z "$LAB_KVM" ] && [ -e /dev/kvm ]; then
	# Read-only, because root may write to any file that is not: libvirt would then think that KVM had just come, and ask
	# QEMU what it can do again, for seconds, on every call.
	: >"$LAB_DIR/no-kvm"
	mount --bind "$LAB_DIR/no-kvm" /dev/kvm
	mount -o remount,bind,ro /dev/kvm
fi

mkdir -p /run/libvirt /run/lock /var/cache/libvirt /var/log/libvirt
mount -t tmpfs -o mode=1777 none /run/lock # the locks of serial consoles, which name processes of this host
mount -t tmpfs -o mode=755 none /run/libvirt
mount --bind "$LAB_DIR/etc" /etc/libvirt
mount --bind "$LAB_DIR/lib" /var/lib/libvirt
mount --bind "$LAB_DIR/log" /var/log/libvirt
mount --bind "$LAB_DIR/cache" /var/cache/libvirt
mkdir -p /var/cache/libvirt/qemu/capabilities
mount --bind "$LAB_CAPABILITIES" /var/cache/libvirt/qemu/capabilities
mount --bind "$LAB_DIR/hosts" /etc/hosts
if [ -n "$LAB_SHARED" ]; then mount --bind "$LAB_SHARED" /var/lib/libvirt/shared; fi
if [ -d /var/lib/swtpm-localca ]; then
	# The TPM's certificate authority writes there, as its own user. It makes itself anew: what the machine's own left there is not the host's.
	chown --reference=/var/lib/swtpm-localca "$LAB_DIR/swtpm-localca"
	chmod --reference=/var/lib/swtpm-localca "$LAB_DIR/swtpm-localca"
	mount --bind "$LAB_DIR/swtpm-localca" /var/lib/swtpm-localca
fi

daemon() {
	rm -f /run/libvirt/libvirtd.pid
	libvirtd --listen -d -p /run/libvirt/libvirtd.pid
}

read -r _
# libvirt reads and sets its bridges through /sys, and a sysfs shows the network namespace it was mounted in.
umount -l /sys
mount -t sysfs sysfs /sys
ip link set lo up
ip addr add "$LAB_ADDR/24" dev eth0
ip link set eth0 up
ip route add default via "$LAB_GATEWAY"

if [ -n "$LAB_SSH" ]; then
	mkdir -p /run/sshd
	/usr/sbin/sshd -f "$LAB_SSH" -E "$LAB_DIR/log/sshd.log"
fi
virtlogd -d -p /run/libvirt/virtlogd.pid
daemon

while read -r order; do
	case $order in
	daemon) daemon ;;
	esac
done
