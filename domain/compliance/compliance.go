// Package compliance judges how well this server and its hosts are kept, in the manner of the CIS benchmarks: each check says whether it holds, why it
// matters and how to mend it. It judges facts that it is given and reads nothing; what is not known is said to be unknown, never to hold.
package compliance

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"novacron/domain"
)

// State is what came of a check.
type State string

const (
	Holds   State = "holds"
	Fails   State = "fails"
	Unknown State = "unknown"
)

// Judgement is one check with what came of it.
type Judgement struct {
	ID    string   `json:"id" example:"people.mfa"`
	Area  string   `json:"area" enum:"Server,Hosts,People,Tokens"`
	Title string   `json:"title"`
	State State    `json:"state" enum:"holds,fails,unknown"`
	Found string   `json:"found" doc:"What was found"`
	Named []string `json:"named" nullable:"false" doc:"What or who it is about, when it fails"`
	Why   string   `json:"why" doc:"Why it matters"`
	Fix   string   `json:"fix" doc:"How to mend it"`
	URL   string   `json:"url" doc:"The page to mend it on; may be empty"`
}

// Server is how this server runs.
type Server struct {
	TLS            bool // it answers HTTPS itself
	SecureCookies  bool // a proxy in front does
	Proxies        []string
	FetchLocal     bool
	KeyBeside      bool // the key of secrets lies beside the database
	AuditRetention time.Duration
	AuditTargets   []string
}

// Person is an account that may sign in.
type Person struct {
	Name       string
	Admin      bool // a platform admin
	MFA        bool
	OneTime    bool // has a password to be changed at the first sign-in
	Outside    bool // signs in by another system
	CreatedAt  time.Time
	LastSignIn time.Time
}

// Target is where the audit log is sent to.
type Target struct{ Name, Error string }

// Move is a migration of late.
type Move struct {
	VM        string
	Encrypted bool
}

// Facts are what is judged.
type Facts struct {
	Now     time.Time
	Server  Server
	Targets []Target
	Hosts   []domain.Host
	Moves   []Move
	People  []Person
	Policy  domain.SignInPolicy
	Admin   string // id of the platform admin's role
	Plain   []string
	Tokens  []domain.Token
}

// Bounds that the checks hold to.
const (
	staleDays   = 90
	auditDays   = 365
	idleMost    = 60 // minutes
	lifeMost    = 24 // hours
	stepUpMost  = 60 // minutes
	adminsLeast = 2
	adminsMost  = 4
	widest      = 16 // bits of a trusted network of IPv4
)

// Judge makes all checks, in the order of the page.
func Judge(f Facts) []Judgement {
	var out []Judgement
	for _, part := range []func(Facts) []Judgement{server, hosts, people, tokens} {
		out = append(out, part(f)...)
	}
	for i := range out {
		if out[i].Named == nil {
			out[i].Named = []string{}
		}
	}
	return out
}

func state(holds bool) State {
	if holds {
		return Holds
	}
	return Fails
}

// among is a check that fails for each of those that are named.
func among(c Judgement, all int, bad []string, good, wrong string) Judgement {
	slices.Sort(bad)
	c.Named, c.State = bad, state(len(bad) == 0)
	if c.Found = good; len(bad) > 0 {
		c.Found = fmt.Sprintf("%d of %d %s.", len(bad), all, wrong)
	}
	return c
}

