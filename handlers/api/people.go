package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
)

// User is an account as the API shows it.
type User struct {
	ID         string     `json:"id" example:"user_01k…"`
	Name       string     `json:"name" doc:"What one signs in with"`
	FullName   string     `json:"full_name"`
	Email      string     `json:"email"`
	Disabled   bool       `json:"disabled"`
	MustChange bool       `json:"must_change" doc:"Has a one-time password that must be changed first"`
	MFA        []string   `json:"mfa" nullable:"false" doc:"Kinds of second factors: totp, passkey"`
	Groups     []string   `json:"groups" nullable:"false" doc:"Ids of the groups it is in"`
	CreatedAt  *time.Time `json:"created_at"`
	LastSignIn *time.Time `json:"last_sign_in"`
}

// UserMade is a new account with what opens it, shown this once.
type UserMade struct {
	User
	OneTimePassword string `json:"one_time_password" doc:"Shown this once; it must be changed at the first sign-in"`
}

// Group is people who are given roles together.
type Group struct {
	ID        string     `json:"id" example:"group_01k…"`
	Name      string     `json:"name"`
	Notes     string     `json:"notes"`
	Members   []string   `json:"members" nullable:"false" doc:"Ids of users"`
	CreatedAt *time.Time `json:"created_at"`
}

// Session is one signed-in browser.
type Session struct {
	ID        string     `json:"id" example:"sess_01k…"`
	UserID    string     `json:"user_id"`
	Browser   string     `json:"browser" doc:"The User-Agent"`
	Address   string     `json:"address" doc:"From where it was used last"`
	Proof     string     `json:"proof" doc:"How it was proven who this is" example:"password+totp"`
	CreatedAt *time.Time `json:"created_at"`
	SeenAt    *time.Time `json:"seen_at"`
	ExpiresAt *time.Time `json:"expires_at"`
}

func groupOf(g *domain.Group) Group {
	return Group{ID: g.ID, Name: g.Name, Notes: g.Notes, Members: list(g.Members), CreatedAt: when(g.CreatedAt)}
}

func (s *server) usersOf(ctx context.Context, users []domain.User) (func(u *domain.User) User, error) {
	groups, err := s.DB.Groups(ctx)
	if err != nil {
		return nil, err
	}
	of := map[string][]string{}
	for _, g := range groups {
		for _, u := range g.Members {
			of[u] = append(of[u], g.ID)
		}
	}
	mfa, err := s.DB.FactorKinds(ctx)
	if err != nil {
		return nil, err
	}
	return func(u *domain.User) User {
		return User{ID: u.ID, Name: u.Name, FullName: u.FullName, Email: u.Email, Disabled: u.Disabled, MustChange: u.MustChange, MFA: list(mfa[u.ID]), Groups: list(of[u.ID]),
			CreatedAt: when(u.CreatedAt), LastSignIn: when(u.LastSignIn)}
	}, nil
}

type UserPath struct {
	ID string `path:"id" maxLength:"64" doc:"The user's id"`
}

type GroupPath struct {
	ID string `path:"id" maxLength:"64" doc:"The group's id"`
}

type userOutput struct{ Body User }

type groupOutput struct{ Body Group }

type none struct{}

// GroupWrite is what a group is made of.
type GroupWrite struct {
	Name    string   `json:"name" maxLength:"64"`
	Notes   string   `json:"notes,omitempty" maxLength:"2000"`
	Members []string `json:"members,omitempty" nullable:"false" doc:"Ids or names of users"`
}

// GroupEdit changes a group; what is left out stays.
type GroupEdit struct {
	Name    *string   `json:"name,omitempty" maxLength:"64"`
	Notes   *string   `json:"notes,omitempty" maxLength:"2000"`
	Members *[]string `json:"members,omitempty" doc:"Replaces all members: ids or names of users"`
}

const accessTag = "Access"

