package libvirt

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
)

// answer is what a scripted daemon says to one procedure.
type answer struct {
	status uint32
	body   []byte
}

func rpcError(code golibvirt.ErrorNumber, msg string) answer {
	var w xdrWriter
	w.uint32(uint32(code))
	w.uint32(0)
	w.optString(msg)
	w.uint32(2)
	for range 6 {
		w.uint32(0)
	}
	return answer{statusError, w.b}
}

func numbers(vs ...uint32) answer {
	var w xdrWriter
	for _, v := range vs {
		w.uint32(v)
	}
	return answer{statusOK, w.b}
}

// scripted is a daemon that answers each procedure as told, and is silent on others. It gives the port.
func scripted(t *testing.T, script map[uint32]answer) string {
	return serve(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			head := make([]byte, headerSize)
			if _, err := io.ReadFull(r, head); err != nil {
				return
			}
			h := parseHeader(head)
			if _, err := io.CopyN(io.Discard, r, int64(h.length)-headerSize); err != nil {
				return
			}
			a, ok := script[h.proc]
			if !ok {
				continue
			}
			var out []byte
			for _, v := range []uint32{uint32(headerSize + len(a.body)), h.program, h.version, h.proc, typeReply, uint32(h.serial), a.status} {
				out = binary.BigEndian.AppendUint32(out, v)
			}
			if _, err := c.Write(append(out, a.body...)); err != nil {
				return
			}
		}
	})
}

func TestDaemonsThatDoNotLetUsIn(t *testing.T) {
	for name, c := range map[string]struct {
		script map[uint32]answer
		step   string
		code   domain.Code
		words  string
	}{
		"only SASL":               {map[uint32]answer{procAuthList: numbers(1, authSASL), procConnectOpen: rpcError(golibvirt.ErrRPC, "authentication required")}, stepPermission, domain.Invalid, "SASL"},
		"polkit says no":          {map[uint32]answer{procAuthList: numbers(1, authPolkit), procAuthPolkit: rpcError(golibvirt.ErrAuthUnavailable, "no agent is available")}, stepPermission, domain.Invalid, "group libvirt"},
		"no such driver":          {map[uint32]answer{procAuthList: numbers(1, authNone), procConnectOpen: rpcError(golibvirt.ErrNoConnect, "no connection driver available")}, stepDaemon, domain.Unavailable, "no connection driver"},
		"does not say what it is": {map[uint32]answer{procAuthList: numbers(1, authNone), procConnectOpen: numbers(), 3: rpcError(golibvirt.ErrInternalError, "broken")}, stepFacts, domain.Unavailable, "broken"},
		"opens, then is silent":   {map[uint32]answer{procAuthList: numbers(1, authNone), procConnectOpen: numbers()}, stepFacts, domain.Unavailable, "did not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			port := scripted(t, c.script)
			_, steps, err := newTestDialer(t).Dial(ctxFor(t, time.Second), hv.Target{URI: "qemu+tcp://127.0.0.1:" + port + "/system"})
			wantStep(t, steps, err, c.step, c.code, c.words)
		})
	}
}

func TestWireRefusesFramesThatCannotBe(t *testing.T) {
	frame := func(words ...uint32) []byte {
		var b []byte
		for _, w := range words {
			b = binary.BigEndian.AppendUint32(b, w)
		}
		return b
	}
	for name, bytes := range map[string][]byte{
		"too short": frame(4, remoteProgram, 1, 1, 1, 1, 0), // go-libvirt would panic
		"too long":  frame(1<<30, remoteProgram, 1, 1, 1, 1, 0),
		"other":     frame(28, 0x47455420, 1, 1, 1, 1, 0),
		"cut off":   frame(64, remoteProgram, 1, 1, 2, 1, 0),
		"kind":      frame(28, remoteProgram, 1, 1, 77, 1, 0),
	} {
		client, server := net.Pipe()
		go func() { server.Write(bytes); server.Close() }()
		w := newWire(client)
		if _, err := io.ReadAll(w); err == nil && name != "cut off" {
			t.Errorf("%s: no error", name)
		}
		if w.ended() == nil {
			t.Errorf("%s: the connection stands", name)
		}
	}
}

// eventBody builds the body of an event.
func eventBody(parts ...any) []byte {
	var w xdrWriter
	for _, p := range parts {
		switch v := p.(type) {
		case int:
			w.uint32(uint32(v))
		case string:
			w.string(v)
		case domainRef:
			w.domain(v)
		}
	}
	return w.b
}

