package auth

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/sync/semaphore"

	"novacron/domain"
)

const (
	minPassword = 10
	maxPassword = 256 // bytes; more is somebody trying the hash's patience

	hashesAtOnce  = 2  // 19 MiB each while they run
	hashesWaiting = 32 // further ones are turned away instead of piling up
)

// hasher runs argon2id, a few at a time.
type hasher struct {
	params  *argon2id.Params
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
	h := &hasher{params: p, sem: semaphore.NewWeighted(hashesAtOnce)}
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

// oneTimePassword makes 20 characters of about 100 random bits in groups that can be read aloud.
func oneTimePassword() string {
	s := strings.ToLower(rand.Text())[:20]
	return s[:5] + "-" + s[5:10] + "-" + s[10:15] + "-" + s[15:20]
}

// Passwords that every guessing list starts with and that are long enough to pass the length rule.
var guessed = []string{"password12", "password123", "password1234", "1234567890", "12345678910", "123456789012", "qwertyuiop", "qwerty12345", "iloveyou123", "administrator", "changeme123", "letmein1234", "novacron123", "novacron1234"}

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
	default:
		for _, g := range guessed {
			if lower == g {
				p.Add(field, "This is one of the first passwords that anybody guesses.", want)
				return
			}
		}
	}
}