func (s *server) people() {
	one := func(ctx context.Context, u domain.User, err error) (*userOutput, error) {
		if err != nil {
			return nil, err
		}
		show, err := s.usersOf(ctx, []domain.User{u})
		if err != nil {
			return nil, err
		}
		return &userOutput{show(&u)}, nil
	}
	register(s, op{id: "list-users", method: http.MethodGet, path: "/users", tag: accessTag, perm: access.UserRead, status: 200, summary: "List accounts"},
		func(ctx context.Context, in *struct {
			PageQuery
			Sort string `query:"sort" default:"name" doc:"name, created or seen; a minus turns it round"`
		}) (*struct{ Body Page[User] }, error) {
			all, err := s.DB.Users(ctx)
			if err != nil {
				return nil, err
			}
			show, err := s.usersOf(ctx, all)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, in.Sort, sortKeys[domain.User]{
				"name":    func(u *domain.User) string { return strings.ToLower(u.Name) },
				"created": func(u *domain.User) string { return padded(u.CreatedAt.UnixMilli()) },
				"seen":    func(u *domain.User) string { return padded(max(0, u.LastSignIn.UnixMilli())) },
			}, func(u *domain.User) string { return u.ID }, show)
			return &struct{ Body Page[User] }{page}, err
		})
	register(s, op{id: "create-user", method: http.MethodPost, path: "/users", tag: accessTag, perm: access.UserManage, status: 201, summary: "Make an account",
		doc: "The answer has a one-time password, this once. With a role the account gets it in the tenant, or in the estate: only roles that the caller has in full."},
		func(ctx context.Context, in *struct {
			Body struct {
				Name     string `json:"name" maxLength:"64" example:"ada"`
				FullName string `json:"full_name,omitempty" maxLength:"100"`
				Email    string `json:"email,omitempty" maxLength:"200"`
				Role     string `json:"role,omitempty" maxLength:"64" example:"tenant-user"`
				Tenant   string `json:"tenant,omitempty" maxLength:"64" doc:"Where the role is for; empty: the estate"`
			}
		}) (*struct{ Body UserMade }, error) {
			b := in.Body
			u, once, err := s.Auth.MakeUser(ctx, auth.SubjectOf(ctx), auth.NewUser{Name: b.Name, FullName: b.FullName, Email: b.Email, Role: b.Role, Tenant: b.Tenant})
			if err != nil {
				return nil, err
			}
			show, err := s.usersOf(ctx, nil)
			if err != nil {
				return nil, err
			}
			return &struct{ Body UserMade }{UserMade{show(&u), once}}, nil
		})
	register(s, op{id: "get-user", method: http.MethodGet, path: "/users/{id}", tag: accessTag, perm: access.UserRead, status: 200, summary: "Show an account"},
		func(ctx context.Context, in *UserPath) (*userOutput, error) {
			u, err := s.DB.User(ctx, in.ID)
			return one(ctx, u, err)
		})
	register(s, op{id: "edit-user", method: http.MethodPatch, path: "/users/{id}", tag: accessTag, perm: access.UserManage, status: 200, summary: "Change an account",
		doc: "Disabling it ends its sessions at once, and its tokens work no more."},
		func(ctx context.Context, in *struct {
			UserPath
			Body struct {
				FullName *string `json:"full_name,omitempty" maxLength:"100"`
				Email    *string `json:"email,omitempty" maxLength:"200"`
				Disabled *bool   `json:"disabled,omitempty"`
			}
		}) (*userOutput, error) {
			u, err := s.Auth.EditUser(ctx, auth.SubjectOf(ctx), in.ID, auth.UserEdit{FullName: in.Body.FullName, Email: in.Body.Email, Disabled: in.Body.Disabled})
			return one(ctx, u, err)
		})
	register(s, op{id: "delete-user", method: http.MethodDelete, path: "/users/{id}", tag: accessTag, perm: access.UserManage, status: 204, summary: "Delete an account with its tokens and roles"},
		func(ctx context.Context, in *UserPath) (*none, error) {
			return nil, s.Auth.DeleteUser(ctx, auth.SubjectOf(ctx), in.ID)
		})
	register(s, op{id: "reset-user", method: http.MethodPost, path: "/users/{id}/reset", tag: accessTag, perm: access.UserManage, status: 200, summary: "Give an account a new one-time password",
		doc: "Its sessions end. With mfa its second factors and recovery codes are taken away too."},
		func(ctx context.Context, in *struct {
			UserPath
			Body struct {
				MFA bool `json:"mfa,omitempty" doc:"Take the second factors away too"`
			}
		}) (*struct {
			Body struct {
				OneTimePassword string `json:"one_time_password"`
			}
		}, error) {
			once, err := s.Auth.ResetUser(ctx, auth.SubjectOf(ctx), in.ID, in.Body.MFA)
			if err != nil {
				return nil, err
			}
			out := &struct {
				Body struct {
					OneTimePassword string `json:"one_time_password"`
				}
			}{}
			out.Body.OneTimePassword = once
			return out, nil
		})
	s.groups()
	s.sessions()
}

