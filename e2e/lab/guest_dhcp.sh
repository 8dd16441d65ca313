#!/bin/sh
# What udhcpc calls when it has an address.
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr flush dev "$interface"
ip addr add "$ip/${mask:-24}" dev "$interface"
[ -z "$router" ] || ip route replace default via "${router%% *}"
for t in /dev/ttyS0 /dev/ttyAMA0 /dev/tty1; do [ ! -c $t ] || echo "DHCP $ip" > $t; done
exit 0
