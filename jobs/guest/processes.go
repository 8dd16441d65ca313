package guest

import (
	"context"
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// Processes is the input of guest.processes.
type Processes struct {
	On
	CPUs  int  `json:"cpus"`  // virtual processors, of which busybox tells shares
	Sizes bool `json:"sizes"` // ps may be run too
}

// processesFor is how long one of the commands may take.
const processesFor = 30 * time.Second

func (d Deps) processSteps(in Processes) []jobs.Step {
	return []jobs.Step{{Name: "ask for the processes", Timeout: 2*processesFor + time.Minute, NoUndo: "It only looks.", NoRetry: true,
		Do: func(ctx context.Context, r *jobs.Run) error { return d.processes(ctx, r, in) }}}
}

func (d Deps) processes(ctx context.Context, r *jobs.Run, in Processes) error {
	at := d.Clock().UTC()
	text, own, err := d.printed(ctx, r, in.On, domain.TopCommand)
	if err != nil {
		return err
	}
	all, ok := readTop(text, in.CPUs)
	if !ok {
		return domain.Errorf(domain.Unsupported, "What top prints in %s is not understood.", in.Name).WithFix("Processes are known of guests whose top is that of procps or busybox.")
	}
	if in.Sizes {
		text, _, err := d.printed(ctx, r, in.On, domain.PsCommand)
		if err != nil {
			return err
		}
		readPs(text, all)
	}
	all = slices.DeleteFunc(all, func(p domain.GuestProcess) bool { return p.PID == own })
	return r.Result(domain.Most(at, all))
}

// printed runs a command in a guest and gives what it printed, and which process it was. Who had it run is told as of any command.
func (d Deps) printed(ctx context.Context, r *jobs.Run, on On, argv []string) (string, int64, error) {
	host, err := d.Hosts.Host(on.HostID)
	if err != nil {
		return "", 0, err
	}
	pid, err := host.ExecGuest(ctx, on.UUID, argv)
	if err != nil {
		return "", 0, err
	}
	if err := d.tell(context.WithoutCancel(ctx), r, on, "guest.exec", "The command “%s” was run in %s.", Line(argv), on.Name); err != nil {
		return "", 0, err
	}
	limit := d.Clock().Add(processesFor)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, d.Poll) {
		st, err := host.ExecStatus(ctx, on.UUID, pid)
		switch {
		case err != nil:
			return "", 0, err
		case st.Ended && (st.Code != 0 || st.Signal != 0):
			return "", 0, domain.Errorf(domain.Conflict, "%s did not end well in %s: %s", argv[0], on.Name, firstLine(st)).WithFix("Try it inside the guest.")
		case st.Ended:
			return readable(st.Out), pid, nil
		case d.Clock().After(limit):
			d.kill(ctx, r, host, Exec{On: on}, pid)
			return "", 0, domain.Errorf(domain.Unavailable, "%s did not end within %d s in %s.", argv[0], int(processesFor.Seconds()), on.Name).WithFix("The guest is too busy; try again.")
		}
		if err := wait(ctx, pause); err != nil {
			return "", 0, err
		}
	}
}

func firstLine(st hv.ExecStatus) string {
	line, _, _ := strings.Cut(strings.TrimSpace(readable(st.Err)), "\n")
	if line == "" {
		line = "exit code " + strconv.Itoa(st.Code)
	}
	return line[:min(len(line), 200)]
}

// readTop reads the last of the tables that top prints: the first is of the time since each process began. procps tells the share of one processor, busybox of all.
func readTop(text string, cpus int) (all []domain.GuestProcess, ok bool) {
	var head []string
	pid, user, cpu, size, state := -1, -1, -1, -1, -1
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if slices.Contains(words, "PID") && slices.Contains(words, "%CPU") && words[len(words)-1] == "COMMAND" {
			head, all = words, nil
			pid, user, cpu, size, state = slices.Index(head, "PID"), slices.Index(head, "USER"), slices.Index(head, "%CPU"), slices.Index(head, "RES"), slices.Index(head, "STAT")
			continue
		}
		if state >= 0 { // busybox leaves a blank within it
			for len(words) > state+1 && (words[state+1] == "<" || words[state+1] == "N") {
				words = slices.Delete(words, state+1, state+2)
			}
		}
		if head == nil || user < 0 || len(words) < len(head) {
			continue
		}
		number, err := strconv.ParseInt(words[pid], 10, 64)
		if err != nil {
			continue
		}
		share, err := strconv.ParseFloat(strings.Replace(strings.TrimSuffix(words[cpu], "%"), ",", ".", 1), 64)
		if err != nil {
			continue
		}
		p := domain.GuestProcess{PID: number, User: words[user], Name: program(words[len(head)-1:]), CPUPercent: share, MemoryBytes: -1}
		if size >= 0 {
			p.MemoryBytes = kibibytes(words[size])
		} else {
			p.CPUPercent *= float64(max(cpus, 1))
		}
		all = append(all, p)
	}
	return all, head != nil
}

// program is the name of a program in a command, whose arguments may hold what is not for everybody.
func program(words []string) string {
	name := words[0]
	if strings.HasPrefix(name, "{") && len(words) > 1 { // how busybox shows a process that calls itself otherwise than its program
		return strings.Trim(name, "{}")
	}
	if strings.HasPrefix(name, "[") {
		return name
	}
	return path.Base(strings.TrimPrefix(name, "-"))
}

// readPs takes in the memory and the whole names that ps tells.
func readPs(text string, all []domain.GuestProcess) {
	at := make(map[int64]int, len(all))
	for i := range all {
		at[all[i].PID] = i
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 3 {
			continue
		}
		pid, err := strconv.ParseInt(words[0], 10, 64)
		i, known := at[pid]
		if err != nil || !known {
			continue
		}
		if size := kibibytes(words[1]); size >= 0 {
			all[i].MemoryBytes, all[i].Name = size, strings.Join(words[2:], " ")
		}
	}
}

// kibibytes reads a size in KiB, or one with the letter of a larger unit; -1: it is none.
func kibibytes(text string) int64 {
	unit := float64(domain.KiB)
	for letter, of := range map[string]int64{"m": domain.MiB, "g": domain.GiB, "t": domain.TiB} {
		if rest, found := strings.CutSuffix(strings.ToLower(text), letter); found {
			text, unit = rest, float64(of)
		}
	}
	v, err := strconv.ParseFloat(strings.Replace(text, ",", ".", 1), 64)
	if err != nil || v < 0 {
		return -1
	}
	return int64(v * unit)
}

// LastProcesses is what was told when somebody looked last; found is false when nobody has, or it is too long ago to be kept.
func LastProcesses(ctx context.Context, d *db.DB, vmID string) (last domain.GuestProcesses, found bool, err error) {
	ran, err := d.Jobs(ctx, db.JobQuery{Resource: vmID, Kind: KindProcesses, State: domain.JobSucceeded, Limit: 1})
	if err != nil || len(ran.Items) == 0 {
		return last, false, err
	}
	if err := json.Unmarshal(ran.Items[0].Result, &last); err != nil {
		return last, false, domain.Errorf(domain.Internal, "The processes of a guest cannot be read: %w", err)
	}
	return last, true, nil
}

// Commands reports whether what a kind of job gives is what commands printed inside a guest, which is for those who may run some.
func Commands(kind string) bool { return kind == KindExec || kind == KindProcesses }