func (s *server) groups() {
	register(s, op{id: "list-groups", method: http.MethodGet, path: "/groups", tag: accessTag, perm: access.UserRead, status: 200, summary: "List groups"},
		func(ctx context.Context, in *struct{ PageQuery }) (*struct{ Body Page[Group] }, error) {
			all, err := s.DB.Groups(ctx)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, "name", sortKeys[domain.Group]{"name": func(g *domain.Group) string { return strings.ToLower(g.Name) }},
				func(g *domain.Group) string { return g.ID }, groupOf)
			return &struct{ Body Page[Group] }{page}, err
		})
	save := func(ctx context.Context, g domain.Group) (*groupOutput, error) {
		g, err := s.Auth.SaveGroup(ctx, auth.SubjectOf(ctx), g)
		if err != nil {
			return nil, err
		}
		return &groupOutput{groupOf(&g)}, nil
	}
	register(s, op{id: "create-group", method: http.MethodPost, path: "/groups", tag: accessTag, perm: access.UserManage, status: 201, summary: "Make a group"},
		func(ctx context.Context, in *struct{ Body GroupWrite }) (*groupOutput, error) {
			return save(ctx, domain.Group{Name: in.Body.Name, Notes: in.Body.Notes, Members: in.Body.Members})
		})
	register(s, op{id: "get-group", method: http.MethodGet, path: "/groups/{id}", tag: accessTag, perm: access.UserRead, status: 200, summary: "Show a group"},
		func(ctx context.Context, in *GroupPath) (*groupOutput, error) {
			g, err := s.DB.Group(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &groupOutput{groupOf(&g)}, nil
		})
	register(s, op{id: "edit-group", method: http.MethodPatch, path: "/groups/{id}", tag: accessTag, perm: access.UserManage, status: 200, summary: "Change a group",
		doc: "Who is put into a group gets what the group has: only who has that may do it."},
		func(ctx context.Context, in *struct {
			GroupPath
			Body GroupEdit
		}) (*groupOutput, error) {
			g, err := s.DB.Group(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if in.Body.Name != nil {
				g.Name = *in.Body.Name
			}
			if in.Body.Notes != nil {
				g.Notes = *in.Body.Notes
			}
			if in.Body.Members != nil {
				g.Members = *in.Body.Members
			}
			return save(ctx, g)
		})
	register(s, op{id: "delete-group", method: http.MethodDelete, path: "/groups/{id}", tag: accessTag, perm: access.UserManage, status: 204, summary: "Delete a group with what it was given"},
		func(ctx context.Context, in *GroupPath) (*none, error) {
			return nil, s.Auth.DeleteGroup(ctx, auth.SubjectOf(ctx), in.ID)
		})
}

func (s *server) sessions() {
	// whose is the account whose sessions may be seen and ended: one's own, or with user.manage everybody's.
	whose := func(ctx context.Context) string {
		if sub := auth.SubjectOf(ctx); !sub.Everywhere(access.UserManage) {
			if sub.UserID == "" {
				return "-"
			}
			return sub.UserID
		}
		return ""
	}
	register(s, op{id: "list-sessions", method: http.MethodGet, path: "/sessions", tag: accessTag, perm: access.AccountSelf, status: 200, summary: "List signed-in browsers",
		doc: "One's own; with user.manage everybody's, or those of one user."},
		func(ctx context.Context, in *struct {
			PageQuery
			User string `query:"user" maxLength:"64" doc:"Only of the account with this id"`
		}) (*struct{ Body Page[Session] }, error) {
			of := whose(ctx)
			if of == "" {
				of = in.User
			}
			all, err := s.Auth.Sessions(ctx, of)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, "-seen", sortKeys[domain.SignIn]{"seen": func(x *domain.SignIn) string { return padded(x.SeenAt.UnixMilli()) }},
				func(x *domain.SignIn) string { return x.ID }, func(x *domain.SignIn) Session {
					return Session{ID: x.ID, UserID: x.UserID, Browser: x.Browser, Address: x.Address, Proof: x.Proof, CreatedAt: when(x.CreatedAt), SeenAt: when(x.SeenAt), ExpiresAt: when(x.ExpiresAt)}
				})
			return &struct{ Body Page[Session] }{page}, err
		})
	register(s, op{id: "end-session", method: http.MethodDelete, path: "/sessions/{id}", tag: accessTag, perm: access.AccountSelf, status: 204, summary: "End a session",
		doc: "The browser is signed out from its next request on."},
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64" doc:"The session's id"`
		}) (*none, error) {
			return nil, s.Auth.RevokeSession(ctx, auth.SubjectOf(ctx), in.ID, whose(ctx))
		})
}
