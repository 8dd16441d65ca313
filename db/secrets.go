package db

import (
	"context"
	"time"

	"novacron/db/seal"
)

func credentialsOf(hostID string) string { return "credentials of " + hostID }

func secretOf(uuid string) string { return "secret " + uuid }

// sealCredentials seals what releases before wrote in the clear, wipes where it lay, and sees that the key is the right one.
func (d *DB) sealCredentials(ctx context.Context) error {
	var rows []struct {
		ID    string `db:"host_id"`
		Creds string
	}
	if err := d.write.SelectContext(ctx, &rows, "SELECT host_id, creds FROM host_credentials ORDER BY host_id"); err != nil {
		return edge(err, "host")
	}
	var open []int
	for i, r := range rows {
		if !seal.Sealed(r.Creds) {
			open = append(open, i)
		} else if _, err := d.box.Open(r.Creds, credentialsOf(r.ID)); err != nil {
			return err
		}
	}
	if len(open) == 0 {
		return nil
	}
	if _, err := d.write.ExecContext(ctx, "PRAGMA secure_delete = on"); err != nil {
		return edge(err, "host")
	}
	for _, i := range open {
		s, err := d.box.Seal([]byte(rows[i].Creds), credentialsOf(rows[i].ID))
		if err != nil {
			return err
		}
		if _, err := d.write.ExecContext(ctx, "UPDATE host_credentials SET creds = ? WHERE host_id = ?", s, rows[i].ID); err != nil {
			return edge(err, "host")
		}
	}
	// The file has pages of before too, that were free already, and so has the log beside it.
	for _, q := range []string{"VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA secure_delete = off"} {
		if _, err := d.write.ExecContext(ctx, q); err != nil {
			return edge(err, "host")
		}
	}
	d.log.InfoContext(ctx, "sealed the credentials of hosts", "hosts", len(open))
	return nil
}

// Secret says which libvirt secret opens an encrypted volume; its value is sealed.
type Secret struct {
	UUID      string
	Name      string    // of the volume, for the secret's description on hosts
	CreatedAt time.Time // when it was made
}

// InsertSecret keeps a passphrase, sealed. The volume need not be there yet.
func (tx *Tx) InsertSecret(s Secret, value []byte) error {
	sealed, err := tx.d.box.Seal(value, secretOf(s.UUID))
	if err != nil {
		return err
	}
	return tx.one("secret", "INSERT INTO volume_secrets (uuid, name, sealed, created_at) VALUES (?, ?, ?, ?)", s.UUID, s.Name, sealed, ms(s.CreatedAt))
}

// SetVolumeSecret says which secret opens a volume, which need not be there yet.
func (tx *Tx) SetVolumeSecret(volumeID, uuid string) error {
	return tx.one("secret", "INSERT INTO encrypted_volumes (volume_id, uuid) VALUES (?, ?) ON CONFLICT (volume_id) DO UPDATE SET uuid = excluded.uuid", volumeID, uuid)
}

// VolumeSecret gives the UUID of the secret that opens a volume. NotFound for one that is not encrypted, or not by us.
func (d *DB) VolumeSecret(ctx context.Context, volumeID string) (string, error) {
	var uuid string
	err := d.read.GetContext(ctx, &uuid, "SELECT uuid FROM encrypted_volumes WHERE volume_id = ?", volumeID)
	return uuid, edge(err, "secret")
}

// DeleteSecret forgets a passphrase: what it encrypts can never be read again.
func (tx *Tx) DeleteSecret(uuid string) error {
	if _, err := tx.exec("DELETE FROM encrypted_volumes WHERE uuid = ?", uuid); err != nil {
		return edge(err, "secret")
	}
	_, err := tx.exec("DELETE FROM volume_secrets WHERE uuid = ?", uuid)
	return edge(err, "secret")
}

// Secret gives a passphrase. NotFound for one that somebody else made on the host.
func (d *DB) Secret(ctx context.Context, uuid string) (Secret, []byte, error) {
	var r struct {
		UUID, Name, Sealed string
		CreatedAt          int64 `db:"created_at"`
	}
	if err := d.read.GetContext(ctx, &r, "SELECT uuid, name, sealed, created_at FROM volume_secrets WHERE uuid = ?", uuid); err != nil {
		return Secret{}, nil, edge(err, "secret")
	}
	value, err := d.box.Open(r.Sealed, secretOf(uuid))
	return Secret{UUID: r.UUID, Name: r.Name, CreatedAt: at(r.CreatedAt)}, value, err
}

