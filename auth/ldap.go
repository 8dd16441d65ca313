package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"novacron/domain"
)

const (
	ldapTimeout = 8 * time.Second
	ldapGroups  = 500
)

// connect opens a directory, over TLS unless it was said otherwise, and binds as the account that may search.
func connect(ctx context.Context, x domain.Provider) (*ldap.Conn, error) {
	away := func(err error) error {
		return domain.Errorf(domain.Unavailable, "The directory %s does not answer: %w", x.Name, err).WithFix("Try again in a moment; if it stays, an administrator checks its address and certificate.")
	}
	u, err := url.Parse(x.URL)
	if err != nil {
		return nil, away(err)
	}
	conf := &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	if x.CA != "" {
		conf.RootCAs = x509.NewCertPool()
		conf.RootCAs.AppendCertsFromPEM([]byte(x.CA))
	}
	timeout := ldapTimeout
	if d, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(d))
	}
	c, err := ldap.DialURL(x.URL, ldap.DialWithDialer(&net.Dialer{Timeout: timeout}), ldap.DialWithTLSConfig(conf))
	if err != nil {
		return nil, away(err)
	}
	c.SetTimeout(timeout)
	if u.Scheme == "ldap" && !x.Plain {
		if err := c.StartTLS(conf); err != nil {
			_ = c.Close()
			return nil, away(err)
		}
	}
	if x.BindDN != "" {
		if err := c.Bind(x.BindDN, string(x.Secret)); err != nil {
			_ = c.Close()
			return nil, away(err)
		}
	}
	return c, nil
}

// directory asks an LDAP server whether name and password are somebody's. ok is false when they are not.
func (a *Auth) directory(ctx context.Context, x domain.Provider, name, password string) (o outsider, ok bool, err error) {
	if name == "" || len(name) > 128 || password == "" || len(password) > maxPassword || strings.ContainsRune(password, 0) {
		return o, false, nil // a bind without a password succeeds for everybody
	}
	c, err := connect(ctx, x)
	if err != nil {
		return o, false, err
	}
	defer c.Close()
	found, err := c.Search(ldap.NewSearchRequest(x.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, int(ldapTimeout/time.Second), false,
		strings.Replace(x.UserFilter, "%s", ldap.EscapeFilter(name), 1), []string{"uid", "sAMAccountName", "cn", "displayName", "mail", "entryUUID", "objectGUID", "memberOf"}, nil))
	if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return o, false, domain.Errorf(domain.Unavailable, "The directory %s cannot be searched: %w", x.Name, err)
	}
	if found == nil || len(found.Entries) != 1 { // none, or a filter that fits several: neither is somebody
		return o, false, nil
	}
	e := found.Entries[0]
	groups := e.GetAttributeValues("memberOf")
	if x.GroupBase != "" {
		in, err := c.Search(ldap.NewSearchRequest(x.GroupBase, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, ldapGroups, int(ldapTimeout/time.Second), false,
			strings.Replace(x.GroupFilter, "%s", ldap.EscapeFilter(e.DN), 1), []string{"cn"}, nil))
		if err != nil {
			return o, false, domain.Errorf(domain.Unavailable, "The groups in the directory %s cannot be read: %w", x.Name, err)
		}
		for _, g := range in.Entries {
			groups = append(groups, g.DN)
		}
	}
	if err := c.Bind(e.DN, password); err != nil { // last: as this person nothing more is asked
		var refused *ldap.Error
		if errors.As(err, &refused) && refused.ResultCode == ldap.LDAPResultInvalidCredentials {
			return o, false, nil
		}
		return o, false, domain.Errorf(domain.Unavailable, "The directory %s does not judge passwords now: %w", x.Name, err)
	}
	o = outsider{Login: name, FullName: firstOf(e, "displayName", "cn"), Email: e.GetAttributeValue("mail"), Claims: map[string]any{"groups": groupNames(groups), "dn": e.DN}}
	if own := firstOf(e, "uid", "sAMAccountName"); own != "" {
		o.Login = own
	}
	switch id := e.GetRawAttributeValue("objectGUID"); { // what stays when somebody is renamed
	case e.GetAttributeValue("entryUUID") != "":
		o.Subject = "uuid " + e.GetAttributeValue("entryUUID")
	case len(id) > 0:
		o.Subject = "guid " + base32Secret.EncodeToString(id)
	default:
		o.Subject = "dn " + strings.ToLower(e.DN)
	}
	return o, true, nil
}

