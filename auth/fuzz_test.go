package auth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"novacron/domain"
)

// FuzzToken: whatever a bearer token is, it is nobody's, and is refused in the same words.
func FuzzToken(f *testing.F) {
	a, _, _ := open(f)
	good, _, err := a.CreateToken(f.Context(), "ci", "test", "auditor", time.Time{})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", "ncr_", good[:10], good + "x", strings.ToUpper(good), "ncr_" + strings.Repeat("0", tokenDigits), "ncr_' OR 1=1 --" + strings.Repeat(" ", 31), "\x00", "ncr_" + strings.Repeat("é", 21) + "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sub, err := a.TokenSubject(t.Context(), text)
		if strings.TrimSpace(text) == good {
			return
		}
		if e := wantCode(t, err, domain.Unauthenticated); sub.Known() || e.Msg != "The bearer token is not valid." {
			t.Errorf("%q is %+v, %v", text, sub, err)
		}
	})
}

// FuzzCookie: whatever a browser sends as its session, it is nobody's.
func FuzzCookie(f *testing.F) {
	a, _, _ := open(f)
	for _, s := range []string{"", "x", strings.Repeat("A", 43), `"quoted"`, "a;b=c", strings.Repeat("x", 10_000), "%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Cookie"] = []string{a.CookieName() + "=" + text}
		ctx, err := a.LoadSession(r)
		if err != nil {
			t.Fatal(err)
		}
		if sub, err := a.SessionSubject(ctx); err != nil || sub.Known() {
			t.Errorf("%q is %+v, %v", text, sub, err)
		}
		if _, ok, err := a.Half(ctx); err != nil || ok {
			t.Errorf("%q owes a second factor, %v", text, err)
		}
	})
}

// FuzzSealed: what the browser keeps for us is ours or nothing.
func FuzzSealed(f *testing.F) {
	a, _, _ := open(f)
	_, state, err := a.AskPasskey(f.Context(), site, PasskeyAlone, "")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", "seal:1:", state, state[:len(state)-1], strings.Replace(state, "seal:1:", "seal:2:", 1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := a.openCeremony(text, PasskeyAlone, "user_other"); err == nil { // the right one is of somebody else
			t.Errorf("%q is taken", text)
		}
		_, err := a.EndFlow(t.Context(), "corp", text, "", "code", "", "192.0.2.1", Subject{})
		wantCode(t, err, domain.Unauthenticated)
	})
}

// FuzzSessionRecord: what is written is read again as it was; what is not such is refused.
func FuzzSessionRecord(f *testing.F) {
	f.Add([]byte(`{"deadline":"2026-01-02T03:04:05Z","values":{"user":"u"}}`))
	f.Add([]byte(`{"values":null}`))
	f.Add([]byte(`{"values":{"a":1}}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, b []byte) {
		deadline, values, err := jsonCodec{}.Decode(b)
		if err != nil {
			return
		}
		out, err := jsonCodec{}.Encode(deadline, values)
		if err != nil {
			if json.Valid(b) && deadline.Year() >= 0 && deadline.Year() < 10_000 {
				t.Fatal(err)
			}
			return
		}
		again, same, err := jsonCodec{}.Decode(out)
		if err != nil || !again.Equal(deadline) || len(same) != len(values) {
			t.Errorf("%v %v %v", again, same, err)
		}
	})
}
