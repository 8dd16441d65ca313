package series

import (
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

// Read tells whether an expression can be read. Invalid, with the place.
func (s *Store) Read(expr string) error {
	_, err := s.parser.ParseExpr(expr)
	return edge(asParse(err))
}

// MetricsIn names the metrics that an expression asks for.
func (s *Store) MetricsIn(expr string) ([]string, error) {
	e, err := s.parser.ParseExpr(expr)
	if err != nil {
		return nil, edge(asParse(err))
	}
	var out []string
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok && v.Name != "" && !slices.Contains(out, v.Name) {
			out = append(out, v.Name)
		}
		return nil
	})
	return out, nil
}

// asParse makes every refusal of the reader one of a query, as the engine does.
func asParse(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(parser.ParseErrors); ok {
		return e
	}
	return parser.ParseErrors{{Err: err}}
}
