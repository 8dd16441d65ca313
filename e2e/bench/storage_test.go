package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"novacron/e2e/lab"
	"novacron/e2e/server"
)

// A file up into a new raw volume and down again through the API, over the same through virsh vol-upload and vol-download on the same host.
func BenchmarkVolumeContent(b *testing.B) {
	const size = 512 << 20
	_, api, volume, l := contentLab(b)
	file := filepath.Join(b.TempDir(), "content")
	fill(b, file, size)
	virsh := func(args ...string) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		if out, err := l.Virsh(ctx, l.Hosts[0], args...); err != nil {
			b.Fatal(out, err)
		}
	}
	send := func(id string) {
		f, err := os.Open(file)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		call(b, api, http.MethodPut, "/api/v1/volumes/"+id+"/content?wait=60s", f, io.Discard, size)
	}
	take := func(id string) {
		f, err := os.Create(file + ".down")
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		call(b, api, http.MethodGet, "/api/v1/volumes/"+id+"/content", nil, f, size)
	}
	// Each round into new volumes, in turns, and what is dirty in memory goes to the disk between: nobody pays for the other's pages.
	settle := func() {
		if err := os.RemoveAll(file + ".down"); err != nil {
			b.Fatal(err)
		}
		syscall.Sync()
	}
	const rounds = 5
	for b.Loop() {
		var up, down [2][]time.Duration
		for n := range rounds {
			name := fmt.Sprintf("theirs-%d-%d", b.N, n)
			id := volume(fmt.Sprintf("ours-%d-%d", b.N, n), size)
			volume(name, size)
			for _, who := range [][]int{{0, 1}, {1, 0}}[n%2] {
				settle()
				up[who] = append(up[who], timed([]func(){func() { send(id) }, func() { virsh("vol-upload", "--pool", "bench", name, file) }}[who]))
			}
			for _, who := range [][]int{{0, 1}, {1, 0}}[n%2] {
				settle()
				down[who] = append(down[who], timed([]func(){func() { take(id) }, func() { virsh("vol-download", "--pool", "bench", name, file+".down") }}[who]))
			}
		}
		for what, d := range map[string][2][]time.Duration{"upload": up, "download": down} {
			o, v := quantile(d[0], 0.5), quantile(d[1], 0.5)
			b.ReportMetric(float64(v)/float64(o), what+"-throughput-ratio")
			b.Logf("%s of %d MiB: API %.0f MiB/s, virsh %.0f MiB/s, ratio %.2f (medians of %d)", what, size>>20, rate(size, o), rate(size, v), float64(v)/float64(o), rounds)
		}
	}
}

// A sparse volume of 20 GiB up and down through the API, and what it does to the server's memory, which the issue bounds at 32 MB.
func BenchmarkSparseContent(b *testing.B) {
	const sparse = 20 << 30
	s, api, volume, _ := contentLab(b)
	for b.Loop() {
		at := "/api/v1/volumes/" + volume(fmt.Sprint("sparse-", b.N), sparse) + "/content"
		for _, c := range []struct {
			what string
			do   func()
		}{
			{"upload", func() {
				call(b, api, http.MethodPut, at+"?wait=120s", io.LimitReader(zeros{}, sparse), io.Discard, sparse)
			}},
			{"download", func() { call(b, api, http.MethodGet, at, nil, io.Discard, sparse) }},
		} {
			before, most := rss(b, s.PID()), int64(0)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				c.do()
			}()
			look := time.NewTicker(200 * time.Millisecond)
			for open := true; open; {
				select {
				case <-ended:
					open = false
				case <-look.C:
				}
				most = max(most, rss(b, s.PID()))
			}
			look.Stop()
			b.ReportMetric(float64(most-before)/(1<<20), c.what+"-growth-MiB")
			b.Logf("%s of a sparse volume of %d GiB: the server grew by %.1f MiB at most, from %.1f MiB", c.what, int64(sparse)>>30, float64(most-before)/(1<<20), float64(before)/(1<<20))
		}
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// contentLab is a server and a host with a pool, and what makes raw volumes in it.
func contentLab(b *testing.B) (*server.Server, *server.API, func(name string, bytes int64) string, *lab.Lab) {
	b.Helper()
	l := up(b, lab.Options{Hosts: 1})
	s := server.Start(b)
	api := s.API()
	api.HTTP.Timeout = 0
	host := api.AddHost(b, "h1", l.Hosts[0].URI)
	pool := struct{ Items []struct{ ID string } }{}
	api.Change(b, "POST", "/api/v1/pools", map[string]any{"name": "bench", "host": host, "type": "dir", "target": "/var/lib/libvirt/bench"}, "succeeded")
	if _, err := api.Do("GET", "/api/v1/pools?filter=bench", nil, &pool); err != nil || len(pool.Items) != 1 {
		b.Fatal(pool, err)
	}
	return s, api, func(name string, bytes int64) string {
		return api.Change(b, "POST", "/api/v1/volumes", map[string]any{"pool": pool.Items[0].ID, "name": name, "size_bytes": bytes, "format": "raw"}, "succeeded").Resource.ID
	}, l
}

func rate(n int64, d time.Duration) float64 { return float64(n) / (1 << 20) / d.Seconds() }

// fill writes a file that does not shrink.
func fill(b *testing.B, file string, size int64) {
	b.Helper()
	f, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	r, err := os.Open("/dev/urandom")
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	if _, err := io.CopyN(f, r, size); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// call sends or takes n bytes of content and wants them all.
func call(b *testing.B, api *server.API, method, path string, body io.Reader, to io.Writer, n int64) {
	req, err := http.NewRequest(method, api.Base+path, body)
	if err != nil {
		b.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+api.Token)
	if body != nil {
		req.ContentLength = n
	}
	res, err := api.HTTP.Do(req)
	if err != nil {
		b.Error(err)
		return
	}
	defer res.Body.Close()
	got, err := io.Copy(to, res.Body)
	if err != nil || res.StatusCode >= 300 || body == nil && got != n {
		b.Errorf("%s %s: %s, %d bytes, %v", method, path, res.Status, got, err)
	}
}
