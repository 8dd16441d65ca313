package compliance

import (
	"slices"
	"testing"
	"time"

	"novacron/domain"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// good is an estate of which everything holds.
func good() Facts {
	day := 24 * time.Hour
	return Facts{
		Now: now, Admin: "platform-admin",
		Server:  Server{TLS: true, Proxies: []string{"10.0.0.5/32"}, AuditRetention: 2 * 365 * day, AuditTargets: []string{"tls://log:6514"}},
		Targets: []Target{{Name: "tls://log:6514"}, {Name: "tcp://former:601", Error: "gone"}},
		Hosts:   []domain.Host{{Name: "a", URI: "qemu:///system"}, {Name: "b", URI: "qemu+tls://b/system"}, {Name: "c", URI: "qemu+ssh://root@c/system"}},
		Moves:   []Move{{"web", true}},
		People:  []Person{{Name: "ann", Admin: true, MFA: true, LastSignIn: now}, {Name: "bob", Admin: true, MFA: true, LastSignIn: now}, {Name: "carl", Outside: true, CreatedAt: now}},
		Policy:  domain.SignInPolicy{MFA: domain.MFARequired, StepUpMinutes: 15, IdleMinutes: 30, LifetimeHours: 12},
		Tokens:  []domain.Token{{Name: "ci", Role: "operator", LastUsed: now, ExpiresAt: now.Add(day)}, {Name: "former", ExpiresAt: now.Add(-day)}},
	}
}

func TestEachCheckFailsForItsOwnReason(t *testing.T) {
	for _, c := range Judge(good()) {
		if c.State != Holds || len(c.Named) > 0 || c.Title == "" || c.Found == "" || c.Why == "" || c.Fix == "" {
			t.Errorf("a good estate: %+v", c)
		}
	}
	old := now.Add(-91 * 24 * time.Hour)
	for id, x := range map[string]struct {
		change func(*Facts)
		named  []string
	}{
		"server.tls":          {func(f *Facts) { f.Server.TLS = false }, nil},
		"server.proxies":      {func(f *Facts) { f.Server.Proxies = []string{"10.0.0.0/8", "10.0.0.1/32", "::/0"} }, []string{"10.0.0.0/8", "::/0"}},
		"server.fetch":        {func(f *Facts) { f.Server.FetchLocal = true }, nil},
		"server.key":          {func(f *Facts) { f.Server.KeyBeside = true }, nil},
		"server.audit.kept":   {func(f *Facts) { f.Server.AuditRetention = 48 * time.Hour }, nil},
		"server.audit.away":   {func(f *Facts) { f.Targets[0].Error = "refused" }, []string{"tls://log:6514: refused"}},
		"hosts.encrypted":     {func(f *Facts) { f.Hosts[1].URI = "qemu+tcp://b/system" }, []string{"b"}},
		"hosts.verified":      {func(f *Facts) { f.Hosts[1].URI += "?no_verify=1" }, []string{"b"}},
		"hosts.migration":     {func(f *Facts) { f.Moves = append(f.Moves, Move{"db", false}, Move{"db", false}) }, []string{"db"}},
		"people.mfa":          {func(f *Facts) { f.People = append(f.People, Person{Name: "dora", CreatedAt: now}) }, []string{"dora"}},
		"people.mfa.admins":   {func(f *Facts) { f.People[1].MFA = false }, []string{"bob"}},
		"people.mfa.required": {func(f *Facts) { f.Policy.MFA, f.Policy.MFARoles = domain.MFARoles, []string{"operator"} }, nil},
		"people.admins":       {func(f *Facts) { f.People[1].Admin = false }, []string{"ann"}},
		"people.stale":        {func(f *Facts) { f.People[2].CreatedAt = old }, []string{"carl"}},
		"people.once":         {func(f *Facts) { f.People[2].OneTime, f.People[2].CreatedAt = true, now.Add(-8*24*time.Hour) }, []string{"carl"}},
		"people.sessions":     {func(f *Facts) { f.Policy.LifetimeHours = 25 }, nil},
		"people.step-up":      {func(f *Facts) { f.Policy.StepUpMinutes = 0 }, nil},
		"people.directory":    {func(f *Facts) { f.Plain = []string{"ad"} }, []string{"ad"}},
		"tokens.stale":        {func(f *Facts) { f.Tokens[0].LastUsed, f.Tokens[0].CreatedAt = time.Time{}, old }, []string{"ci"}},
		"tokens.endless":      {func(f *Facts) { f.Tokens[0].ExpiresAt = time.Time{} }, []string{"ci"}},
		"tokens.admin":        {func(f *Facts) { f.Tokens[0].Role = "platform-admin" }, []string{"ci"}},
	} {
		f := good()
		x.change(&f)
		for _, c := range Judge(f) {
			switch {
			case c.ID == id && (c.State != Fails || !slices.Equal(c.Named, x.named)):
				t.Errorf("%s does not fail: %+v", id, c)
			case c.ID != id && c.State != Holds && !(id == "people.mfa.admins" && c.ID == "people.mfa"):
				t.Errorf("%s fails with %s: %+v", c.ID, id, c)
			}
		}
	}
}

func TestWhatIsNotKnownDoesNotHold(t *testing.T) {
	f := good()
	f.Hosts, f.Moves, f.Server = nil, nil, Server{SecureCookies: true}
	got := map[string]State{}
	for _, c := range Judge(f) {
		got[c.ID] = c.State
	}
	for id, want := range map[string]State{"hosts.encrypted": Unknown, "hosts.verified": Unknown, "hosts.migration": Unknown, "server.audit.away": Fails, "server.tls": Holds, "server.audit.kept": Holds} {
		if got[id] != want {
			t.Errorf("%s %s, want %s", id, got[id], want)
		}
	}
}