func server(f Facts) []Judgement {
	s := f.Server
	tls := Judgement{ID: "server.tls", Area: "Server", Title: "Pages and the API are served over TLS", State: state(s.TLS || s.SecureCookies), Found: "This server answers HTTPS itself.",
		Why: "Without TLS passwords, sessions and tokens can be read on the way.", Fix: "Start it with --tls-cert and --tls-key or with --acme-domain, or put a proxy with TLS in front and set --secure-cookies and --trusted-proxy."}
	switch {
	case tls.State == Fails:
		tls.Found = "It answers plain HTTP, and nothing says that a proxy in front serves HTTPS."
	case !s.TLS:
		tls.Found = "A proxy in front is said to serve HTTPS."
	}
	var wide []string
	for _, p := range s.Proxies {
		n, err := netip.ParsePrefix(p)
		if err == nil && (n.Addr().Is4() && n.Bits() < widest || n.Addr().Is6() && n.Bits() < 3*widest) {
			wide = append(wide, p)
		}
	}
	proxies := among(Judgement{ID: "server.proxies", Area: "Server", Title: "Only named proxies may say on whose behalf they ask", Why: "Whoever is believed can give any address: limits of sign-ins, conditions on networks and the audit log rely on it.",
		Fix: "Give --trusted-proxy the addresses of the proxies alone."}, len(s.Proxies), wide, "No wide network is trusted.", "trusted networks are wide")
	local := Judgement{ID: "server.fetch", Area: "Server", Title: "Nothing is fetched from this machine or its links", State: state(!s.FetchLocal), Found: "Images and identity providers at such addresses are refused.",
		Why: "Whoever may import images could read what only this machine reaches, such as a cloud's metadata.", Fix: "Start it without --fetch-local."}
	if s.FetchLocal {
		local.Found = "It is allowed by --fetch-local."
	}
	key := Judgement{ID: "server.key", Area: "Server", Title: "The key of secrets is not kept with the database", State: state(!s.KeyBeside), Found: "It comes from the environment or from a command.",
		Why: "A stolen data directory or its backup would open every secret in it.", Fix: "Give the key by NOVACRON_SEAL_KEY or --seal-key-command, and take seal.key out of the data directory."}
	if s.KeyBeside {
		key.Found = "It is the file seal.key in the data directory."
	}
	kept := Judgement{ID: "server.audit.kept", Area: "Server", Title: "The audit log is kept for a year at least", State: state(s.AuditRetention == 0 || s.AuditRetention >= auditDays*24*time.Hour), Found: "It is kept for good.",
		Why: "What happened is often asked about only months later.", Fix: "Set --audit-retention to 8760h or more, or to 0."}
	if s.AuditRetention > 0 {
		kept.Found = fmt.Sprintf("It is kept for %d days.", int(s.AuditRetention/(24*time.Hour)))
	}
	away := Judgement{ID: "server.audit.away", Area: "Server", Title: "The audit log leaves this machine as it grows", Why: "Who takes over this machine can take the log away; another one still has it.", Fix: "Set --audit-syslog to a machine that others run, such as tls://log.example:6514.", URL: "/access/audit"}
	var broken []string
	for _, name := range s.AuditTargets {
		i := slices.IndexFunc(f.Targets, func(t Target) bool { return t.Name == name })
		if i >= 0 && f.Targets[i].Error != "" {
			broken = append(broken, name+": "+f.Targets[i].Error)
		}
	}
	if away = among(away, len(s.AuditTargets), broken, "It is sent to "+strings.Join(s.AuditTargets, ", ")+".", "receivers do not get it"); len(s.AuditTargets) == 0 {
		away.State, away.Found = Fails, "It is sent nowhere."
	}
	return []Judgement{tls, proxies, local, key, kept, away}
}

