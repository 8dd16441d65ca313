package migrate

import (
	"fmt"
	"strconv"
	"strings"

	"novacron/domain"
	"novacron/views/ui"
)

// Policies is the page of all policies that are written.
type Policies struct {
	Items []domain.ScopedPolicy
	Hosts []domain.Host
	// Tenants may have one of their own, too.
	Tenants []domain.Tenant
}

// Policy is the form of one policy.
type Policy struct {
	Of   domain.ScopedPolicy
	Form PolicyForm
	Err  *domain.Error
}

// PolicyForm is a policy as it was typed.
type PolicyForm struct {
	Downtimes, Stall, After, Bandwidth, Windows, Transport, Parallel, MaxIn, MaxOut, MaxLink string
	TLS, Compress, Never, Shared                                                             bool
}

// FormOf writes a policy as a person would type it.
func FormOf(p domain.MigrationPolicy) PolicyForm {
	f := PolicyForm{Bandwidth: mebi(p.BandwidthBytes), Transport: string(p.Transport), Parallel: number(p.ParallelConnection), MaxIn: number(p.MaxIn), MaxOut: number(p.MaxOut), MaxLink: number(p.MaxLink),
		TLS: p.RequireTLS, Compress: p.Compress, Never: p.NeverMigrate, Shared: p.OnlyShared}
	var ms, windows []string
	for _, n := range p.DowntimeMS {
		ms = append(ms, strconv.Itoa(n))
	}
	for _, w := range p.Windows {
		windows = append(windows, strings.TrimSpace(w.From+"-"+w.To+" "+mebi(w.BandwidthBytes)))
	}
	f.Downtimes, f.Windows = strings.Join(ms, ", "), strings.Join(windows, "\n")
	switch {
	case p.PostCopy:
		f.Stall = "postcopy"
	case p.PauseAfterSeconds > 0:
		f.Stall, f.After = "pause", number(p.PauseAfterSeconds)
	case p.AbortAfterSeconds > 0:
		f.Stall, f.After = "abort", number(p.AbortAfterSeconds)
	case p.NeverSlow:
		f.Stall = "never"
	}
	return f
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func mebi(n int64) string { return number(int(n / domain.MiB)) }

// Read gives the policy that was typed.
func (f PolicyForm) Read() (domain.MigrationPolicy, error) {
	p := domain.MigrationPolicy{RequireTLS: f.TLS, Compress: f.Compress, NeverMigrate: f.Never, OnlyShared: f.Shared, Transport: domain.Transport(f.Transport)}
	var probs domain.Problems
	whole := func(field, v string) int {
		v = strings.TrimSpace(v)
		if v == "" {
			return 0
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > 1<<20 {
			probs.Add("policy."+field, "“"+v+"” is not a number that can be used here.", "a whole number, or nothing")
		}
		return n
	}
	for _, v := range strings.FieldsFunc(f.Downtimes, func(r rune) bool { return r == ',' || r == ' ' }) {
		p.DowntimeMS = append(p.DowntimeMS, whole("downtime_ms", v))
	}
	p.BandwidthBytes = int64(whole("bandwidth_bytes", f.Bandwidth)) * domain.MiB
	for i, line := range strings.Split(f.Windows, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		times, rate, _ := strings.Cut(line, " ")
		from, to, ok := strings.Cut(times, "-")
		if !ok {
			probs.Add("policy.bandwidth_windows", fmt.Sprintf("Line %d, “%s”, is not a window.", i+1, line), "such as 22:00-06:00 400")
			continue
		}
		p.Windows = append(p.Windows, domain.BandwidthWindow{From: from, To: to, BandwidthBytes: int64(whole("bandwidth_windows", rate)) * domain.MiB})
	}
	switch f.Stall {
	case "postcopy":
		p.PostCopy = true
	case "pause":
		p.NeverSlow, p.PauseAfterSeconds = true, max(whole("after", f.After), 1)
	case "abort":
		p.NeverSlow, p.AbortAfterSeconds = true, max(whole("after", f.After), 1)
	case "never":
		p.NeverSlow = true
	}
	p.ParallelConnection, p.MaxIn, p.MaxOut, p.MaxLink = whole("parallel_connections", f.Parallel), whole("max_in", f.MaxIn), whole("max_out", f.MaxOut), whole("max_link", f.MaxLink)
	if err := probs.Err(); err != nil {
		return p, err
	}
	return p, nil
}

// Words says what a policy rules, rule by rule.
func Words(p domain.MigrationPolicy) (out []string) {
	say := func(on bool, format string, args ...any) {
		if on {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	say(p.NeverMigrate, "never moves")
	say(p.OnlyShared, "moves only on shared storage")
	say(p.RequireTLS || p.Transport == domain.TransportTLS, "only encrypted")
	say(p.Transport == domain.TransportTunnelled || p.Transport == domain.TransportPlain, "%s transport", p.Transport)
	say(len(p.DowntimeMS) > 0, "pause of at most %s ms", strings.Trim(strings.ReplaceAll(fmt.Sprint(p.DowntimeMS), " ", ", then "), "[]"))
	say(p.PostCopy, "then post-copy")
	say(p.PauseAfterSeconds > 0, "pauses the guest after %d s", p.PauseAfterSeconds)
	say(p.AbortAfterSeconds > 0, "gives up after %d s", p.AbortAfterSeconds)
	say(p.NeverSlow, "never slows the guest down")
	say(p.BandwidthBytes > 0, "at most %s/s", domain.FormatBytes(p.BandwidthBytes))
	for _, w := range p.Windows {
		rate := "no limit"
		if w.BandwidthBytes > 0 {
			rate = domain.FormatBytes(w.BandwidthBytes) + "/s"
		}
		say(true, "%s to %s: %s", w.From, w.To, rate)
	}
	say(p.ParallelConnection > 1, "%d connections", p.ParallelConnection)
	say(p.Compress, "compressed")
	say(p.MaxIn > 0, "%d in at once", p.MaxIn)
	say(p.MaxOut > 0, "%d out at once", p.MaxOut)
	say(p.MaxLink > 0, "%d on a link at once", p.MaxLink)
	return out
}

var policyStalls = []ui.Option{{Value: "", Label: "What a wider policy says, else slow the guest down"}, {Value: "postcopy", Label: "Post-copy"}, {Value: "pause", Label: "Pause the guest after some seconds and finish"}, {Value: "abort", Label: "Give up after some seconds; the guest stays"}, {Value: "never", Label: "Keep trying; it can be cancelled"}}

var transports = []ui.Option{{Value: "", Label: "TLS when both hosts can, else plain with a warning"}, {Value: "tls", Label: "TLS or not at all"}, {Value: "tunnelled", Label: "Through the daemons' own connection"}, {Value: "plain", Label: "Plain, whatever the hosts can"}}

func scopeWord(s domain.PolicyScope) string {
	return map[domain.PolicyScope]string{domain.PolicyEstate: "Everything", domain.PolicyHost: "Host", domain.PolicyTenant: "Tenant", domain.PolicyVM: "VM"}[s]
}

func policyName(p domain.ScopedPolicy) string {
	if p.Scope == domain.PolicyEstate {
		return "all VMs"
	}
	return p.Name
}
