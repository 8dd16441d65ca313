package db

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"novacron/db/seal"
	"novacron/domain"
)

// inFiles looks for a text in everything that lies beside the database.
func inFiles(t *testing.T, dir, canary string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(canary)) {
			return true
		}
	}
	return false
}

func TestSecretsLieSealed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(dir, "novacron.db")
	d := openAt(t, path)
	const canary = "canary-of-a-passphrase"
	creds := domain.HostCredentials{SSHKey: canary}
	write(t, d, func(tx *Tx) error {
		if err := tx.InsertHost(domain.Host{ID: "host_1", Name: "a", URI: "qemu:///system", State: domain.HostConnecting}, creds); err != nil {
			return err
		}
		return tx.InsertSecret(Secret{UUID: "u1", Name: "disk", CreatedAt: start}, []byte(canary))
	})
	if got, err := d.HostCredentials(t.Context(), "host_1"); err != nil || got != creds {
		t.Error(got, err)
	}
	if s, got, err := d.Secret(t.Context(), "u1"); err != nil || string(got) != canary || s.Name != "disk" {
		t.Error(s, string(got), err)
	}
	if inFiles(t, dir, canary) {
		t.Error("a secret lies in the clear")
	}

	// What an older release wrote in the clear is sealed at the next start, and nothing of it is left.
	const old = "canary-of-an-older-release"
	if _, err := d.write.Exec("UPDATE host_credentials SET creds = ?", `{"ssh_key":"`+old+`"}`); err != nil {
		t.Fatal(err)
	}
	if !inFiles(t, dir, old) {
		t.Fatal("the test does not see what lies in the clear")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openAt(t, path)
	if got, err := d.HostCredentials(t.Context(), "host_1"); err != nil || got.SSHKey != old {
		t.Error(got, err)
	}
	if inFiles(t, dir, old) {
		t.Error("credentials of before lie in the clear")
	}
	write(t, d, func(tx *Tx) error { return tx.SetVolumeSecret("vol_1", "u1") })
	if id, err := d.VolumeSecret(t.Context(), "vol_1"); err != nil || id != "u1" {
		t.Error(id, err)
	}
	write(t, d, func(tx *Tx) error { return tx.DeleteSecret("u1") })
	if _, err := d.VolumeSecret(t.Context(), "vol_1"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	if _, _, err := d.Secret(t.Context(), "u1"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := seal.New(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, slog.New(slog.DiscardHandler), time.Now, Seal(other)); domain.CodeOf(err) != domain.Invalid {
		t.Errorf("another key: %v", err)
	}
}

func TestUploadsAndChecksums(t *testing.T) {
	d := open(t)
	u := Upload{JobID: "job_1", VolumeID: "vol_1", Total: 10, Hash: []byte{1}, SHA256: "ab", UpdatedAt: start}
	write(t, d, func(tx *Tx) error {
		if err := tx.InsertJob(domain.Job{ID: "job_1", Kind: "volume.upload", State: domain.JobQueued, CreatedAt: start}, ""); err != nil {
			return err
		}
		return tx.InsertUpload(u)
	})
	write(t, d, func(tx *Tx) error { return tx.AdvanceUpload("job_1", 7, []byte{2, 3}, start.Add(time.Second)) })
	for _, get := range []func() (Upload, error){func() (Upload, error) { return d.Upload(t.Context(), "job_1") }, func() (Upload, error) { return d.VolumeUpload(t.Context(), "vol_1") }} {
		if got, err := get(); err != nil || got.Received != 7 || got.Total != 10 || string(got.Hash) != "\x02\x03" || got.SHA256 != "ab" || !got.UpdatedAt.Equal(start.Add(time.Second)) {
			t.Errorf("%+v %v", got, err)
		}
	}
	write(t, d, func(tx *Tx) error { return tx.DeleteUpload("job_1") })
	if _, err := d.VolumeUpload(t.Context(), "vol_1"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	if err := d.Write(t.Context(), func(tx *Tx) error { return tx.AdvanceUpload("job_1", 1, nil, start) }); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	for _, sum := range []string{"aa", "bb"} {
		write(t, d, func(tx *Tx) error { return tx.SetChecksum("vol_1", Checksum{sum, 5, start}) })
		if c, err := d.Checksum(t.Context(), "vol_1"); err != nil || c.SHA256 != sum || c.Bytes != 5 || !c.At.Equal(start) {
			t.Errorf("%+v %v", c, err)
		}
	}
	write(t, d, func(tx *Tx) error { return tx.DropChecksum("vol_1") })
	if _, err := d.Checksum(t.Context(), "vol_1"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
}