func hosts(f Facts) []Judgement {
	var plain, blind []string
	remote := 0
	for _, h := range f.Hosts {
		u, err := url.Parse(h.URI)
		if err != nil {
			continue
		}
		_, by, _ := strings.Cut(u.Scheme, "+")
		if u.Host != "" {
			remote++
		}
		if by == "tcp" {
			plain = append(plain, h.Name)
		}
		if v := u.Query().Get("no_verify"); v != "" && v != "0" {
			blind = append(blind, h.Name)
		}
	}
	tcp := among(Judgement{ID: "hosts.encrypted", Area: "Hosts", Title: "No host is driven over plain TCP", Why: "Who can listen on the network reads definitions and secrets, and who can write into it drives the host.",
		Fix: "Set up TLS or SSH for libvirt on the host (listen_tls = 1, listen_tcp = 0), then add it by qemu+tls:// or qemu+ssh://.", URL: "/hosts"}, len(f.Hosts), plain, "Every connection to another machine is encrypted.", "hosts are")
	verify := among(Judgement{ID: "hosts.verified", Area: "Hosts", Title: "The certificates and keys of hosts are checked", Why: "A host that is not checked may be somebody else's machine in between.",
		Fix: "Take no_verify out of the host's address, and give it the authority that its certificate is from.", URL: "/hosts"}, len(f.Hosts), blind, "No connection goes without.", "hosts are not checked")
	if len(f.Hosts) == 0 {
		tcp.State, tcp.Found, verify.State, verify.Found = Unknown, "There are no hosts.", Unknown, "There are no hosts."
	}
	var open []string
	for _, m := range f.Moves {
		if !m.Encrypted && !slices.Contains(open, m.VM) {
			open = append(open, m.VM)
		}
	}
	moves := among(Judgement{ID: "hosts.migration", Area: "Hosts", Title: "Migrations between hosts are encrypted", Why: "A migration carries the whole memory of a VM, with the keys and passwords in it.",
		Fix: "Give the hosts certificates for migration (TLS environment of QEMU), and ask for TLS in the migration's policy.", URL: "/hosts"}, len(f.Moves), open, fmt.Sprintf("The last %d were.", len(f.Moves)), "migrations of late were not")
	if len(f.Moves) == 0 {
		moves.State, moves.Found = Unknown, "There was none of late."
	}
	return []Judgement{tcp, verify, moves}
}

