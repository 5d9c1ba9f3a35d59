package stepup_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth/stepup"
)

// TestEveryActionCanBeAskedFor reads the constants from the source: one that is
// forgotten in the list could not be looked for.
func TestEveryActionCanBeAskedFor(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "audit.go", nil, 0)
	require.NoError(t, err)
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, ok := v.Type.(*ast.Ident); ok && of.Name == "Action" {
			name, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			a, err := stepup.ParseAction(name)
			require.NoError(t, err, name)
			assert.Equal(t, stepup.Action(name), a)
			found++
		}
		return true
	})
	assert.Positive(t, found)
	_, err = stepup.ParseAction("code")
	assert.ErrorContains(t, err, "invalid_request")
}
