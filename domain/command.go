package domain

import "strings"

// ParseCommand splits a command as a person types it into its words: at blanks, with 'single' and "double" quotes and backslashes as in a shell. Nothing else
// that a shell knows means anything here: no variables, patterns, pipes or redirections.
func ParseCommand(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	in, quote := false, rune(0)
	runes := []rune(strings.TrimSpace(line))
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		switch {
		case r == '\\' && quote != '\'' && i+1 < len(runes):
			next := runes[i+1]
			if quote == '"' && !strings.ContainsRune("\"\\$`", next) {
				word.WriteRune(r) // within quotes it protects only what means something there
			} else {
				word.WriteRune(next)
				i++
			}
			in = true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 {
		return nil, InvalidField("argv", "A quote is not closed.", "a second "+string(quote))
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

// FormatCommand is a command as ParseCommand reads it.
func FormatCommand(argv []string) string {
	out := make([]string, len(argv))
	for i, a := range argv {
		if a == "" || strings.ContainsAny(a, " \t\r\n'\"\\") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out[i] = a
	}
	return strings.Join(out, " ")
}