func firstOf(e *ldap.Entry, names ...string) string {
	for _, n := range names {
		if v := e.GetAttributeValue(n); v != "" {
			return v
		}
	}
	return ""
}

// groupNames lets rules name a group by its whole DN or by its first part alone.
func groupNames(dns []string) []any {
	var out []any
	for _, dn := range dns {
		out = append(out, dn)
		if parsed, err := ldap.ParseDN(dn); err == nil && len(parsed.RDNs) > 0 && len(parsed.RDNs[0].Attributes) > 0 {
			out = append(out, parsed.RDNs[0].Attributes[0].Value)
		}
	}
	return out
}

// signInDirectory asks the directories, in turn, about somebody who has no password here.
func (a *Auth) signInDirectory(ctx context.Context, name, password, addr string) (u domain.User, proof string, ok bool, err error) {
	all, err := a.db.Providers(ctx)
	if err != nil {
		return u, "", false, err
	}
	var away error
	for _, x := range all {
		if x.Kind != domain.ProviderLDAP || x.Disabled {
			continue
		}
		o, fits, err := a.directory(ctx, x, name, password)
		if err != nil {
			a.log.WarnContext(ctx, "a directory does not answer", "provider", x.ID, "error", errors.Unwrap(err))
			away = err
			continue
		}
		if !fits {
			continue
		}
		u, err = a.admit(ctx, x, o, addr)
		return u, "ldap:" + x.ID, err == nil, err
	}
	return u, "", false, away
}

// inDirectory reports whether somebody is linked to an account in a directory that is asked.
func (a *Auth) inDirectory(ctx context.Context, userID string) (bool, error) {
	ids, err := a.db.Identities(ctx, userID)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		if _, err := a.outsideProvider(ctx, id.ProviderID, domain.ProviderLDAP); err == nil {
			return true, nil
		} else if !domain.Is(err, domain.NotFound) {
			return false, err
		}
	}
	return false, nil
}

// LinkDirectory ties the account that asks to one in a directory, whose name and password it has to know.
func (a *Auth) LinkDirectory(ctx context.Context, by Subject, provider, name, password, addr string) error {
	x, err := a.outsideProvider(ctx, provider, domain.ProviderLDAP)
	if err != nil {
		return err
	}
	if wait := max(a.accounts.take("link "+by.UserID), a.addrs.take(addrKey(addr))); wait > 0 {
		return limited(wait)
	}
	o, fits, err := a.directory(ctx, x, strings.TrimSpace(name), password)
	if err != nil {
		return err
	}
	if !fits {
		return domain.InvalidField("directory_password", "The name or the password is not one of "+x.Name+".", "those that you sign in with there")
	}
	a.accounts.forgive("link " + by.UserID)
	a.addrs.forgive(addrKey(addr))
	return a.link(ctx, by, x, o)
}

// directoryPassword proves once more somebody whose password a directory has.
func (a *Auth) directoryPassword(ctx context.Context, u domain.User, password string) (bool, error) {
	ids, err := a.db.Identities(ctx, u.ID)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		x, err := a.outsideProvider(ctx, id.ProviderID, domain.ProviderLDAP)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return false, err
		}
		o, ok, err := a.directory(ctx, x, id.Name, password)
		if err != nil {
			return false, err
		}
		if ok && o.Subject == id.Subject {
			return true, nil
		}
	}
	return false, nil
}
