package arch

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// Where the wall clock may be read. Everywhere else now is an argument, or a
// function that came in by constructor: a consent lives for 90 days, and a test
// has to live through them in a moment.
var clockReaders = map[string]string{
	"cmd/":                      "main hands the clock to everything else",
	"provider/sandbox/clock.go": "the movable clock ticks with the wall clock",
}

// TestOnlyMainReadsTheClock counts time.Now as a value too: a default that
// nobody sets is a clock that no test can move.
func TestOnlyMainReadsTheClock(t *testing.T) {
	t.Parallel()
	for _, f := range files(t) {
		if f.isTest() || mayReadClock(f.Path) {
			continue
		}
		name := f.importName("time")
		if name == "" {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Now", "Since", "Until"}, sel.Sel.Name) {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == name {
				t.Errorf("%s:%d reads the wall clock with time.%s: take now, or a func() time.Time, instead", f.Path, f.line(sel), sel.Sel.Name)
			}
			return true
		})
	}
}

func mayReadClock(path string) bool {
	for allowed := range clockReaders {
		if path == allowed || strings.HasSuffix(allowed, "/") && strings.HasPrefix(path, allowed) {
			return true
		}
	}
	return false
}
