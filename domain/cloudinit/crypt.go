package cloudinit

import (
	"crypto/rand"
	"crypto/sha512"
	"strconv"
	"strings"

	"novacron/domain"
)

const (
	cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	cryptRounds   = 50_000 // ten times the default: a tenth of a second for whoever signs in
	defaultRounds = 5_000
)

// Hash makes the crypt(3) hash of a password by SHA-512 with a salt of its own.
func Hash(password string) string {
	var b [16]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = cryptAlphabet[b[i]&63]
	}
	return sha512Crypt(password, string(b[:]), cryptRounds)
}

// Settle gives what may be stored: a plain password is replaced by its hash.
func Settle(c domain.CloudInit) domain.CloudInit {
	if c.Password != "" {
		c.Password, c.PasswordHash = "", Hash(c.Password)
	}
	return c
}

// sha512Crypt is Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512", version 0.6; the letters are the steps of that text.
func sha512Crypt(password, salt string, rounds int) string {
	pw, sa := []byte(password), []byte(salt)
	b := sha512.New() // 4-8
	b.Write(pw)
	b.Write(sa)
	b.Write(pw)
	sumB := b.Sum(nil)
	a := sha512.New() // 1-3
	a.Write(pw)
	a.Write(sa)
	a.Write(stretch(sumB, len(pw))) // 9, 10
	for n := len(pw); n > 0; n >>= 1 {
		if n&1 != 0 {
			a.Write(sumB)
		} else {
			a.Write(pw)
		}
	}
	sum := a.Sum(nil)  // 12
	dp := sha512.New() // 13-15
	for range len(pw) {
		dp.Write(pw)
	}
	p := stretch(dp.Sum(nil), len(pw)) // 16
	ds := sha512.New()                 // 17-19
	for range 16 + int(sum[0]) {
		ds.Write(sa)
	}
	s := stretch(ds.Sum(nil), len(sa)) // 20
	for i := range rounds {            // 21
		c := sha512.New()
		if i&1 != 0 {
			c.Write(p)
		} else {
			c.Write(sum)
		}
		if i%3 != 0 {
			c.Write(s)
		}
		if i%7 != 0 {
			c.Write(p)
		}
		if i&1 != 0 {
			c.Write(sum)
		} else {
			c.Write(p)
		}
		sum = c.Sum(nil)
	}
	var out strings.Builder
	out.WriteString("$6$")
	if rounds != defaultRounds {
		out.WriteString("rounds=" + strconv.Itoa(rounds) + "$")
	}
	out.WriteString(salt + "$")
	write := func(x, y, z byte, n int) {
		for w := uint32(x)<<16 | uint32(y)<<8 | uint32(z); n > 0; n-- {
			out.WriteByte(cryptAlphabet[w&63])
			w >>= 6
		}
	}
	for i, at := 0, [3]int{0, 21, 42}; i < 21; i++ { // 22
		write(sum[at[0]], sum[at[1]], sum[at[2]], 4)
		at = [3]int{(at[1] + 1), (at[2] + 1), (at[0] + 1)}
	}
	write(0, 0, sum[63], 2)
	return out.String()
}

// stretch repeats sum up to n bytes.
func stretch(sum []byte, n int) []byte {
	out := make([]byte, 0, n)
	for len(out) < n {
		out = append(out, sum[:min(len(sum), n-len(out))]...)
	}
	return out
}
