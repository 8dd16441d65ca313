package api

import (
	"context"
	"net/http"
	"time"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
	"novacron/domain/cloudinit"
	"novacron/jobs/fleet"
	"novacron/jobs/guest"
)

// Guest is what the agent inside a VM told.
type Guest struct {
	domain.GuestFacts
	SkewSeconds float64    `json:"skew_seconds" doc:"How far the guest's clock is ahead of the server's"`
	Answers     bool       `json:"answers" doc:"The agent answered when it was asked last"`
	AskedAt     *time.Time `json:"asked_at"`
	AnsweredAt  *time.Time `json:"answered_at" doc:"How old the facts are; null: the agent never answered"`
	Problem     string     `json:"problem,omitempty" doc:"Why it did not answer"`
	Fix         string     `json:"fix,omitempty"`
	Allow       []string   `json:"allow" nullable:"false" doc:"Commands that may be run inside; none: all"`
}

type guestOutput struct{ Body Guest }

// GuestPassword sets a password: plain, or a hash.
type GuestPassword struct {
	User     string `json:"user" maxLength:"104" example:"root"`
	Password string `json:"password,omitempty" maxLength:"256" doc:"Hashed before it leaves the server, but for Windows; never written down"`
	Hash     string `json:"password_hash,omitempty" maxLength:"600" doc:"Instead: what openssl passwd -6 prints"`
}

// GuestKeys sets a user's SSH keys.
type GuestKeys struct {
	User string   `json:"user" maxLength:"104" example:"root"`
	Keys []string `json:"keys" nullable:"false" doc:"Lines of authorized_keys"`
	Add  bool     `json:"add,omitempty" doc:"To the keys that are there, instead of in their place"`
}

// GuestProcesses are the processes inside a guest that took most when somebody looked.
type GuestProcesses struct {
	LookedAt  *time.Time            `json:"looked_at" doc:"null: nobody has looked yet, or it is too long ago"`
	Total     int                   `json:"total" doc:"How many processes there were"`
	Processes []domain.GuestProcess `json:"processes" nullable:"false" doc:"Those that took most of the processors or of the memory, the busiest first"`
}

// GuestFreeze says for how long.
type GuestFreeze struct {
	Seconds int `json:"seconds,omitempty" minimum:"0" maximum:"600" doc:"Thawed after this long at the latest; 0: 60"`
}

// GuestAllow says which commands may be run.
type GuestAllow struct {
	Allow []string `json:"allow" nullable:"false" doc:"Beginnings of commands, word by word, or /regular expressions/ for the whole command; none: every command"`
}

// CloudInitEdit replaces what a first boot reads.
type CloudInitEdit struct {
	CloudInit    domain.CloudInit `json:"cloud_init"`
	KeepPassword bool             `json:"keep_password,omitempty" doc:"The password it has, when none is given"`
	NewInstance  bool             `json:"new_instance,omitempty" doc:"cloud-init does a first boot's work again at the next start"`
	Version      int64            `json:"version,omitempty" minimum:"0" doc:"The version that the edit is based on; when it is stale the answer is 409"`
}

// Seed is what a first boot reads.
type Seed struct {
	Kind        string            `json:"kind" enum:"cloud-init,windows"`
	Pool        string            `json:"pool"`
	Volume      string            `json:"volume"`
	InstanceID  string            `json:"instance_id"`
	HasPassword bool              `json:"has_password"`
	CloudInit   *domain.CloudInit `json:"cloud_init,omitempty"`
	Windows     *domain.Unattend  `json:"windows,omitempty"`
	UpdatedAt   *time.Time        `json:"updated_at"`
	Version     int64             `json:"version"`
}

type seedOutput struct{ Body Seed }

func seedOf(s domain.Seed, has bool) Seed {
	return Seed{s.Kind, s.Pool, s.Volume, s.InstanceID, has, s.Content.CloudInit, s.Content.Windows, when(s.UpdatedAt), s.Version}
}

// CloudInitPreview asks what a first boot would read.
type CloudInitPreview struct {
	Name      string           `json:"name,omitempty" maxLength:"64" doc:"The VM's name" example:"web-1"`
	CloudInit domain.CloudInit `json:"cloud_init"`
}

