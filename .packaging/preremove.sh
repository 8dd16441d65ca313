#!/bin/sh
set -e
# "remove" is dpkg's word and 0 is rpm's; an upgrade leaves the server to the new package.
case ${1:-} in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now --quiet novacron || true
	fi
	;;
esac
