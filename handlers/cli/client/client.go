// Package client asks a NovaCron server over HTTP: it knows the API's operations from a table that is made from the OpenAPI document, sends a token,
// reads pages to their end, waits for jobs, and turns refusals into errors that say what to do.
//
// It is not for what is printed, nor for where a server and its token are remembered: that is package cli's.
package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	prefix      = "/api/v1"
	problemType = "application/problem+json"
	// perPage is how many items are asked for at once: the most that the API gives.
	perPage = 500
	// connectTimeout is how long a server may take to answer the phone, headTimeout how long to begin its answer beyond what it was asked to wait.
	connectTimeout = 10 * time.Second
	headTimeout    = 150 * time.Second
	answerMost     = 64 << 20
)

// Options say which server is asked, and as whom.
type Options struct {
	Server string // https://novacron.example.org, with a path when it lives below one
	Token  string
	// CA is a file of certificates (PEM) that the server's is from; empty: the system's.
	CA string
	// Code gives a code of the authenticator when the server wants one; nil: nobody can be asked.
	Code  func(ctx context.Context) (string, error)
	Agent string
}

// Client asks one server.
type Client struct {
	base  *url.URL
	token string
	code  func(ctx context.Context) (string, error)
	agent string
	http  *http.Client
}

// New makes a client; it asks nothing yet.
func New(o Options) (*Client, error) {
	base, err := Address(o.Server)
	if err != nil {
		return nil, err
	}
	tr := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: connectTimeout}).DialContext, TLSHandshakeTimeout: connectTimeout,
		ResponseHeaderTimeout: headTimeout, MaxIdleConnsPerHost: 8,
	}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, &UsageError{"The file of authorities cannot be read: " + err.Error(), "Name a file of certificates (PEM) with --ca."}
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, &UsageError{"The file " + o.CA + " holds no certificate.", "Name a file of certificates (PEM) with --ca."}
		}
		tr.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &Client{base: base, token: strings.TrimSpace(o.Token), code: o.Code, agent: cmp.Or(o.Agent, "novacron"), http: &http.Client{Transport: tr, CheckRedirect: stay}}, nil
}

// Address reads a server's address as people write it.
func Address(text string) (*url.URL, error) {
	text = strings.TrimRight(strings.TrimSpace(text), "/")
	if text != "" && !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" {
		return nil, &UsageError{"“" + text + "” is not the address of a server.", "Write for example https://novacron.example.org."}
	}
	return u, nil
}

// stay keeps a token from travelling to another server.
func stay(req *http.Request, via []*http.Request) error {
	if len(via) > 5 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return &UsageError{"The server sends this on to " + req.URL.Scheme + "://" + req.URL.Host + ".", "If that is the server that you mean, name it with --server."}
	}
	return nil
}

// Server is the address of the server.
func (c *Client) Server() string { return c.base.String() }

// Call is one request.
type Call struct {
	Op     string   // the operation's id
	Path   []string // the values in its path, in order
	Query  url.Values
	Body   any       // sent as JSON; json.RawMessage as it is
	Stream io.Reader // sent as it is instead
	Media  string    // what Stream is
	Header http.Header
}

// Answer is what came.
type Answer struct {
	Status int
	Header http.Header
	Body   json.RawMessage
}

// Job says whether the answer is a job that was begun.
func (a *Answer) Job() bool {
	return a.Status == http.StatusAccepted && strings.HasPrefix(a.Header.Get("Location"), prefix+"/jobs/")
}

