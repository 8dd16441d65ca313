package access

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"novacron/domain"
)

// Circumstances are what conditions look at beside the object.
type Circumstances struct {
	Now     time.Time
	Address string
	MFAAge  time.Duration // since a second factor was shown; negative: none was
}

// Condition is a checked CEL expression that is true or false.
type Condition struct {
	text    string
	program cel.Program
	object  bool
}

// conditionCost bounds what one evaluation may cost; honest conditions cost a hundredth.
const (
	conditionCost = 20_000
	conditionMost = 1000 // characters
)

// never is the age of a second factor that was not shown, in seconds: larger than any limit that one writes.
const never = 1 << 40

var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("now", cel.TimestampType),
		cel.Variable("hour", cel.IntType),
		cel.Variable("weekday", cel.StringType),
		cel.Variable("address", cel.StringType),
		cel.Variable("mfa_age", cel.IntType),
		cel.Variable("object", cel.MapType(cel.StringType, cel.DynType)),
		cel.Function("in_network", cel.Overload("in_network_string_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(inNetwork))),
	)
})

func inNetwork(a, n ref.Val) ref.Val {
	addr, okA := a.Value().(string)
	network, okN := n.Value().(string)
	if !okA || !okN {
		return types.NewErr("in_network takes an address and a network")
	}
	prefix, err := netip.ParsePrefix(network)
	if err != nil {
		return types.NewErr("“%s” is not a network", network)
	}
	ip, err := netip.ParseAddr(addr)
	return types.Bool(err == nil && prefix.Contains(ip.Unmap()))
}

const conditionWant = `something that is true or false, such as hour >= 8 && hour < 18, in_network(address, "10.0.0.0/8"), mfa_age < 900 or "prod" in object.tags`

// ParseCondition reads a condition; an error is Invalid on the field condition.
func ParseCondition(text string) (*Condition, error) {
	bad := func(msg string) (*Condition, error) { return nil, domain.InvalidField("condition", msg, conditionWant) }
	if len(text) > conditionMost {
		return bad(fmt.Sprintf("The condition is longer than %d characters.", conditionMost))
	}
	env, err := environment()
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "Conditions cannot be read: %w", err)
	}
	ast, issues := env.Compile(text)
	if issues != nil && issues.Err() != nil {
		first, _, _ := strings.Cut(strings.TrimPrefix(issues.Err().Error(), "ERROR: "), "\n")
		return bad("The condition cannot be read: " + first)
	}
	if !ast.OutputType().IsEquivalentType(cel.BoolType) {
		return bad("The condition is not true or false but " + ast.OutputType().String() + ".")
	}
	prg, err := env.Program(ast, cel.CostLimit(conditionCost))
	if err != nil {
		return bad("The condition cannot be used: " + err.Error())
	}
	return &Condition{text: text, program: prg, object: strings.Contains(text, "object")}, nil
}

// Object reports whether the condition may look at the object.
func (c *Condition) Object() bool { return c.object }

// Holds judges the condition. An error means that it cannot be judged, which gives nothing.
func (c *Condition) Holds(at Circumstances, o Object) (bool, error) {
	age := int64(never)
	if at.MFAAge >= 0 {
		age = int64(at.MFAAge / time.Second)
	}
	now := at.Now.UTC()
	tags := o.Tags
	if tags == nil {
		tags = []string{}
	}
	out, _, err := c.program.Eval(map[string]any{
		"now": now, "hour": int64(now.Hour()), "weekday": strings.ToLower(now.Weekday().String()), "address": at.Address, "mfa_age": age,
		"object": map[string]any{"kind": o.Kind, "id": o.ID, "tenant": o.Tenant, "folder": o.Folder, "tags": tags},
	})
	if err != nil {
		return false, domain.Errorf(domain.Invalid, "The condition “%s” cannot be judged: %w", c.text, err)
	}
	b, ok := out.Value().(bool)
	return ok && b, nil
}
