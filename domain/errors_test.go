package domain

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestErrorfKeepsTheCauseOutOfTheMessage(t *testing.T) {
	err := Errorf(Unavailable, "The host does not answer: %w", io.ErrUnexpectedEOF).WithFix("Look at %s.", "the cable")
	if err.Error() != "The host does not answer" || err.Fix != "Look at the cable." {
		t.Fatalf("message %q, fix %q", err.Error(), err.Fix)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	if want := "The host does not answer: unexpected EOF"; err.Detail() != want {
		t.Errorf("Detail() = %q, want %q", err.Detail(), want)
	}
	if plain := Errorf(Internal, "x"); plain.Detail() != "x" || plain.WithCause(io.EOF).Detail() != "x: EOF" {
		t.Error("Detail of an error without and with a cause")
	}
}

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Code
	}{
		{nil, ""},
		{io.EOF, Internal},
		{Errorf(Conflict, "x"), Conflict},
		{fmt.Errorf("outer: %w", Errorf(NotFound, "x")), NotFound},
	} {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("CodeOf(%v) = %q, want %q", c.err, got, c.want)
		}
	}
	if !Is(InvalidField("name", "bad", "good"), Invalid) || Is(nil, Invalid) {
		t.Error("Is")
	}
}

func TestProblemsNameEveryField(t *testing.T) {
	var p Problems
	if p.Err() != nil {
		t.Fatal("no problems, yet an error")
	}
	p.Add("a", "wrong", "right")
	p.Add("b", "worse", "")
	var e *Error
	if !errors.As(p.Err(), &e) || len(e.Fields) != 2 || e.Msg != "a: wrong; b: worse" {
		t.Fatalf("%+v", e)
	}
}