func TestEventsInWords(t *testing.T) {
	h := dialURI(t, daemon(t).TestURI())
	d := domainRef{name: "web-1", uuid: [16]byte{0xaa, 1}, id: 3} // not on this host: whatever stops is gone
	uuid := uuidText(d.uuid)
	var got []hv.Event
	te := &teller{h: h, fn: func(e hv.Event) { got = append(got, e) }, ended: map[string]string{}, balloons: map[string]rawEvent{}}
	for _, c := range []struct {
		proc   uint32
		body   []byte
		kind   hv.EventKind // empty: nothing is told
		state  domain.VMState
		detail string
	}{
		{evLifecycle, eventBody(1, d, 0, 0), hv.GuestDefined, "", "defined"},
		{evLifecycle, eventBody(1, d, 0, 2), hv.GuestDefined, "", "renamed"},
		{evLifecycle, eventBody(1, d, 1, 0), hv.GuestGone, "", "its definition was removed"},
		{evLifecycle, eventBody(1, d, 1, 1), "", "", ""},
		{evLifecycle, eventBody(1, d, 2, 1), hv.GuestState, domain.VMRunning, "migrated here"},
		{evLifecycle, eventBody(1, d, 3, 2), hv.GuestState, domain.VMPaused, "paused because of a disk error"},
		{evLifecycle, eventBody(1, d, 3, 99), hv.GuestState, domain.VMPaused, ""},
		{evLifecycle, eventBody(1, d, 4, 0), hv.GuestState, domain.VMRunning, "resumed"},
		{evLifecycle, eventBody(1, d, 6, 2), "", "", ""},
		{evLifecycle, eventBody(1, d, 5, 0), hv.GuestGone, "", "shut down by a signal on the host"},
		{evLifecycle, eventBody(1, d, 5, 5), hv.GuestGone, "", "QEMU failed"},
		{evLifecycle, eventBody(1, d, 7, 0), hv.GuestState, domain.VMPaused, "put to sleep by the guest"},
		{evLifecycle, eventBody(1, d, 8, 0), hv.GuestState, domain.VMCrashed, "the guest's kernel panicked"},
		{evReboot, eventBody(1, d), hv.GuestState, domain.VMRunning, "rebooted"},
		{evWatchdog, eventBody(1, d, 1), hv.GuestTrouble, "", "the watchdog fired: it was paused"},
		{evIOErrorReason, eventBody(1, d, "/img/a.qcow2", "virtio-disk0", 1, "enospc"), hv.GuestTrouble, "", "disk error on /img/a.qcow2 (enospc), so it was paused"},
		{evIOErrorReason, eventBody(1, d, "", "virtio-disk0", 2, ""), hv.GuestTrouble, "", "disk error on virtio-disk0, which the guest was told"},
		{evControlError, eventBody(1, d), hv.GuestTrouble, "", "libvirt lost its connection to QEMU"},
		{evRemovalFailed, eventBody(1, d, "net0"), hv.GuestTrouble, "", "the guest did not let go of the device net0"},
		{evBlockJob, eventBody(1, d, "/img/a", 2, 1), hv.GuestChanged, "", "a block job on /img/a failed"},
		{evBlockJob, eventBody(1, d, "/img/a", 2, 3), "", "", ""},
		{evDiskChange, eventBody(1, d), hv.GuestChanged, "", "the medium of a disk changed"},
		{evTrayChange, eventBody(1, d, "ide0-0-0", 0), hv.GuestChanged, "", "the tray of ide0-0-0 was opened"},
		{evPMWakeup, eventBody(1, 0, d), hv.GuestState, domain.VMRunning, "woken up"},
		{evPMSuspend, eventBody(1, 0, d), hv.GuestState, domain.VMPaused, "put to sleep by the guest"},
		{evDeviceRemoved, eventBody(1, d, "net0"), hv.GuestChanged, "", "the device net0 was removed"},
		{evDeviceAdded, eventBody(1, d, "net0"), hv.GuestChanged, "", "the device net0 was added"},
		{evTunable, eventBody(1, d), hv.GuestChanged, "", "its tuning changed"},
		{evAgent, eventBody(1, d, 1, 2), hv.GuestChanged, "", "the guest agent connected"},
		{evMetadataChange, eventBody(1, d, 0), hv.GuestChanged, "", "its description changed"},
	} {
		e, ok := decodeEvent(c.proc, c.body)
		if !ok {
			t.Errorf("%d %x: not read", c.proc, c.body)
			continue
		}
		got = nil
		te.translate(t.Context(), e)
		if c.kind == "" {
			if len(got) != 0 {
				t.Errorf("%d: told %+v", c.proc, got)
			}
			continue
		}
		if len(got) != 1 || got[0].Kind != c.kind || got[0].State != c.state || got[0].Detail != c.detail || got[0].UUID != uuid || got[0].Name != "web-1" {
			t.Errorf("%d: got %+v, want %s %s %q", c.proc, got, c.kind, c.state, c.detail)
		}
	}
	for _, body := range [][]byte{nil, {0, 0, 0, 1}, eventBody(1, 2000000000), eventBody(1, 5, 1)} {
		if _, ok := decodeEvent(evLifecycle, body); ok {
			t.Errorf("%x is taken", body)
		}
	}
	if _, ok := decodeEvent(1, nil); ok {
		t.Error("an unknown message is taken")
	}
}

