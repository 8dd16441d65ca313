package auth

import (
	"encoding/json"
	"strings"
)

// What is in a field with one of these words in its name is never written down.
var secretWords = []string{"password", "secret", "passphrase", "token", "key", "code", "private", "seed", "user_data", "userdata", "content", "credential", "env", "stdin", "input", "argv"}

const (
	redactedText = 500  // characters of one value
	redactedMost = 8000 // of the whole
)

// Redacted gives a request's JSON without what is secret or long; what is not JSON is left out altogether.
func Redacted(body []byte) string {
	var v any
	if len(body) == 0 || json.Unmarshal(body, &v) != nil {
		return ""
	}
	out, err := json.Marshal(redact("", v))
	if err != nil || len(out) > redactedMost {
		return `{"…":"too long to be kept"}`
	}
	return string(out)
}

func redact(name string, v any) any {
	for _, w := range secretWords {
		if v != nil && strings.Contains(strings.ToLower(name), w) {
			return "…"
		}
	}
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = redact(k, e)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = redact(name, e)
		}
		return out
	case string:
		if len(x) > redactedText {
			return strings.ToValidUTF8(x[:redactedText], "") + "…"
		}
	}
	return v
}
