#!/bin/sh
set -e
# The unit asks for the group that opens libvirt's socket; it is there already where libvirt is.
getent group libvirt >/dev/null || groupadd --system libvirt
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	if systemctl is-active --quiet novacron; then
		systemctl restart novacron # an upgrade
	else
		echo 'Start NovaCron with: systemctl enable --now novacron; the first password is in: journalctl -u novacron'
	fi
fi
