package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"novacron/domain"
)

// edge turns an error of the database into one that people understand; what names the thing that was looked for or written.
func edge(err error, what string) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, ok := errors.AsType[*domain.Error](err); ok {
		return err
	}
	if errors.Is(err, sql.ErrNoRows) {
		return domain.Errorf(domain.NotFound, "There is no such %s.", what).WithFix("It may have been removed meanwhile; reload the list.")
	}
	if se, ok := errors.AsType[*sqlite.Error](err); ok {
		switch se.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return domain.Errorf(domain.Conflict, "There is such a %s already.", what).WithCause(err)
		case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
			return domain.Errorf(domain.Conflict, "What this %s belongs to does not exist any more.", what).WithCause(err)
		}
		switch se.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return domain.Errorf(domain.Unavailable, "The database is busy.").WithCause(err).WithFix("Try again in a moment.")
		case sqlite3.SQLITE_FULL:
			return domain.Errorf(domain.Unavailable, "The disk of the data directory is full.").WithCause(err).WithFix("Free some space on it.")
		case sqlite3.SQLITE_INTERRUPT:
			return context.Canceled
		}
	}
	return domain.Errorf(domain.Internal, "The database failed.").WithCause(err).WithFix("The server's log has the details.")
}

// ms is how times are stored; 0 stands for the zero time.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// text encodes a value that is stored as JSON; what cannot be encoded is a fault of ours.
func text(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // filters look into the text
	if err := enc.Encode(v); err != nil {
		return "", domain.Errorf(domain.Internal, "A record could not be encoded.").WithCause(err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func parse(s string, v any) error {
	if s == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(s), v); err != nil {
		return domain.Errorf(domain.Internal, "A record of the database could not be read.").WithCause(err)
	}
	return nil
}

// escapeLike makes s match itself in LIKE … ESCAPE '\'; "*" becomes the wildcard.
func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`).Replace(s)
}

// naturalKey orders names as people do: without case, and web-2 before web-10. A run of digits is preceded by its length.
func naturalKey(s string) string {
	s = strings.ToLower(s)
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] < '0' || s[i] > '9' {
			_, n := utf8.DecodeRuneInString(s[i:])
			b.WriteString(s[i : i+n])
			i += n
			continue
		}
		j := i
		for j < len(s) && s[j] >= '0' && s[j] <= '9' {
			j++
		}
		run := strings.TrimLeft(s[i:j], "0")
		b.WriteByte('0' + byte(min(len(run), 99)/10)) // #nosec G115 -- min has bounded it: at most 9
		b.WriteByte('0' + byte(min(len(run), 99)%10))
		b.WriteString(run)
		i = j
	}
	return b.String()
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

func limit(n, byDefault int) int {
	if n <= 0 {
		return byDefault
	}
	return min(n, maxLimit)
}
