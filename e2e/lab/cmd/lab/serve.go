package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"novacron/e2e/lab"
)

// server is NovaCron over a lab, spoken to as any client would: by its command line and its API.
type server struct {
	binary, listen string
}

func (s *server) run(ctx context.Context, l *lab.Lab) error {
	data := filepath.Join(l.Dir, "novacron-data")
	cmd := exec.Command(s.binary, "serve", "--data", data, "--listen", s.listen)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process, which is ended below
	stop := func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		return <-ended
	}

	if err := s.addHosts(ctx, l, data); err != nil {
		return errors.Join(err, stop())
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return stop()
	}
}

func (s *server) addHosts(ctx context.Context, l *lab.Lab, data string) error {
	_, port, err := net.SplitHostPort(s.listen)
	if err != nil {
		return err
	}
	base := "http://127.0.0.1:" + port
	if err := ready(ctx, base+"/readyz"); err != nil {
		return err
	}
	token, err := exec.CommandContext(ctx, s.binary, "token", "create", "--data", data, "--name", "lab").Output()
	if err != nil {
		return fmt.Errorf("make a token: %w", err)
	}
	uris := map[string]string{}
	for _, h := range l.Hosts {
		uris[h.Name] = h.URI
	}
	for _, h := range l.TestHosts {
		uris[h.Name] = h.URI
	}
	for name, uri := range uris {
		if err := addHost(ctx, base, strings.TrimSpace(string(token)), name, uri); err != nil {
			return err
		}
	}
	return nil
}

func addHost(ctx context.Context, base, token, name, uri string) error {
	body, err := json.Marshal(map[string]string{"name": name, "uri": uri})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/hosts", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		text, err := io.ReadAll(io.LimitReader(res.Body, 4096))
		return errors.Join(fmt.Errorf("add host %s: %s: %s", name, res.Status, text), err)
	}
	return nil
}

func ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			if err := res.Body.Close(); err != nil {
				return err
			}
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready: %w", ctx.Err())
		case <-again.C:
		}
	}
}
