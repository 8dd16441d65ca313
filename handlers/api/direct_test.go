package api

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/labstack/echo/v4"
)

// ownContent hands itself on as a host's does: a piece of what is in it, a piece from a socket, and how that ends.
type ownContent struct {
	head []byte
	from net.Conn
	rest int64
	err  error
}

func (c ownContent) Read([]byte) (int, error) { return 0, errors.New("it was to hand itself on") }

func (c ownContent) WriteTo(w io.Writer) (int64, error) {
	k, err := w.Write(c.head)
	if err != nil || c.err != nil {
		return int64(k), errors.Join(err, c.err)
	}
	n, err := w.(io.ReaderFrom).ReadFrom(io.LimitReader(c.from, c.rest))
	return int64(k) + n, err
}

func TestContentHandsItselfOn(t *testing.T) {
	const size = 3 << 20
	want := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	for name, broken := range map[string]error{"whole": nil, "broken": errors.New("the host is gone")} {
		t.Run(name, func(t *testing.T) {
			e, sizes, told := echo.New(), make(chan int64, 1), make(chan error, 1)
			e.GET("/", func(c echo.Context) error {
				defer func() { sizes <- c.Response().Size }()
				ln, err := net.Listen("unix", t.TempDir()+"/s")
				if err != nil {
					return err
				}
				defer ln.Close()
				go func() {
					if to, err := ln.Accept(); err == nil {
						to.Write(want[1000:]) //nolint:errcheck // the other side says what it got
						to.Close()
					}
				}()
				from, err := net.Dial("unix", ln.Addr().String())
				if err != nil {
					return err
				}
				defer from.Close()
				c.Response().Header().Set("Content-Length", strconv.Itoa(size))
				SendContent(c, c.Response(), ownContent{want[:1000], from, size - 1000, broken}, func(err error) { told <- err })
				return nil
			})
			s := httptest.NewServer(e)
			defer s.Close()
			var got []byte
			answer, err := http.Get(s.URL)
			if err == nil {
				defer answer.Body.Close()
				got, err = io.ReadAll(answer.Body)
			}
			if broken != nil {
				if err == nil || !errors.Is(<-told, broken) {
					t.Errorf("a part was taken for the whole: %d bytes, %v", len(got), err)
				}
				return
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes came, %v", len(got), err)
			}
			if n := <-sizes; n != size {
				t.Errorf("%d bytes were counted", n)
			}
		})
	}
}
