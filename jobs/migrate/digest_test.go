package migrate

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
)

// holes is a source of bytes that says where its zeros are, in runs that begin and end anywhere.
type holes struct{ left []byte }

func (h *holes) Read(p []byte) (int, error) {
	if len(h.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, h.left)
	for i := 1; i < n; i++ {
		if h.left[i] == 0 && h.left[i-1] != 0 { // up to where a run of zeros begins
			n = i
		}
	}
	h.left = h.left[n:]
	return n, nil
}

func (h *holes) Skip(most int64) int64 {
	n := 0
	for n < len(h.left) && int64(n) < most && h.left[n] == 0 {
		n++
	}
	h.left = h.left[n:]
	return int64(n)
}

// What is summed up is the content, whether its zeros were read or passed over, and nothing else has that sum.
func TestADigestIsOfTheContentAlone(t *testing.T) {
	const size = 5*digestBlock + 1234
	of := func(r io.Reader) (string, int64) {
		t.Helper()
		x := &tally{r: r, sum: newDigest(), tell: func(int64) {}}
		if err := x.drain(); err != nil {
			t.Fatal(err)
		}
		return x.sum.String(), x.n
	}
	for range 200 {
		b := make([]byte, size)
		for range rand.IntN(4) {
			at := rand.IntN(size)
			for i := at; i < min(size, at+rand.IntN(3*digestBlock)); i++ {
				b[i] = byte(1 + rand.IntN(255))
			}
		}
		plain, n := of(struct{ io.Reader }{bytes.NewReader(b)})
		if n != size {
			t.Fatal(n)
		}
		if got, n := of(&holes{b}); got != plain || n != size {
			t.Fatalf("with holes %s of %d bytes, without %s", got, n, plain)
		}
		if got, _ := of(bytes.NewReader(append(b, 0))); got == plain {
			t.Fatal("a longer content has the same digest")
		}
		b[rand.IntN(size)] ^= 1
		if got, _ := of(&holes{b}); got == plain {
			t.Fatal("another content has the same digest")
		}
	}
}
