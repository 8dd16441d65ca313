package domain

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID makes an identifier "prefix_" + 48 bits of milliseconds + 80 random bits in Crockford base32, so ids sort by time of birth.
func NewID(prefix string, now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	rand.Read(b[6:])
	return prefix + "_" + idEncoding.EncodeToString(b[:])
}

// NewUUID makes a random (version 4) UUID, RFC 9562.
func NewUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}

// NewMAC makes a random unicast MAC in QEMU's registered prefix 52:54:00.
func NewMAC() string {
	var b [3]byte
	rand.Read(b[:])
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", b[0], b[1], b[2])
}

var uuidRE = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// ValidUUID reports whether s is a lower-case hyphenated UUID.
func ValidUUID(s string) bool { return uuidRE.MatchString(s) }

// derivedID makes the same identifier from the same parts, for things that a host has and that NovaCron only mirrors: they keep it however often
// the mirror is written anew, and across restarts of either side.
func derivedID(prefix string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return prefix + "_" + idEncoding.EncodeToString(sum[:16])
}

// PoolID identifies a storage pool. Pools of several hosts on the same shared storage (the same identity, see Pool.Identity) are one pool.
func PoolID(hostID, name, identity string) string {
	if identity != "" {
		return derivedID("pool", "shared", identity)
	}
	return derivedID("pool", hostID, name)
}

// VolumeID identifies a volume by its pool and name.
func VolumeID(poolID, name string) string { return derivedID("vol", poolID, name) }

// NetworkID identifies a libvirt network of one host.
func NetworkID(hostID, name string) string { return derivedID("net", hostID, name) }
