package e2e

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

// What leaves a NAT network comes from the host's address, and its answer finds the way back.
func TestPacketsThroughNAT(t *testing.T) {
	e := newEstate(t)
	l, err := net.Listen("tcp", net.JoinHostPort(hosts.Gateway, "0"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			c.Write([]byte("seen-as-" + from + "\n"))
			c.Close()
		}
	}()
	v := e.create(t, e.guest(t, "outgoing", e.hosts[0], 0))
	e.address(t, v.ID)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	inside{t, e, signIn(t, e.Server), v}.says("nc -w 5 "+hosts.Gateway+" "+port+" </dev/null", "seen-as-"+hosts.Hosts[0].Addr)
}

// switching starts an Open vSwitch of the host's own, which forwards in its own process: the kernel's part is not needed.
const switching = `set -e
mkdir -p /run/openvswitch
mount -t tmpfs none /run/openvswitch
cd /run/openvswitch
ovsdb-tool create conf.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server conf.db --remote=punix:/run/openvswitch/db.sock --pidfile --detach --no-chdir --log-file=/run/openvswitch/db.log >out 2>&1
ovs-vsctl --timeout=30 --no-wait init
ovs-vswitchd --pidfile --detach --no-chdir --log-file=/run/openvswitch/switch.log >>out 2>&1
ovs-vsctl --timeout=60 add-br nova-ovs -- set bridge nova-ovs datapath_type=netdev`

const unswitching = `cd /run/openvswitch || exit 0
ovs-vsctl --timeout=30 del-br nova-ovs
kill $(cat ovs-vswitchd.pid) $(cat ovsdb-server.pid)
cd / && umount -l /run/openvswitch`

// VLANs on an Open vSwitch bridge keep guests apart: tags of a port group, a trunk, and a card's own tag, changed while it runs.
func TestVLANsOnAnOpenVSwitchBridge(t *testing.T) {
	e := newEstate(t)
	h := hosts.Hosts[0]
	t.Cleanup(func() {
		dropNetwork(t, "tagged")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		h.Exec(ctx, "sh", "-c", unswitching)
	})
	if out, err := h.Exec(t.Context(), "sh", "-c", switching); err != nil {
		t.Fatalf("Open vSwitch does not start: %v\n%s", err, out)
	}
	e.api.Change(t, "POST", "/api/v1/networks", map[string]any{"name": "tagged", "host": e.hosts[0], "mode": "ovs", "bridge": "nova-ovs", "port_groups": []map[string]any{
		{"name": "red", "default": true, "vlan": map[string]any{"tags": []int{10}}}, {"name": "trunk", "vlan": map[string]any{"trunk": true, "tags": []int{20, 30}}}}}, "succeeded")
	guest := func(name, ip, group, mac string) inside {
		req := e.guest(t, name, e.hosts[0], 0)
		boot := req["boot"].(map[string]any)
		boot["cmdline"] = boot["cmdline"].(string) + " labip=" + ip + "/24"
		req["nics"] = []map[string]any{{"network": "tagged", "port_group": group, "mac": mac}}
		return inside{t, e, signIn(t, e.Server), e.create(t, req)}
	}
	tag := func(vm, column string) string {
		port := strings.Fields(virsh(t, 0, "domiflist", vm))
		for _, w := range port {
			if strings.HasPrefix(w, "vnet") {
				out, err := h.Exec(t.Context(), "ovs-vsctl", "--timeout=30", "get", "port", w, column)
				if err != nil {
					t.Fatal(err)
				}
				return strings.TrimSpace(out)
			}
		}
		return "no port: " + strings.Join(port, " ")
	}
	red, other := guest("red", "10.93.0.1", "red", "52:54:00:93:00:01"), guest("other", "10.93.0.2", "trunk", "52:54:00:93:00:02")
	if a, b := tag("red", "tag"), tag("other", "trunks"); a != "10" || b != "[20, 30]" {
		t.Errorf("the ports have tag %s and trunks %s", a, b)
	}
	if h := e.hardware(t, other.vm.ID); len(h.Pending) != 0 {
		t.Errorf("it has just started, and waits for %+v", h.Pending)
	}
	other.says("ping -c 1 -W 2 10.93.0.2 >/dev/null && echo up-$((1+1))", "up-2")
	red.says("ping -c 2 -W 2 10.93.0.2 >/dev/null || echo apart-$((1+1))", "apart-2")
	e.api.Change(t, "PATCH", "/api/v1/vms/"+other.vm.ID+"/nics/52:54:00:93:00:02", map[string]any{"vlan": map[string]any{"tags": []int{10}}}, "succeeded")
	if b := tag("other", "tag"); b != "10" {
		t.Errorf("the port of the running guest has tag %s", b)
	}
	red.says("ping -c 1 -W 5 10.93.0.2 >/dev/null && echo together-$((1+1))", "together-2")
	e.api.Change(t, "DELETE", "/api/v1/vms/"+other.vm.ID, nil, "succeeded")
	e.api.Change(t, "DELETE", "/api/v1/vms/"+red.vm.ID, nil, "succeeded")
}
