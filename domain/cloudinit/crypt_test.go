package cloudinit

import (
	"strings"
	"testing"

	"novacron/domain"
)

// The vectors are those of Drepper's text and of openssl passwd -6.
func TestSHA512Crypt(t *testing.T) {
	for _, v := range []struct {
		salt, password string
		rounds         int
		want           string
	}{
		{"saltstring", "Hello world!", 5000, "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
		{"saltstringsaltst", "Hello world!", 10000, "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."},
		{"anotherlongsalts", "a very much longer text to encrypt.  This one even stretches over morethan one line.", 1400, "$6$rounds=1400$anotherlongsalts$POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4ur1"},
		{"roundstoolow", "the minimum number is still observed", 1000, "$6$rounds=1000$roundstoolow$kUMsbe306n21p9R.FRkW3IGn.S9NPN0x50YhH1xhLsPuWGsUSklZt58jaTfF4ZEQpyUNGc0dqbpBYYBaHHrsX."},
	} {
		if got := sha512Crypt(v.password, v.salt, v.rounds); got != v.want {
			t.Errorf("%q with %q:\n got %s\nwant %s", v.password, v.salt, got, v.want)
		}
	}
	a, b := Hash("x"), Hash("x")
	if a == b || !strings.HasPrefix(a, "$6$rounds=50000$") {
		t.Errorf("%s and %s", a, b)
	}
}

func TestSettleLeavesNoPlainPassword(t *testing.T) {
	c := Settle(domain.CloudInit{User: "ada", Password: "geheim"})
	if c.Password != "" || c.PasswordHash == "" {
		t.Errorf("%+v", c)
	}
	var p domain.Problems
	c.Validate(&p, "")
	if len(p) != 0 {
		t.Errorf("what Settle makes is not valid: %v", p)
	}
}
