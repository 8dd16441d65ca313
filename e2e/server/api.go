package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// API is a script's view of the server.
type API struct {
	Base  string
	Token string
	HTTP  *http.Client
}

// API gives a client with the server's token.
func (s *Server) API() *API {
	return &API{Base: s.URL, Token: s.Token, HTTP: &http.Client{Timeout: 3 * time.Minute}}
}

// Host is the API's host.
type Host struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	URI   string `json:"uri"`
	State string `json:"state"`
}

// VM is the API's VM.
type VM struct {
	ID          string   `json:"id"`
	UUID        string   `json:"uuid"`
	Name        string   `json:"name"`
	State       string   `json:"state"`
	HostID      string   `json:"host_id"`
	VCPUs       int      `json:"vcpus"`
	MemoryBytes int64    `json:"memory_bytes"`
	Version     int64    `json:"version"`
	Tags        []string `json:"tags"`
	Disks       []struct {
		Target string `json:"target"`
		Source string `json:"source"`
		Pool   string `json:"pool"`
	} `json:"disks"`
	Pending []struct {
		Field, Old, New string
	} `json:"pending"`
}

// Job is the API's job.
type Job struct {
	ID       string  `json:"id"`
	Kind     string  `json:"kind"`
	State    string  `json:"state"`
	Progress float64 `json:"progress"`
	Resource struct {
		Kind, ID, Name string
	} `json:"resource"`
	Steps []struct {
		Name, State, Error string
	} `json:"steps"`
	Error *struct {
		Code, Message, Fix, Step string
	} `json:"error"`
}

// Ended reports whether the job will not move again by itself.
func (j Job) Ended() bool { return j.State == "succeeded" || j.State == "undone" || j.State == "stuck" }

// Problem is an RFC 9457 answer.
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Fix    string `json:"fix"`
	Errors []struct {
		Field    string `json:"field"`
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
	Holder string `json:"holder"`
}

func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail) }

// HasField reports whether the problem names the field.
func (p *Problem) HasField(f string) bool {
	for _, e := range p.Errors {
		if e.Field == f || strings.HasSuffix(e.Location, f) {
			return true
		}
	}
	return false
}

// Do sends a request and decodes the answer into out; a status of 400 or more is a *Problem.
func (a *API) Do(method, path string, in, out any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, a.Base+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.Token != "" {
		req.Header.Set("Authorization", "Bearer "+a.Token)
	}
	res, err := a.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return res, err
	}
	if res.StatusCode >= 400 {
		p := &Problem{Status: res.StatusCode, Detail: string(b)}
		if strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") {
			if err := json.Unmarshal(b, p); err != nil {
				return res, err
			}
		}
		return res, p
	}
	if out != nil && len(b) > 0 {
		if err := json.Unmarshal(b, out); err != nil {
			return res, fmt.Errorf("%s %s: %w in %s", method, path, err, b)
		}
	}
	return res, nil
}

// Ready is nil when /readyz says so.
func (a *API) Ready() error {
	_, err := a.Do("GET", "/readyz", nil, nil)
	return err
}

// Change sends a change, waits for its job and fails the test unless it ends in the wanted state.
func (a *API) Change(t testing.TB, method, path string, in any, want string) Job {
	t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	var j Job
	if _, err := a.Do(method, path+sep+"wait=60s", in, &j); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if !j.Ended() {
		j = a.Await(t, j.ID)
	}
	if j.State != want {
		t.Fatalf("%s %s: the job is %s, wanted %s: %+v", method, path, j.State, want, j)
	}
	return j
}

// Await waits for a job to end.
func (a *API) Await(t testing.TB, id string) (j Job) {
	t.Helper()
	Wait(t, 2*time.Minute, "job "+id, func() error {
		if _, err := a.Do("GET", "/api/v1/jobs/"+id, nil, &j); err != nil {
			return err
		}
		if !j.Ended() {
			return Not("an ended job", j.State)
		}
		return nil
	})
	return j
}

// AddHost connects a host and gives its id.
func (a *API) AddHost(t testing.TB, name, uri string) string {
	t.Helper()
	return a.Change(t, "POST", "/api/v1/hosts", map[string]string{"name": name, "uri": uri}, "succeeded").Resource.ID
}

// VM reads one VM.
func (a *API) VM(id string) (VM, error) {
	var v VM
	_, err := a.Do("GET", "/api/v1/vms/"+id, nil, &v)
	return v, err
}

// VMs reads every VM, page by page.
func (a *API) VMs() ([]VM, error) {
	var all []VM
	cursor := ""
	for {
		var page struct {
			Items []VM   `json:"items"`
			Next  string `json:"next"`
		}
		if _, err := a.Do("GET", "/api/v1/vms?limit=200&cursor="+cursor, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		cursor = page.Next
	}
}

// WaitVM waits until a VM is in a state.
func (a *API) WaitVM(t testing.TB, id, state string, most time.Duration) {
	t.Helper()
	Wait(t, most, "VM "+id+" to be "+state, func() error {
		v, err := a.VM(id)
		if err == nil && v.State != state {
			err = Not(state, v.State)
		}
		return err
	})
}