func TestBalloonIsToldOnceAPause(t *testing.T) {
	h := dialURI(t, daemon(t).TestURI())
	d := domainRef{name: "web-1", uuid: [16]byte{0xaa, 2}}
	told := make(chan hv.Event, 100)
	q := &eventQueue{wake: make(chan struct{}, 1)}
	go (&teller{h: h, fn: func(e hv.Event) { told <- e }, ended: map[string]string{}, balloons: map[string]rawEvent{}}).run(t.Context(), q)
	for range 50 {
		q.push(rawEvent{proc: evBalloon, dom: d})
	}
	q.push(rawEvent{proc: evReboot, dom: d})
	if e := <-told; e.Detail != "rebooted" {
		t.Errorf("%+v", e)
	}
	if e := <-told; e.Kind != hv.GuestChanged || len(told) != 0 {
		t.Errorf("%+v and %d more", e, len(told))
	}
}

func TestGuestStates(t *testing.T) {
	for _, c := range []struct {
		state, reason int32
		saved         bool
		want          domain.VMState
		words         string
	}{
		{1, 1, false, domain.VMRunning, "started"},
		{2, 0, false, domain.VMRunning, ""},
		{3, 5, false, domain.VMPaused, "paused because of a disk error"},
		{3, 11, false, domain.VMRunning, "starting up"},
		{3, 10, false, domain.VMCrashed, "the guest crashed"},
		{4, 0, false, domain.VMRunning, "shutting down"},
		{5, 1, false, domain.VMStopped, "shut down by the guest"},
		{5, 5, true, domain.VMSaved, "its memory is kept on the host"},
		{5, 3, false, domain.VMCrashed, "QEMU ended unexpectedly"},
		{5, 6, false, domain.VMCrashed, "the start failed"},
		{5, -1, false, domain.VMStopped, ""},
		{6, 1, false, domain.VMCrashed, "the guest's kernel panicked"},
		{7, 0, false, domain.VMPaused, "put to sleep by the guest"},
	} {
		if got := guestState(c.state, c.reason, c.saved); got.State != c.want || got.Reason != c.words {
			t.Errorf("%d %d: %+v", c.state, c.reason, got)
		}
	}
}

func TestErrorsAreToldApartByNumber(t *testing.T) {
	for number, want := range map[golibvirt.ErrorNumber]domain.Code{
		golibvirt.ErrNoDomain: domain.NotFound, golibvirt.ErrOperationInvalid: domain.Conflict, golibvirt.ErrInternalError: domain.Conflict,
		golibvirt.ErrNoSupport: domain.Unsupported, golibvirt.ErrAuthFailed: domain.Denied, golibvirt.ErrXMLError: domain.Invalid, golibvirt.ErrOperationTimeout: domain.Unavailable,
	} {
		err := fromDaemon("do it", golibvirt.Error{Code: uint32(number), Message: "says no.\n"})
		if domain.CodeOf(err) != want || err.Error() == "" {
			t.Errorf("%d: %v (%s)", number, err, domain.CodeOf(err))
		}
	}
	if err := fromDaemon("do it", io.ErrUnexpectedEOF); !domain.Is(err, domain.Internal) {
		t.Error(err)
	}
	if err := fromDaemon("do it", golibvirt.ErrUnsupported); !domain.Is(err, domain.Unsupported) {
		t.Error(err)
	}
}
