package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"novacron/handlers/cli/client"
)

// edit opens what may change of a thing in the person's editor and sends what did. A refusal opens it again, with what is wrong on top.
func (r *run) edit(res *resource, op *client.Operation, args []string, form string, wait waiting) error {
	editor := cmp.Or(r.Getenv("VISUAL"), r.Getenv("EDITOR"))
	if editor == "" {
		if _, ok := terminal(r.In); !ok {
			return usage(r.cmd, "There is nothing to change.")
		}
		editor = "vi"
	}
	get := client.Find(res.get)
	if get == nil {
		return usage(r.cmd, "There is nothing to change.")
	}
	path, err := r.path(res, op, args)
	if err != nil {
		return err
	}
	answer, err := r.client.Do(r.ctx, client.Call{Op: get.ID, Path: path})
	if err != nil {
		return err
	}
	was, err := objectOf(answer.Body)
	if err != nil {
		return err
	}
	before := map[string]any{}
	var text bytes.Buffer
	for _, f := range client.Fields(op.Body) {
		raw, ok := was.get(f.Name)
		if !ok || f.Name == "version" {
			continue
		}
		part, err := yamlOf(json.RawMessage(`{"` + f.Name + `":` + string(raw) + `}`))
		if err != nil {
			return err
		}
		if f.Doc != "" {
			text.WriteString("# " + f.Doc + "\n")
		}
		text.Write(part)
	}
	if text.Len() == 0 {
		return usage(r.cmd, "Nothing of it is changed as a text; use flags.")
	}
	if err := yaml.Unmarshal(text.Bytes(), &before); err != nil {
		return err
	}
	head := "# " + res.name + " " + clean(was.title(res), false) + ": change what should be otherwise, save and leave. Without a change nothing happens.\n"
	now, why := text.Bytes(), ""
	for {
		if now, err = r.inEditor(editor, head+why, now); err != nil {
			return err
		}
		after := map[string]any{}
		if err := yaml.Unmarshal(now, &after); err != nil {
			why = comment("That cannot be read: " + err.Error())
			continue
		}
		body := map[string]any{}
		for name, v := range after {
			if !reflect.DeepEqual(v, before[name]) {
				body[name] = v
			}
		}
		for name := range before {
			if _, ok := after[name]; !ok {
				body[name] = nil
			}
		}
		if len(body) == 0 {
			fmt.Fprintln(r.Err, "Nothing was changed.")
			return nil
		}
		call := client.Call{Op: op.ID, Path: path, Body: body}
		if tag := answer.Header.Get("ETag"); tag != "" {
			call.Header = map[string][]string{"If-Match": {tag}}
		}
		err := r.send(res, []client.Call{call}, form, wait)
		p, refused := errors.AsType[*client.Problem](err)
		if !refused || p.Status != 422 {
			return err
		}
		why = comment(strings.Join(p.Lines(), "\n"))
	}
}

func comment(text string) string {
	return "#\n# " + strings.ReplaceAll(clean(text, true), "\n", "\n# ") + "\n# Empty the file to leave it.\n#\n"
}

// inEditor lets a person change a text; an empty one, or one that stayed as it was after a refusal, ends it.
func (r *run) inEditor(editor, head string, text []byte) ([]byte, error) {
	f, err := os.CreateTemp("", "novacron-*.yaml")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(slices.Concat([]byte(head), text))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	words := append(strings.Fields(editor), f.Name())
	cmd := exec.CommandContext(r.ctx, words[0], words[1:]...) // #nosec G204 -- the editor that the caller's own EDITOR names
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r.In, r.Out, r.Err
	if err := cmd.Run(); err != nil {
		return nil, &client.UsageError{Msg: "The editor " + words[0] + " ended with an error: " + err.Error() + ".", Fix: "Set EDITOR to the one that you use."}
	}
	out, err := os.ReadFile(f.Name())
	if err != nil {
		return nil, err
	}
	out = bytes.TrimPrefix(out, []byte(head))
	if len(bytes.TrimSpace(out)) == 0 {
		return nil, &client.UsageError{Msg: "The text was emptied; nothing was changed."}
	}
	if strings.Contains(head, "#\n# ") && bytes.Equal(out, text) {
		return nil, &client.UsageError{Msg: "Nothing was changed after the refusal; it is left as it was."}
	}
	return out, nil
}