func people(f Facts) []Judgement {
	old := f.Now.Add(-staleDays * 24 * time.Hour)
	var without, adminsWithout, stale, once, admins []string
	for _, p := range f.People {
		if !p.MFA && !p.Outside {
			if without = append(without, p.Name); p.Admin {
				adminsWithout = append(adminsWithout, p.Name)
			}
		}
		if p.Admin {
			admins = append(admins, p.Name)
		}
		if p.LastSignIn.Before(old) && p.CreatedAt.Before(old) {
			stale = append(stale, p.Name)
		}
		if p.OneTime && p.CreatedAt.Before(f.Now.Add(-7*24*time.Hour)) {
			once = append(once, p.Name)
		}
	}
	n := len(f.People)
	const users, rules = "/access/users", "/settings/sign-in"
	required := f.Policy.MFA == domain.MFARequired || f.Policy.MFA == domain.MFARoles && slices.Contains(f.Policy.MFARoles, f.Admin)
	must := Judgement{ID: "people.mfa.required", Area: "People", Title: "Platform admins must have a second factor", State: state(required), Found: "The rules of signing in ask for it.", Why: "What is not asked for is not kept up when people come and go.",
		Fix: "Ask for a second factor in the rules of signing in, of everybody or of the role platform-admin at least.", URL: rules}
	if !required {
		must.Found = "The rules of signing in do not ask for it."
	}
	count := Judgement{ID: "people.admins", Area: "People", Title: fmt.Sprintf("There are %d to %d platform admins", adminsLeast, adminsMost), State: state(len(admins) >= adminsLeast && len(admins) <= adminsMost),
		Found: fmt.Sprintf("There are %d.", len(admins)), Why: "With one alone nobody notices what it does, or gets in when it cannot; with many everybody's mistake is everything's.", Fix: "Give the role to a second person, or give most of them smaller roles.", URL: "/access/bindings"}
	if count.State == Fails {
		count.Named = admins
	}
	sessions := Judgement{ID: "people.sessions", Area: "People", Title: fmt.Sprintf("Sessions end after %d minutes unused and %d hours at most", idleMost, lifeMost), State: state(f.Policy.IdleMinutes <= idleMost && f.Policy.LifetimeHours <= lifeMost),
		Found: fmt.Sprintf("They end after %d minutes unused and after %d hours.", f.Policy.IdleMinutes, f.Policy.LifetimeHours), Why: "A browser that is left open is open to who comes by.", Fix: "Shorten them in the rules of signing in.", URL: rules}
	step := Judgement{ID: "people.step-up", Area: "People", Title: "What is dangerous asks again who it is", State: state(f.Policy.StepUpMinutes > 0 && f.Policy.StepUpMinutes <= stepUpMost), Found: "It never does.",
		Why: "A stolen session cannot delete or give rights then.", Fix: fmt.Sprintf("Set it to %d minutes or less in the rules of signing in.", stepUpMost), URL: rules}
	if f.Policy.StepUpMinutes > 0 {
		step.Found = fmt.Sprintf("It does when the proof is older than %d minutes.", f.Policy.StepUpMinutes)
	}
	return []Judgement{
		among(Judgement{ID: "people.mfa", Area: "People", Title: "Everybody has a second factor", Why: "Passwords are guessed, reused and given away.", Fix: "Ask them to add an authenticator app or a passkey on their account's page, or make it a rule.", URL: users}, n, without, "Everybody who signs in here has one.", "have none"),
		among(Judgement{ID: "people.mfa.admins", Area: "People", Title: "Every platform admin has a second factor", Why: "Such an account is everything.", Fix: "Let them add one now; until then take the role from them.", URL: users}, len(admins), adminsWithout, "All have one.", "have none"),
		must, count,
		among(Judgement{ID: "people.stale", Area: "People", Title: fmt.Sprintf("No account is unused for %d days", staleDays), Why: "Nobody notices when an account that nobody uses is.", Fix: "Disable them.", URL: users}, n, stale, "All are in use.", "are unused"),
		among(Judgement{ID: "people.once", Area: "People", Title: "No one-time password waits for longer than a week", Why: "It was sent somewhere, and works for whoever finds it there.", Fix: "Reset it when the person is there, or delete the account.", URL: users}, n, once, "None waits.", "wait"),
		sessions, step,
		among(Judgement{ID: "people.directory", Area: "People", Title: "Directories are asked over TLS", Why: "Passwords of people go to the directory at each sign-in.", Fix: "Use ldaps:// or StartTLS.", URL: rules}, len(f.Plain), slices.Clone(f.Plain), "None is asked without.", "are asked without"),
	}
}

func tokens(f Facts) []Judgement {
	old := f.Now.Add(-staleDays * 24 * time.Hour)
	var stale, endless, mighty []string
	n := 0
	for _, t := range f.Tokens {
		if !t.ExpiresAt.IsZero() && t.ExpiresAt.Before(f.Now) {
			continue
		}
		n++
		if t.LastUsed.Before(old) && t.CreatedAt.Before(old) {
			stale = append(stale, t.Name)
		}
		if t.ExpiresAt.IsZero() {
			endless = append(endless, t.Name)
		}
		if t.Role == f.Admin && t.Tenant == "" && len(t.Only) == 0 {
			mighty = append(mighty, t.Name)
		}
	}
	const at = "/access/tokens"
	return []Judgement{
		among(Judgement{ID: "tokens.stale", Area: "Tokens", Title: fmt.Sprintf("No token is unused for %d days", staleDays), Why: "It lies in some file still, and works.", Fix: "Revoke them.", URL: at}, n, stale, "All are in use.", "are unused"),
		among(Judgement{ID: "tokens.endless", Area: "Tokens", Title: "Every token ends some day", Why: "What was lost and forgotten works for ever otherwise.", Fix: "Make new ones with an end, and revoke those.", URL: at}, n, endless, "All do.", "never end"),
		among(Judgement{ID: "tokens.admin", Area: "Tokens", Title: "No service account may do everything", Why: "A program needs a few permissions; whoever gets its token gets them all.", Fix: "Make one with a smaller role, in a tenant, or narrowed to what it does.", URL: at}, n, mighty, "None may.", "may do everything"),
	}
}