// CloudInitFiles is what a first boot would read, and what is wrong with it.
type CloudInitFiles struct {
	cloudinit.Files
	Findings []cloudinit.Finding `json:"findings" nullable:"false" doc:"What cloud-init would not take in the parts that were given raw"`
	Problems []domain.FieldError `json:"problems" nullable:"false" doc:"Fields that are wrong"`
}

func (s *server) guest() {
	o := func(id, method, path, summary, doc string, perm access.Permission, status int) op {
		return op{id: id, method: method, path: "/vms/{id}/guest" + path, tag: "Guests", perm: perm, status: status, summary: summary, doc: doc}
	}
	register(s, o("get-guest", http.MethodGet, "", "Show what the guest agent told", "Asked about once a minute while the VM runs and its agent answers.", access.GuestRead, 200),
		func(ctx context.Context, in *VMPath) (*guestOutput, error) {
			vm, err := s.DB.VM(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return s.guestOf(ctx, vm.ID)
		})
	register(s, o("exec-in-guest", http.MethodPost, "/exec", "Run a command inside a guest",
		"The program is run directly, without a shell. The job's result has exit_code, stdout, stderr (the first 64 KiB of each) and timed_out. A command that the VM does not allow is refused with 403.", access.GuestExec, 202),
		func(ctx context.Context, in *struct {
			ActParams
			Body domain.GuestExec
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.ExecGuest(ctx, actor(ctx), in.ID, fleet.ExecGuest{GuestExec: in.Body, Key: key})
			})
		})
	register(s, o("freeze-guest", http.MethodPost, "/freeze", "Freeze a guest's file systems",
		"The job holds them frozen until the time is over or thaw is asked for, and thaws them whatever happens: also when it is cancelled or the server was restarted.", access.GuestManage, 202),
		func(ctx context.Context, in *struct {
			ActParams
			Body *GuestFreeze
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				seconds := 0
				if in.Body != nil {
					seconds = in.Body.Seconds
				}
				return s.Fleet.FreezeGuest(ctx, actor(ctx), in.ID, seconds, key)
			})
		})
	for _, v := range []struct {
		id, path, summary string
		do                func(ctx context.Context, actor, vmID, key string) (domain.Job, error)
		perm              access.Permission
	}{
		{"thaw-guest", "/thaw", "Thaw a guest's file systems", s.Fleet.ThawGuest, access.GuestManage},
		{"sync-guest-time", "/time-sync", "Set a guest's clock to the server's", s.Fleet.SyncGuestTime, access.GuestManage},
		{"look-into-guest", "/look", "Ask the guest agent now", s.Fleet.LookGuest, access.GuestManage},
	} {
		register(s, o(v.id, http.MethodPost, v.path, v.summary, "", v.perm, 202), func(ctx context.Context, in *ActParams) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) { return v.do(ctx, actor(ctx), in.ID, key) })
		})
	}
	register(s, o("look-at-guest-processes", http.MethodPost, "/processes", "Ask which processes take most inside a guest",
		"Runs top and ps through the agent, as any command is run: it stands among the events, and a VM that does not allow them refuses with 403. The job's result is what list-guest-processes gives then.", access.GuestExec, 202),
		func(ctx context.Context, in *ActParams) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.LookAtProcesses(ctx, actor(ctx), in.ID, key)
			})
		})
	register(s, o("list-guest-processes", http.MethodGet, "/processes", "Show which processes took most inside a guest",
		"As they were when somebody asked last: nothing asks by itself. Names are those of programs, without their arguments.", access.GuestExec, 200),
		func(ctx context.Context, in *VMPath) (*struct{ Body GuestProcesses }, error) {
			vm, err := s.DB.VM(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			last, _, err := guest.LastProcesses(ctx, s.DB, vm.ID)
			return &struct{ Body GuestProcesses }{GuestProcesses{when(last.At), last.Total, list(last.Processes)}}, err
		})
	register(s, o("set-guest-password", http.MethodPost, "/password", "Set a user's password inside a guest", "", access.GuestManage, 202),
		func(ctx context.Context, in *struct {
			ActParams
			Body GuestPassword
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.SetGuestPassword(ctx, actor(ctx), in.ID, fleet.GuestPassword{User: in.Body.User, Password: in.Body.Password, Hash: in.Body.Hash, Key: key})
			})
		})
	register(s, o("set-guest-ssh-keys", http.MethodPost, "/ssh-keys", "Set a user's SSH keys inside a guest", "", access.GuestManage, 202),
		func(ctx context.Context, in *struct {
			ActParams
			Body GuestKeys
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.SetGuestKeys(ctx, actor(ctx), in.ID, fleet.GuestKeys{User: in.Body.User, Keys: in.Body.Keys, Add: in.Body.Add, Key: key})
			})
		})
	register(s, o("set-guest-allow", http.MethodPut, "/allow", "Say which commands may be run inside a guest", "Nothing but those, for everybody; with none every command may be run by who may run commands at all.", access.GuestManage, 200),
		func(ctx context.Context, in *struct {
			VMPath
			Body GuestAllow
		}) (*guestOutput, error) {
			if err := s.Fleet.SetExecRules(ctx, actor(ctx), in.ID, in.Body.Allow); err != nil {
				return nil, err
			}
			return s.guestOf(ctx, in.ID)
		})
	register(s, op{id: "get-cloud-init", method: http.MethodGet, path: "/vms/{id}/cloud-init", tag: "Guests", perm: access.GuestRead, status: 200, summary: "Show what a VM's first boot reads",
		doc: "Password hashes are left out."},
		func(ctx context.Context, in *VMPath) (*seedOutput, error) {
			if _, err := s.DB.VM(ctx, in.ID); err != nil {
				return nil, err
			}
			seed, has, err := s.Fleet.CloudInit(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &seedOutput{seedOf(seed, has)}, nil
		})
	register(s, op{id: "set-cloud-init", method: http.MethodPut, path: "/vms/{id}/cloud-init", tag: "Guests", perm: access.GuestManage, status: 202, summary: "Write anew what a VM's first boot reads",
		doc: "The medium is made anew; a VM that has none gets one, and a drive for it. cloud-init in the guest takes most of it only on a first boot: new_instance makes the next start one."},
		func(ctx context.Context, in *struct {
			ActParams
			Body CloudInitEdit
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.SetCloudInit(ctx, actor(ctx), in.ID, fleet.SetCloudInit{CloudInit: in.Body.CloudInit, KeepPassword: in.Body.KeepPassword, NewInstance: in.Body.NewInstance, Version: in.Body.Version, Key: key})
			})
		})
	register(s, op{id: "preview-cloud-init", method: http.MethodPost, path: "/cloud-init/preview", tag: "Guests", perm: access.VMCreate, status: 200, summary: "Show what a first boot would read",
		doc: "Nothing is made. A plain password shows as the place where its hash will stand."},
		func(ctx context.Context, in *struct{ Body CloudInitPreview }) (*struct{ Body CloudInitFiles }, error) {
			var p domain.Problems
			in.Body.CloudInit.Validate(&p, "cloud_init.")
			out := &struct{ Body CloudInitFiles }{CloudInitFiles{Files: cloudinit.Render(in.Body.CloudInit, in.Body.Name, "(made with the VM)"), Findings: list(cloudinit.Check(in.Body.CloudInit)), Problems: list([]domain.FieldError(p))}}
			return out, nil
		})
}

func (s *server) guestOf(ctx context.Context, vmID string) (*guestOutput, error) {
	rec, err := s.DB.GuestRecord(ctx, vmID)
	if err != nil {
		return nil, err
	}
	rules, err := s.DB.ExecRules(ctx, vmID)
	if err != nil {
		return nil, err
	}
	g := Guest{GuestFacts: rec.Facts, SkewSeconds: rec.Facts.Skew.Seconds(), Answers: rec.Answers(), AskedAt: when(rec.AskedAt), AnsweredAt: when(rec.AnsweredAt), Problem: rec.Problem, Fix: rec.Fix, Allow: list([]string(rules))}
	g.GuestFacts.Skew = 0 // told in seconds
	return &guestOutput{g}, nil
}

// jobFor is job for who asked: what a command inside a guest printed is for those who may run commands.
func (s *server) jobFor(ctx context.Context, j *domain.Job) Job {
	out := s.job(j)
	out.Choices = s.Engine.Choices(*j)
	if guest.Commands(j.Kind) && auth.SubjectOf(ctx).Require(access.GuestExec) != nil {
		out.Result = nil
	}
	return out
}
