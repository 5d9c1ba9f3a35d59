package arch

import (
	"go/ast"
	"slices"
	"testing"
)

// Files whose tests may skip themselves, each with its reason. A test that
// skips is green without having looked, so what a test needs is installed
// (`make setup`), and the list stays short.
var mayGoUntested = map[string]string{}

// TestNoTestSkipsItself looks at every file that imports testing, suites among
// them. A skip under testing.Short() is fine: nothing of ours runs with -short.
func TestNoTestSkipsItself(t *testing.T) {
	t.Parallel()
	skipping := map[string]bool{}
	for _, f := range files(t) {
		if f.importName("testing") == "" {
			continue
		}
		for _, call := range skips(f) {
			skipping[f.Path] = true
			if mayGoUntested[f.Path] == "" {
				t.Errorf("%s:%d skips a test: make it run, or give the file a reason in the list", f.Path, f.line(call))
			}
		}
	}
	for path := range mayGoUntested {
		if !skipping[path] {
			t.Errorf("%s no longer skips: take it off the list", path)
		}
	}
}

// skips finds the calls of Skip, Skipf and SkipNow.
func skips(f file) []*ast.CallExpr {
	var found []*ast.CallExpr
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			if isShort(n.Cond) {
				return false
			}
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
				found = append(found, n)
			}
		}
		return true
	})
	return found
}

// isShort says whether a condition is the call testing.Short().
func isShort(cond ast.Expr) bool {
	call, ok := cond.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Short" {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == "testing"
}
