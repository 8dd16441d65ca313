package domain

import (
	"slices"
	"testing"
)

func TestACommandIsSplitAsItWouldBeByAShell(t *testing.T) {
	for line, want := range map[string][]string{
		"":                              nil,
		"  uptime  ":                    {"uptime"},
		"ls -l /tmp":                    {"ls", "-l", "/tmp"},
		`echo 'two words' "and three"`:  {"echo", "two words", "and three"},
		`sh -c "echo \"hi\" \n $HOME"`:  {"sh", "-c", `echo "hi" \n $HOME`},
		`a\ b '' "" c\\d`:               {"a b", "", "", `c\d`},
		`pre'fix ed'post`:               {"prefix edpost"},
		"line\nbreak\tand tab":          {"line", "break", "and", "tab"},
		`'it'\''s'`:                     {"it's"},
		`grep ä* | wc`:                  {"grep", "ä*", "|", "wc"},
		`ends with a backslash \`:       {"ends", "with", "a", "backslash", `\`},
		`"back\slash" 'in \single'`:     {`back\slash`, `in \single`},
		`--opt="value with blanks" end`: {"--opt=value with blanks", "end"},
	} {
		got, err := ParseCommand(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", line, got, err, want)
		}
		again, err := ParseCommand(FormatCommand(got))
		if err != nil || !slices.Equal(again, got) {
			t.Errorf("%s: written as %s it reads %q, %v", line, FormatCommand(got), again, err)
		}
	}
	for _, line := range []string{`echo "open`, `echo 'open`, `"`} {
		if _, err := ParseCommand(line); !Is(err, Invalid) {
			t.Errorf("%s: %v", line, err)
		}
	}
}
