#!/bin/busybox sh
# Process 1 of the tiny guest. Every line it prints goes to the serial port and to the screen.
/bin/busybox mkdir -p /bin /sbin
/bin/busybox --install -s /bin
ln -sf /bin/busybox /sbin/hwclock # where the guest agent looks for it
export PATH=/bin:/sbin HOME=/root TERM=linux
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs -o size=80% tmpfs /tmp
echo 3 > /proc/sys/kernel/printk

# busybox's poweroff, halt and reboot ask process 1 with these signals.
trap 'sync; busybox poweroff -f' USR2
trap 'sync; busybox halt -f' USR1
trap 'sync; busybox reboot -f' TERM

while read -r m; do insmod /lib/modules/$m.ko 2>/dev/null; done < /etc/modules

arg() { for x in $(cat /proc/cmdline); do case $x in $1=*) echo "${x#*=}" ;; esac; done; }

SERIAL=
for tty in ttyS0 ttyAMA0 hvc0; do
	# A port that is not there can be opened but has no settings.
	if [ -c /dev/$tty ] && stty -F /dev/$tty >/dev/null 2>&1; then SERIAL=/dev/$tty; break; fi
done
SCREEN=
[ -c /dev/tty1 ] && SCREEN=/dev/tty1

say() {
	[ -z "$SERIAL" ] || echo "$*" > $SERIAL
	[ -z "$SCREEN" ] || echo "$*" > $SCREEN
}

mkdir -p /run
[ ! -e /dev/input/event0 ] || acpid -c /etc/acpi -p /run/acpid.pid -l /dev/null

hostname nova-guest
ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
	ip link set eth0 up
	IP=$(arg labip)
	if [ -n "$IP" ]; then
		ip addr add $IP dev eth0
	elif [ "$(arg labdhcp)" != 0 ]; then
		udhcpc -i eth0 -b -q -s /etc/dhcp.sh >/dev/null 2>&1 &
	fi
fi

# The agent, on the port that the host has for it, and a small disk in memory: what has no disk cannot be frozen.
for port in /sys/class/virtio-ports/*; do
	[ -x /bin/qemu-ga ] && [ "$(cat $port/name 2>/dev/null)" = org.qemu.guest_agent.0 ] || continue
	if dd if=/dev/zero of=/run/disk bs=1M count=4 2>/dev/null && mke2fs -F /run/disk >/dev/null 2>&1; then mount -o loop /run/disk /mnt; fi
	qemu-ga -d -m virtio-serial -p /dev/${port##*/} -l /run/qemu-ga.log -f /run/qemu-ga.pid -t /run
done

# The screen: a banner, a line that changes each second, and a shell below.
if [ -n "$SCREEN" ]; then
	printf '\033[2J\033[H\033[44;97m%-80s\033[0m\n\n' '  NovaCron demo guest' > $SCREEN
	printf '\033[32m  %s\033[0m\n' "Linux $(uname -r), $(grep -c ^processor /proc/cpuinfo) vCPU, $(awk '/MemTotal/ {print int($2/1024)}' /proc/meminfo) MiB" > $SCREEN
	printf '  Type commands here or on the serial port. "poweroff" and the power button both work.\n\n' > $SCREEN
fi
say "NOVA-GUEST-UP $(cut -d' ' -f1 /proc/uptime)"

if [ "$(arg labtick)" = 1 ]; then
	(
		n=0
		while true; do
			n=$((n + 1))
			[ -z "$SERIAL" ] || echo "tick $n" > $SERIAL
			[ -z "$SCREEN" ] || printf '\0337\033[1;60H\033[44;97mtick %-6s\033[0m\0338' $n > $SCREEN
			sleep 1
		done
	) &
fi

# Holds H MiB of memory that is not zeros.
H=$(arg labhold)
D=$(arg labdirty)
[ -z "$H$D" ] || dd if=/dev/urandom of=/tmp/seed bs=1M count=5 2>/dev/null
if [ -n "$H" ]; then
	i=0
	while [ $i -lt $H ]; do
		c=$((H - i)); [ $c -le 5 ] || c=5
		dd if=/tmp/seed of=/tmp/hold bs=1M count=$c seek=$i conv=notrunc 2>/dev/null
		i=$((i + c))
	done
	say NOVA-GUEST-HOLDS $H
fi

# Sends B an echo request every 10 ms, once it holds its memory. Whose card has that address does not matter, nor whether anybody answers: requests are counted where they leave.
B=$(arg labbeat)
if [ -n "$B" ]; then
	arp -s $B 02:00:00:00:00:01
	ping -i 0.01 $B >/dev/null 2>&1 &
fi

# Writes D MiB of memory in each second, as far as the processor can, and never what is there already: the same bytes again are no change to who samples pages.
if [ -n "$D" ]; then
	(
		n=0
		while true; do
			n=$((n + 1))
			(
				i=0
				while [ $i -lt $D ]; do
					c=$((D - i)); [ $c -le 4 ] || c=4
					dd if=/tmp/seed of=/tmp/dirty bs=1M count=$c seek=$i skip=$((n % 2)) conv=notrunc 2>/dev/null
					i=$((i + c))
				done
			) &
			sleep 1
			wait $!
		done
	) &
fi

W=$(arg labwrite)
if [ -n "$W" ]; then
	(
		n=0
		while true; do
			n=$((n + 1))
			dd if=/dev/urandom of=/dev/vda bs=64k count=1 seek=$((n % W)) conv=notrunc,fsync 2>/dev/null
			sleep 0.2
		done
	) &
fi

# A log on the disk: record N, of 512 bytes, is at N*512: its number, how often the pattern in memory was found whole and broken, and their checksum. Each is on the disk before
# the next is begun. The pattern is so many MiB; what fills the disk from 16 MiB on, F MiB, is only there to be copied.
L=$(arg lablog)
if [ -n "$L" ]; then
	F=$(arg labfill)
	dd if=/dev/urandom of=/tmp/pattern bs=1M count=$L 2>/dev/null
	i=0
	while [ $i -lt "${F:-0}" ]; do
		dd if=/tmp/pattern of=/dev/vda bs=1M seek=$((16 + i)) count=$((F - i)) conv=notrunc 2>/dev/null
		i=$((i + L))
	done
	SUM=$(md5sum < /tmp/pattern)
	echo 0 0 > /tmp/found
	(
		whole=0 broken=0
		while true; do
			if [ "$(md5sum < /tmp/pattern)" = "$SUM" ]; then whole=$((whole + 1)); else broken=$((broken + 1)); fi
			echo $whole $broken > /tmp/found.new
			mv /tmp/found.new /tmp/found
			sleep 0.5
		done
	) &
	(
		n=0
		while true; do
			record="$n $(cat /tmp/found)"
			echo "record $record $(echo "$record" | md5sum | cut -c1-32) end" | dd of=/dev/vda bs=512 count=1 seek=$n conv=sync,notrunc,fsync 2>/dev/null
			n=$((n + 1))
			sleep 0.2
		done
	) &
fi

P=$(arg labping)
[ -z "$P" ] || (ping "$P" | while read -r line; do say "PING $line"; done) &

# A session leader that opens a terminal gets it: Ctrl-C works in these shells.
shell() { while true; do setsid sh -c "exec sh -i <$1 >$1 2>&1"; sleep 1; done; }
export PS1='nova-guest:\w# '
[ -z "$SCREEN" ] || shell $SCREEN &
[ -z "$SERIAL" ] || shell $SERIAL &

# Process 1 reaps what is left to it, for ever.
while true; do wait; sleep 0.2; done
