package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// openRPC says the least of libvirt's protocol that opens a connection to a driver: enough to know that a daemon is up,
// and to hold a test driver's state, which lasts as long as its last connection.
func openRPC(ctx context.Context, addr, driver string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := callOpen(conn, driver); err != nil {
		_ = conn.Close() // the call's failure is what counts
		return nil, err
	}
	return conn, nil
}

const (
	remoteProgram  = 0x20008086
	remoteVersion  = 1
	procOpen       = 1
	headerSize     = 28
	largestMessage = 1 << 20
)

func callOpen(conn net.Conn, driver string) error {
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	padded := (len(driver) + 3) &^ 3
	msg := make([]byte, headerSize+4+4+padded+4)
	// #nosec G115 -- a header and the name of a driver: below 100 bytes
	for i, word := range []uint32{uint32(len(msg)), remoteProgram, remoteVersion, procOpen, 0 /* call */, 0 /* serial */, 0 /* ok */} {
		binary.BigEndian.PutUint32(msg[4*i:], word)
	}
	binary.BigEndian.PutUint32(msg[headerSize:], 1)                     // the name is there
	binary.BigEndian.PutUint32(msg[headerSize+4:], uint32(len(driver))) // #nosec G115 -- the name of a driver: below 100 bytes
	copy(msg[headerSize+8:], driver)
	if _, err := conn.Write(msg); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < headerSize || n > largestMessage {
		return fmt.Errorf("lab: %s sent a message of %d bytes", conn.RemoteAddr(), n)
	}
	reply := make([]byte, n-4)
	if _, err := io.ReadFull(conn, reply); err != nil {
		return err
	}
	if status := binary.BigEndian.Uint32(reply[20:]); status != 0 {
		return fmt.Errorf("lab: %s refused to open %s", conn.RemoteAddr(), driver)
	}
	return conn.SetDeadline(time.Time{})
}
