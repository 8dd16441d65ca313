package auth

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/argon2"
	"golang.org/x/sync/semaphore"

	"novacron/domain"
)

const (
	minPassword = 10
	maxPassword = 256 // bytes; more is somebody trying the hash's patience

	hashesWaiting = 32 // further ones are turned away instead of piling up
)

// hasher runs argon2id, a few at a time.
type hasher struct {
	params  *argon2id.Params
	lanes   int64 // hashes at once, 19 MiB each while they run; half the processors, so that pages are answered meanwhile
	sem     *semaphore.Weighted
	waiting atomic.Int64
	dummy   string // hash of nothing anybody knows: what an unknown name is checked against
}

func newHasher(cheap bool) *hasher {
	// OWASP's second choice of parameters: 19 MiB, two passes, one lane.
	p := &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}
	if cheap {
		p.Memory, p.Iterations = 64, 1
	}
	h := &hasher{params: p, lanes: int64(max(1, runtime.GOMAXPROCS(0)/2))}
	h.sem = semaphore.NewWeighted(h.lanes)
	dummy, err := argon2id.CreateHash(rand.Text(), p)
	if err != nil { // the parameters above are constants and crypto/rand does not fail
		panic(fmt.Sprintf("auth: argon2id refuses its own parameters: %v", err))
	}
	h.dummy = dummy
	return h
}

func (h *hasher) enter(ctx context.Context) error {
	if h.waiting.Add(1) > hashesWaiting {
		h.waiting.Add(-1)
		return domain.Errorf(domain.Unavailable, "Too many people are signing in at this moment.").WithFix("Try again in a few seconds.")
	}
	defer h.waiting.Add(-1)
	if err := h.sem.Acquire(ctx, 1); err != nil {
		return domain.Errorf(domain.Unavailable, "The request ended before its turn came: %w", err)
	}
	return nil
}

func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.sem.Release(1)
	s, err := argon2id.CreateHash(password, h.params)
	if err != nil {
		return "", domain.Errorf(domain.Internal, "The password could not be hashed: %w", err)
	}
	return s, nil
}

func (h *hasher) matches(ctx context.Context, password, hash string) (bool, error) {
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.sem.Release(1)
	ok, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, domain.Errorf(domain.Internal, "A stored password hash cannot be read: %w", err)
	}
	return ok, nil
}

// again hashes a password that was right with the parameters of now and the salt that it has; aged is false when its hash has them already.
func (h *hasher) again(ctx context.Context, password, hash string) (fresh string, aged bool, err error) {
	p, salt, key, err := argon2id.DecodeHash(hash)
	if err != nil {
		return "", false, domain.Errorf(domain.Internal, "A stored password hash cannot be read: %w", err)
	}
	if p.Memory >= h.params.Memory && p.Iterations >= h.params.Iterations && len(key) >= int(h.params.KeyLength) {
		return "", false, nil
	}
	if err := h.enter(ctx); err != nil {
		return "", false, err
	}
	defer h.sem.Release(1)
	n := h.params
	out := argon2.IDKey([]byte(password), salt, n.Iterations, n.Memory, n.Parallelism, n.KeyLength)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, n.Memory, n.Iterations, n.Parallelism, b64.EncodeToString(salt), b64.EncodeToString(out)), true, nil
}

// oneTimePassword makes 20 characters of about 100 random bits in groups that can be read aloud.
func oneTimePassword() string {
	s := strings.ToLower(rand.Text())[:20]
	return s[:5] + "-" + s[5:10] + "-" + s[10:15] + "-" + s[15:20]
}

//go:embed guessed.txt
var guessedText string

// guessed are the words and rows of keys that passwords of every breach begin with.
var guessed = func() map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(guessedText) {
		m[w] = true
	}
	return m
}()

var plainLetters = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i")

// isGuessed reports whether a password is one that guessing programs try first: one of the list, with figures and signs around it, with look-alike signs in it,
// or one short piece over and over.
func isGuessed(lower string) bool {
	edge := func(r rune) bool { return !unicode.IsLetter(r) }
	for _, s := range []string{lower, strings.TrimFunc(lower, edge), plainLetters.Replace(lower), strings.TrimFunc(plainLetters.Replace(strings.TrimRight(lower, "0123456789!.-_*#?+ ")), edge)} {
		if guessed[s] {
			return true
		}
	}
	for n := 1; n <= 4 && n*2 <= len(lower); n++ {
		if strings.Repeat(lower[:n], len(lower)/n+1)[:len(lower)] == lower {
			return true
		}
	}
	return false
}

func checkNewPassword(p *domain.Problems, field, name, password string) {
	const want = "at least 10 characters that are hard to guess; a few unrelated words do well"
	lower := strings.ToLower(password)
	switch {
	case !utf8.ValidString(password):
		p.Add(field, "The password is not text.", want)
	case utf8.RuneCountInString(password) < minPassword:
		p.Add(field, fmt.Sprintf("The password has %d characters, which is too short.", utf8.RuneCountInString(password)), want)
	case len(password) > maxPassword:
		p.Add(field, "The password is too long.", fmt.Sprintf("at most %d characters", maxPassword))
	case strings.Trim(lower, lower[:1]) == "":
		p.Add(field, "The password is one character repeated.", want)
	case lower == strings.ToLower(name) || name != "" && strings.Trim(strings.ReplaceAll(lower, strings.ToLower(name), ""), "0123456789!.-_ ") == "":
		p.Add(field, "The password is made of the account's name.", want)
	case isGuessed(lower):
		p.Add(field, "This is one of the first passwords that anybody guesses.", want)
	}
}