// Upload is what is known of content on its way into a volume.
type Upload struct {
	JobID     string
	VolumeID  string
	Total     int64  // bytes that are to come
	Received  int64  // bytes that the volume has for certain
	Hash      []byte // state of the SHA-256 over those
	SHA256    string // what it has to be in the end; empty: whatever it is
	UpdatedAt time.Time
}

type uploadRow struct {
	JobID     string `db:"job_id"`
	VolumeID  string `db:"volume_id"`
	Total     int64
	Received  int64
	Hash      []byte
	SHA256    string `db:"sha256"`
	UpdatedAt int64  `db:"updated_at"`
}

const uploadColumns = "job_id, volume_id, total, received, hash, sha256, updated_at"

func (r uploadRow) upload() Upload {
	return Upload{r.JobID, r.VolumeID, r.Total, r.Received, r.Hash, r.SHA256, at(r.UpdatedAt)}
}

// InsertUpload begins one, with its job.
func (tx *Tx) InsertUpload(u Upload) error {
	return tx.one("upload", "INSERT INTO uploads (job_id, volume_id, total, received, hash, sha256, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
		u.JobID, u.VolumeID, u.Total, u.Received, u.Hash, u.SHA256, ms(u.UpdatedAt))
}

// AdvanceUpload says how far it is.
func (tx *Tx) AdvanceUpload(jobID string, received int64, hash []byte, when time.Time) error {
	return tx.one("upload", "UPDATE uploads SET received = ?, hash = ?, updated_at = ? WHERE job_id = ?", received, hash, ms(when), jobID)
}

// DeleteUpload ends one; nothing happens when it has ended.
func (tx *Tx) DeleteUpload(jobID string) error {
	_, err := tx.exec("DELETE FROM uploads WHERE job_id = ?", jobID)
	return edge(err, "upload")
}

// Upload finds the upload of a job.
func (d *DB) Upload(ctx context.Context, jobID string) (Upload, error) {
	var r uploadRow
	err := d.read.GetContext(ctx, &r, "SELECT "+uploadColumns+" FROM uploads WHERE job_id = ?", jobID)
	return r.upload(), edge(err, "upload")
}

// VolumeUpload finds the upload that is on its way into a volume.
func (d *DB) VolumeUpload(ctx context.Context, volumeID string) (Upload, error) {
	var r uploadRow
	err := d.read.GetContext(ctx, &r, "SELECT "+uploadColumns+" FROM uploads WHERE volume_id = ? ORDER BY updated_at DESC LIMIT 1", volumeID)
	return r.upload(), edge(err, "upload")
}

// Checksum is what a volume's content was found to be.
type Checksum struct {
	SHA256 string
	Bytes  int64
	At     time.Time
}

// SetChecksum keeps a volume's checksum.
func (tx *Tx) SetChecksum(volumeID string, c Checksum) error {
	return tx.one("volume", "INSERT INTO volume_checksums (volume_id, sha256, bytes, at) VALUES (?, ?, ?, ?) ON CONFLICT (volume_id) DO UPDATE SET sha256 = excluded.sha256, bytes = excluded.bytes, at = excluded.at",
		volumeID, c.SHA256, c.Bytes, ms(c.At))
}

// DropChecksum forgets it: the content is another.
func (tx *Tx) DropChecksum(volumeID string) error {
	_, err := tx.exec("DELETE FROM volume_checksums WHERE volume_id = ?", volumeID)
	return edge(err, "volume")
}

// Checksum gives what the volume's content was when somebody looked last. NotFound when nobody did.
func (d *DB) Checksum(ctx context.Context, volumeID string) (Checksum, error) {
	var r struct {
		SHA256 string `db:"sha256"`
		Bytes  int64
		At     int64
	}
	err := d.read.GetContext(ctx, &r, "SELECT sha256, bytes, at FROM volume_checksums WHERE volume_id = ?", volumeID)
	return Checksum{r.SHA256, r.Bytes, at(r.At)}, edge(err, "checksum")
}
