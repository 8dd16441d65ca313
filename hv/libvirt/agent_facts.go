package libvirt

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
)

func (h *host) GuestFacts(ctx context.Context, uuid string) (domain.GuestFacts, error) {
	got := make(chan domain.GuestFacts, 1)
	err := h.agent(ctx, uuid, agentQuick, "ask the agent of", func(l *golibvirt.Libvirt, d golibvirt.Domain) error {
		f, err := agentFacts(l, d)
		if err == nil {
			got <- f
		}
		return err
	})
	if err != nil {
		return domain.GuestFacts{}, err
	}
	return <-got, nil
}

func agentFacts(l *golibvirt.Libvirt, d golibvirt.Domain) (domain.GuestFacts, error) {
	var info struct{ Version string }
	if err := agentCommand(l, d, agentQuick, "guest-info", nil, &info); err != nil {
		return domain.GuestFacts{}, err
	}
	is, _, err := frozen(l, d)
	if err != nil {
		return domain.GuestFacts{}, err
	}
	if is { // it answers nothing else until it is thawed
		return domain.GuestFacts{Agent: info.Version, Frozen: true}, nil
	}
	params, err := l.DomainGetGuestInfo(d, 0, 0)
	if err != nil {
		return domain.GuestFacts{}, err
	}
	f := readGuestInfo(params)
	f.Agent = info.Version
	var nanos int64
	err = agentCommand(l, d, agentQuick, "guest-get-time", nil, &nanos)
	if err == nil {
		now := time.Now()
		f.Clock = time.Unix(0, nanos).UTC()
		f.Skew = f.Clock.Sub(now).Round(time.Millisecond)
	}
	if err == nil || lacks(err) {
		if len(f.Load) == 0 && !f.Windows() {
			f.Load, err = guestLoad(l, d)
		}
	}
	if lacks(err) {
		err = nil
	}
	return f, err
}

// lacks reports whether an agent said that it cannot do something, or will not: then the rest can still be asked for.
func lacks(err error) bool {
	n := number(err)
	return n != 0 && n != golibvirt.ErrAgentUnresponsive && n != golibvirt.ErrAgentCommandTimeout && n != golibvirt.ErrAgentUnsynced && n != golibvirt.ErrOperationInvalid
}

// guestLoad reads the load from the file where Linux shows it: agents before version 9.2 have no question for it, and libvirt before 11 none either.
func guestLoad(l *golibvirt.Libvirt, d golibvirt.Domain) ([]float64, error) {
	var handle int64
	if err := agentCommand(l, d, agentQuick, "guest-file-open", map[string]string{"path": "/proc/loadavg", "mode": "r"}, &handle); err != nil {
		return nil, err
	}
	var data struct {
		Buf string `json:"buf-b64"`
	}
	err := agentCommand(l, d, agentQuick, "guest-file-read", map[string]int64{"handle": handle, "count": 128}, &data)
	if cerr := agentCommand(l, d, agentQuick, "guest-file-close", map[string]int64{"handle": handle}, nil); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	text, err := base64.StdEncoding.DecodeString(data.Buf)
	if err != nil {
		return nil, nil // not what Linux writes there
	}
	return parseLoad(string(text)), nil
}

func parseLoad(text string) []float64 {
	words := strings.Fields(text)
	if len(words) < 3 {
		return nil
	}
	load := make([]float64, 3)
	for i := range load {
		v, err := strconv.ParseFloat(words[i], 64)
		if err != nil || v < 0 {
			return nil
		}
		load[i] = v
	}
	return load
}

// most bounds what is read of any list: the numbers come from inside the guest, and a guest may lie.
const mostListed = 256

// guestInfo is libvirt's flat list of what an agent told, by name.
type guestInfo map[string]any

func (g guestInfo) text(name string) string {
	s, _ := g[name].(string)
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	return s[:min(len(s), 512)]
}

func (g guestInfo) number(name string) int64 {
	switch v := g[name].(type) {
	case uint64:
		return int64(v & (1<<63 - 1))
	case int64:
		return v
	case uint32:
		return int64(v)
	case int32:
		return int64(v)
	}
	return 0
}

func (g guestInfo) count(name string) int { return int(max(0, min(g.number(name), mostListed))) }

func readGuestInfo(params []golibvirt.TypedParam) domain.GuestFacts {
	g := make(guestInfo, len(params))
	for _, p := range params {
		g[p.Field] = p.Value.I
	}
	f := domain.GuestFacts{Hostname: g.text("hostname"), OSID: g.text("os.id"), OSName: g.text("os.pretty-name"), Kernel: g.text("os.kernel-release"), Machine: g.text("os.machine"), Timezone: g.text("timezone.name")}
	if f.OSName == "" {
		f.OSName = strings.TrimSpace(g.text("os.name") + " " + g.text("os.version"))
	}
	for i := range g.count("user.count") {
		at := "user." + strconv.Itoa(i)
		u := domain.GuestUser{Name: g.text(at + ".name"), Domain: g.text(at + ".domain")}
		if ms := g.number(at + ".login-time"); ms > 0 {
			u.Since = time.UnixMilli(ms).UTC()
		}
		f.Users = append(f.Users, u)
	}
	for i := range g.count("fs.count") {
		at := "fs." + strconv.Itoa(i)
		fs := domain.GuestFileSystem{Mount: g.text(at + ".mountpoint"), Device: g.text(at + ".name"), Type: g.text(at + ".fstype"), TotalBytes: g.number(at + ".total-bytes"), UsedBytes: g.number(at + ".used-bytes")}
		for j := range g.count(at + ".disk.count") {
			if alias := g.text(at + ".disk." + strconv.Itoa(j) + ".alias"); alias != "" {
				fs.Disks = append(fs.Disks, alias)
			}
		}
		f.FileSystems = append(f.FileSystems, fs)
	}
	for i := range g.count("if.count") {
		at := "if." + strconv.Itoa(i)
		c := domain.GuestCard{Name: g.text(at + ".name"), MAC: strings.ToLower(g.text(at + ".hwaddr"))}
		for j := range g.count(at + ".addr.count") {
			ad := at + ".addr." + strconv.Itoa(j)
			if ip := g.text(ad + ".addr"); ip != "" {
				c.Addresses = append(c.Addresses, ip+"/"+strconv.FormatInt(g.number(ad+".prefix"), 10))
			}
		}
		f.Cards = append(f.Cards, c)
	}
	if one, ok := g["load.1m"].(float64); ok {
		five, _ := g["load.5m"].(float64)
		fifteen, _ := g["load.15m"].(float64)
		f.Load = []float64{one, five, fifteen}
	}
	return f
}