// Do asks and reads the answer whole.
func (c *Client) Do(ctx context.Context, call Call) (*Answer, error) {
	res, err := c.Open(ctx, call)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerMost))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if op := Find(call.Op); op.Answer != "" && len(body) > 0 && !strings.Contains(res.Header.Get("Content-Type"), "json") {
		return nil, &UnreachableError{c.Server(), errors.New("what answers there is not NovaCron's API")}
	}
	return &Answer{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// Get asks and decodes the answer.
func (c *Client) Get(ctx context.Context, call Call, out any) error {
	a, err := c.Do(ctx, call)
	if err != nil {
		return err
	}
	return c.decode(a.Body, out)
}

func (c *Client) decode(body []byte, out any) error {
	if err := json.Unmarshal(body, out); err != nil {
		return &UnreachableError{c.Server(), fmt.Errorf("what answers there is not NovaCron's API: %w", err)}
	}
	return nil
}

// Open asks and gives the answer with its body yet to be read: for streams and contents.
func (c *Client) Open(ctx context.Context, call Call) (*http.Response, error) {
	op := Find(call.Op)
	if op == nil {
		return nil, fmt.Errorf("the API has no operation %q", call.Op)
	}
	path := op.Path
	names := op.Params()
	if len(names) != len(call.Path) {
		return nil, fmt.Errorf("%s needs %v in its path", op.ID, names)
	}
	for i, name := range names {
		path = strings.Replace(path, "{"+name+"}", url.PathEscape(call.Path[i]), 1)
	}
	return c.send(ctx, op.Method, prefix+path, call, "")
}

// Ask sends a request to any path of the API, such as /vms.
func (c *Client) Ask(ctx context.Context, method, path string, call Call) (*http.Response, error) {
	return c.send(ctx, method, prefix+path, call, "")
}

func (c *Client) send(ctx context.Context, method, path string, call Call, code string) (*http.Response, error) {
	var body []byte
	var err error
	if call.Body != nil {
		if body, err = json.Marshal(call.Body); err != nil {
			return nil, err
		}
	}
	at := strings.TrimRight(c.base.String(), "/") + path
	if len(call.Query) > 0 {
		at += "?" + call.Query.Encode()
	}
	var in io.Reader
	if call.Stream != nil {
		in = call.Stream
	} else if body != nil {
		in = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, at, in)
	if err != nil {
		return nil, err
	}
	for k, v := range call.Header {
		req.Header[k] = v
	}
	if call.Stream != nil {
		req.Header.Set("Content-Type", cmp.Or(call.Media, "application/octet-stream"))
	} else if body != nil {
		req.Header.Set("Content-Type", cmp.Or(call.Media, "application/json"))
	}
	req.Header.Set("User-Agent", c.agent)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if code != "" {
		req.Header.Set("X-NovaCron-Code", code)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if res.StatusCode < 400 {
		return res, nil
	}
	defer res.Body.Close()
	p := c.problem(res)
	if p.Needs == "code" && code == "" && c.code != nil && call.Stream == nil {
		if code, err = c.code(ctx); err != nil {
			return nil, err
		}
		return c.send(ctx, method, path, call, code)
	}
	return nil, p
}

// unreachable says that the server does not answer; that somebody gave up waiting is told as it is.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if u, ok := errors.AsType[*UsageError](err); ok {
		return u
	}
	return &UnreachableError{c.Server(), err}
}

func (c *Client) problem(res *http.Response) *Problem {
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	p := &Problem{Status: res.StatusCode, Server: c.Server(), Token: c.token != ""}
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	if kind != problemType || json.Unmarshal(body, p) != nil || p.Detail == "" {
		p.Detail = fmt.Sprintf("%s answers %s.", c.Server(), res.Status)
		p.Fix = "Look whether that is the address of a NovaCron server."
	}
	p.RetryAfter, _ = strconv.Atoi(res.Header.Get("Retry-After"))
	return p
}

// Page is one page of a list.
type Page struct {
	Items []json.RawMessage `json:"items"`
	Next  *string           `json:"next"`
	Total int               `json:"total"`
}

// Each reads a list page by page and gives each item until there is none, do fails, or most have come (0: all).
func (c *Client) Each(ctx context.Context, call Call, most int, do func(item json.RawMessage) error) error {
	op := Find(call.Op)
	if op == nil {
		return fmt.Errorf("the API has no operation %q", call.Op)
	}
	query := url.Values{}
	for k, v := range call.Query {
		query[k] = slices.Clone(v)
	}
	for seen := 0; ; {
		if op.Takes("limit") {
			limit := perPage
			if most > 0 {
				limit = min(limit, most-seen)
			}
			query.Set("limit", strconv.Itoa(limit))
		}
		call.Query = query
		var page Page
		if err := c.Get(ctx, call, &page); err != nil {
			return err
		}
		for _, item := range page.Items {
			if err := do(item); err != nil {
				return err
			}
			if seen++; most > 0 && seen >= most {
				return nil
			}
		}
		if page.Next == nil || *page.Next == "" || !op.Takes("cursor") || len(page.Items) == 0 {
			return nil
		}
		query.Set("cursor", *page.Next)
	}
}

// All reads a whole list.
func (c *Client) All(ctx context.Context, call Call) ([]json.RawMessage, error) {
	var out []json.RawMessage
	err := c.Each(ctx, call, 0, func(item json.RawMessage) error { out = append(out, item); return nil })
	return out, err
}
