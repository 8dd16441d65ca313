package domain

import (
	"context"
	"slices"
	"strings"
)

// Sight is which VMs somebody may see, and with them the jobs and events about them. The database narrows what it lists to the sight that a
// context carries, so that a page that forgets to ask shows too little and never too much. A context without one sees everything: that is the
// server's own work.
type Sight struct {
	All     bool     // everything but what is hidden below
	Tenants []string // with All: without meaning; else these tenants' things
	Folders []string // VMs in one of these folders
	Tags    []string // VMs with one of these tags
	VMs     []string // these VMs

	HiddenTenants []string
	HiddenFolders []string
	HiddenTags    []string
	HiddenVMs     []string

	Home string // the tenant that what somebody makes belongs to when nothing else says it
	Key  string // alike for all who see the same: for what is remembered
}

// Full reports whether nothing is hidden.
func (s *Sight) Full() bool {
	return s == nil || s.All && len(s.HiddenTenants)+len(s.HiddenFolders)+len(s.HiddenTags)+len(s.HiddenVMs) == 0
}

// Sees reports whether a VM is in sight.
func (s *Sight) Sees(id, tenant, folder string, tags []string) bool {
	if s == nil {
		return true
	}
	if slices.Contains(s.HiddenVMs, id) || tenant != "" && slices.Contains(s.HiddenTenants, tenant) || folder != "" && slices.Contains(s.HiddenFolders, folder) || overlap(s.HiddenTags, tags) {
		return false
	}
	return s.All || tenant != "" && slices.Contains(s.Tenants, tenant) || folder != "" && slices.Contains(s.Folders, folder) || slices.Contains(s.VMs, id) || overlap(s.Tags, tags)
}

// SeesFolder reports whether a folder is in sight.
func (s *Sight) SeesFolder(f Folder) bool {
	if s == nil {
		return true
	}
	if f.Tenant != "" && slices.Contains(s.HiddenTenants, f.Tenant) || slices.Contains(s.HiddenFolders, f.ID) {
		return false
	}
	return s.All || f.Tenant != "" && slices.Contains(s.Tenants, f.Tenant) || slices.Contains(s.Folders, f.ID)
}

// Looks reports whether what is in sight depends on what a VM says of itself, its folder and its tags, and not only on whose it is.
func (s *Sight) Looks() bool {
	return s != nil && len(s.Folders)+len(s.Tags)+len(s.HiddenFolders)+len(s.HiddenTags) > 0
}

// SeesOf reports whether something that belongs to a tenant as a whole, such as a job or an event, is in sight. vm is the id of the VM that it is
// about, where it is about one.
func (s *Sight) SeesOf(tenant, vm string) bool {
	switch {
	case s.Full():
		return true
	case vm != "" && slices.Contains(s.HiddenVMs, vm), tenant != "" && slices.Contains(s.HiddenTenants, tenant):
		return false
	}
	return s.All || tenant != "" && slices.Contains(s.Tenants, tenant) || vm != "" && slices.Contains(s.VMs, vm)
}

func overlap(a, b []string) bool {
	for _, x := range a {
		if slices.Contains(b, x) {
			return true
		}
	}
	return false
}

type ownerKey struct{}

// WithOwner says to which tenant what is made with the context belongs.
func WithOwner(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, ownerKey{}, tenant)
}

// OwnerOf gives it; empty for the estate.
func OwnerOf(ctx context.Context) string {
	t, _ := ctx.Value(ownerKey{}).(string)
	return t
}

type sightKey struct{}

// WithSight narrows what reading with the context shows.
func WithSight(ctx context.Context, s *Sight) context.Context {
	return context.WithValue(ctx, sightKey{}, s)
}

// SightOf gives the context's sight; nil sees everything.
func SightOf(ctx context.Context) *Sight {
	s, _ := ctx.Value(sightKey{}).(*Sight)
	return s
}

// SightKey is what remembered readings of a context are kept apart by; empty where nothing is hidden.
func SightKey(ctx context.Context) string {
	if s := SightOf(ctx); !s.Full() {
		return s.Key
	}
	return ""
}

// Cause is who and what stands behind a request, for the audit log.
type Cause struct {
	Subject string // user_…, tok_…
	Actor   string
	Address string
	Browser string // the User-Agent
	Proof   string // password, password+totp, passkey, token …
	Request string // the request's id
	Asked   string // method and path
	Detail  string // the request's body as JSON, without secrets; may be empty
}

type causeKey struct{}

// WithCause says on whose behalf a context works.
func WithCause(ctx context.Context, c *Cause) context.Context {
	return context.WithValue(ctx, causeKey{}, c)
}

// CauseOf gives it; nil for the server's own work.
func CauseOf(ctx context.Context) *Cause {
	c, _ := ctx.Value(causeKey{}).(*Cause)
	return c
}

// IsVM reports whether an id is a VM's.
func IsVM(id string) bool { return strings.HasPrefix(id, "vm_") }
