package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"novacron/domain"
)

const (
	fetchRedirects = 5
	fetchSilence   = time.Minute // how long the other side may send nothing
)

// metadata services and their kin, which answer secrets to whoever asks from this machine.
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("fd00:ec2::254/128"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("::/96"),
}

// Reachable refuses addresses that lead to this machine itself, to its own links or to a cloud's metadata, as Denied. It judges the address that is dialled, after
// names were looked up, so that no name and no redirect leads around it. With local those of this machine and its links are let through.
func Reachable(address string, local bool) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	ip = ip.Unmap().WithZone("")
	if local && !ip.IsMulticast() && !ip.IsUnspecified() {
		return nil
	}
	bad := ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip.IsInterfaceLocalMulticast()
	for _, p := range forbidden {
		bad = bad || p.Contains(ip)
	}
	if bad {
		return domain.Errorf(domain.Denied, "The address leads to %s, which is this machine itself, its own network link or a metadata service. Nothing is fetched from there.", ip).
			WithFix("Upload the file instead, or start NovaCron with --fetch-local if that is meant.")
	}
	return nil
}

// guarded dials what is Reachable.
func guarded(wait time.Duration, local bool) *net.Dialer {
	return &net.Dialer{Timeout: wait, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error { return Reachable(address, local) }}
}

// Caller makes a client that calls addresses which people have typed: where they may lead is judged by Reachable, and no redirect is followed, which may lead inside.
// A call takes most at the longest; with keep one connection to each place stays open for the next.
func Caller(most time.Duration, local, keep bool) *http.Client {
	return &http.Client{
		Timeout: most,
		Transport: &http.Transport{
			DialContext: guarded(10*time.Second, local).DialContext, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives: !keep, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (l *Library) client() *http.Client {
	dialer := guarded(20*time.Second, l.local)
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: 20 * time.Second, ResponseHeaderTimeout: time.Minute, DisableCompression: true, DisableKeepAlives: true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > fetchRedirects {
				return domain.Errorf(domain.Invalid, "The address redirects more than %d times.", fetchRedirects)
			}
			if req.URL.Scheme != "http" && req.URL.Scheme != "https" || via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
				return domain.Errorf(domain.Denied, "The address redirects to %s, which is not followed.", strings.TrimSuffix(req.URL.Scheme+"://"+req.URL.Host, "://"))
			}
			return nil
		},
	}
}

// fetched is what a job remembers of a download, so that it can go on with the same file.
type fetched struct {
	ETag  string `json:"etag,omitempty"`
	Total int64  `json:"total,omitempty"` // 0: not said
	Done  bool   `json:"done,omitempty"`
}

// fetch brings a version's content from an address, going on where an earlier try ended if the other side still has the same file. known is what that
// try learnt, and keep is called with what this one learns before any content is written.
func (l *Library) fetch(ctx context.Context, versionID, address string, known fetched, keep func(fetched) error, progress func(done, total int64)) (fetched, error) {
	have, err := l.Received(versionID)
	if err != nil {
		return known, err
	}
	if known.ETag == "" && have > 0 { // nothing tells that it is the same file
		if err := l.discard(versionID); err != nil {
			return known, err
		}
		have = 0
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return known, domain.InvalidField("source.url", "That is not an address that can be fetched.", "one that starts with http:// or https://")
	}
	req.Header.Set("User-Agent", "NovaCron")
	req.Header.Set("Accept", "*/*")
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		req.Header.Set("If-Range", known.ETag)
	}
	res, err := l.client().Do(req)
	if err != nil {
		return known, fetchError(ctx, err)
	}
	defer res.Body.Close()
	now := fetched{ETag: strongETag(res.Header.Get("ETag"))}
	switch {
	case res.StatusCode == http.StatusPartialContent && have > 0 && continues(res.Header.Get("Content-Range"), have):
		now.ETag, now.Total = known.ETag, known.Total
	case res.StatusCode == http.StatusOK:
		if have > 0 {
			if err := l.discard(versionID); err != nil {
				return known, err
			}
			have = 0
		}
		now.Total = max(res.ContentLength, 0)
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable && known.Total == have && have > 0:
		known.Done = true
		return known, keep(known)
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return known, domain.Errorf(domain.Unavailable, "%s answered %s.", req.URL.Host, res.Status).WithFix("Try again later.")
	default:
		return known, domain.Errorf(domain.Invalid, "%s answered %s.", req.URL.Host, res.Status).WithFix("Check the address.")
	}
	if err := keep(now); err != nil {
		return now, err
	}
	return now, l.drain(ctx, cancel, versionID, have, now.Total, res.Body, progress)
}

// drain writes the body behind what is there. A silent other side is given up.
func (l *Library) drain(ctx context.Context, cancel context.CancelFunc, versionID string, have, total int64, body io.Reader, progress func(done, total int64)) error {
	quiet := time.AfterFunc(fetchSilence, cancel)
	defer quiet.Stop()
	done := have
	n, err := l.Receive(ctx, versionID, have, positive(total), counted{body, total, func(d, t int64) {
		quiet.Reset(fetchSilence)
		if progress != nil {
			progress(have+d, t)
		}
	}, new(int64)})
	done = max(done, n)
	if err != nil {
		return err
	}
	if total > 0 && done != total {
		return domain.Errorf(domain.Unavailable, "The download broke off after %s of %s.", domain.FormatBytes(done), domain.FormatBytes(total)).WithFix("Try again; it goes on from there.")
	}
	return nil
}

func positive(n int64) int64 {
	if n <= 0 {
		return -1
	}
	return n
}

// strongETag keeps only what tells that a file is the same byte for byte.
func strongETag(tag string) string {
	if strings.HasPrefix(tag, "W/") || len(tag) > 256 {
		return ""
	}
	return tag
}

// continues reports whether a partial answer begins where it should.
func continues(header string, at int64) bool {
	rest, ok := strings.CutPrefix(header, "bytes ")
	from, _, cut := strings.Cut(rest, "-")
	n, err := strconv.ParseInt(from, 10, 64)
	return ok && cut && err == nil && n == at
}

func fetchError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e, ok := errors.AsType[*domain.Error](err); ok {
		return e
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if d, ok := errors.AsType[*net.DNSError](err); ok && d.IsNotFound {
		return domain.Errorf(domain.Invalid, "The name %s is not known.", d.Name).WithFix("Check the address.").WithCause(err)
	}
	if os.IsTimeout(err) {
		return domain.Errorf(domain.Unavailable, "The address did not answer in time.").WithFix("Try again later.").WithCause(err)
	}
	return domain.Errorf(domain.Unavailable, "The address cannot be fetched: %s.", err.Error()).WithFix("Check the address, and that this server reaches it.").WithCause(err)
}
