package bench

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// wireEnv makes this binary, run once more on a lab's host, one end of a connection: "take ADDR 0" or "send ADDR BYTES".
const wireEnv = "NOVACRON_BENCH_WIRE"

func TestMain(m *testing.M) {
	if how := os.Getenv(wireEnv); how != "" {
		if err := end(how); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func end(how string) error {
	var what, addr string
	var bytes int64
	if _, err := fmt.Sscan(how, &what, &addr, &bytes); err != nil {
		return err
	}
	if what == "take" {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		c, err := l.Accept()
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 1<<20))
		return err
	}
	var c net.Conn
	for until := time.Now().Add(30 * time.Second); ; {
		var err error
		if c, err = net.Dial("tcp", addr); err == nil {
			break
		}
		if time.Now().After(until) {
			return err
		}
	}
	for buf := make([]byte, 1<<20); bytes > 0; bytes -= int64(len(buf)) {
		if _, err := c.Write(buf); err != nil {
			return err
		}
	}
	return c.Close()
}
