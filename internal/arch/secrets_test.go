package arch

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// What proves who somebody is lives below these.
var secretTrees = []string{"reauth/", "guard/", "seal/", "internal/jose/"}

// Words that a secret's name ends with.
var secretWords = []string{"secret", "token", "code", "mac", "hmac", "hash", "password", "digest", "digits", "binding", "nonce", "verifier", "ticket", "cookie", "signature"}

// comparesInTheOpen are comparisons of what looks like a secret and is none, by
// file and the operands, each with its reason.
var comparesInTheOpen = map[string]string{
	"reauth/passkey/assert.go bytes.Equal(ID, RawID)": "a credential's id is public (WebAuthn 5.1)",
	"reauth/stepup/passkeys.go bytes.Equal(ID, ID)":   "likewise",
	"reauth/idp/transport.go StatusCode != StatusOK":  "a status of HTTP",
	"internal/jose/sets.go StatusCode != StatusOK":    "likewise",
	"guard/guardtest/guardtest.go Digest == digest":   "a stand-in for tests; and whoever holds a proof reads its digest",
}

// TestSecretsAreComparedInConstantTime finds == and != between two values of
// which one is named like a secret, and every comparison of bytes that stops at
// the first difference: crypto/subtle and hmac.Equal do not.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	all := files(t)
	seen := map[string]bool{}
	for _, f := range all {
		if f.isTest() || !slices.ContainsFunc(secretTrees, func(tree string) bool { return strings.HasPrefix(f.Path, tree) }) {
			continue
		}
		for _, c := range openCompares(f, constants(all)) {
			key := f.Path + " " + c.text
			seen[key] = true
			if comparesInTheOpen[key] == "" {
				t.Errorf("%s:%d compares %s: use subtle.ConstantTimeCompare or hmac.Equal, or give it a reason in the list", f.Path, f.line(c.at), c.text)
			}
		}
	}
	for key := range comparesInTheOpen {
		if !seen[key] {
			t.Errorf("%s is no longer there: take it off the list", key)
		}
	}
}

type openCompare struct {
	at   ast.Node
	text string
}

func openCompares(f file, consts map[string]bool) (found []openCompare) {
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			x, y := lastName(n.X), lastName(n.Y)
			if (n.Op == token.EQL || n.Op == token.NEQ) && !plain(n.X, consts) && !plain(n.Y, consts) && (secretName(x) || secretName(y)) {
				found = append(found, openCompare{n, x + " " + n.Op.String() + " " + y})
			}
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || len(n.Args) != 2 {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			x, y := lastName(n.Args[0]), lastName(n.Args[1])
			compares := pkg.Name == "bytes" && slices.Contains([]string{"Equal", "Compare", "EqualFold"}, sel.Sel.Name) ||
				(pkg.Name == "strings" || pkg.Name == "slices" || pkg.Name == "reflect") && slices.Contains([]string{"Equal", "EqualFold", "Compare", "DeepEqual"}, sel.Sel.Name) &&
					(secretName(x) || secretName(y))
			if compares {
				found = append(found, openCompare{n, pkg.Name + "." + sel.Sel.Name + "(" + x + ", " + y + ")"})
			}
		}
		return true
	})
	return found
}

// plain says whether an operand is known to everybody who reads the source.
func plain(e ast.Expr, consts map[string]bool) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "true" || e.Name == "false" || consts[e.Name]
	case *ast.SelectorExpr:
		return consts[e.Sel.Name]
	case *ast.CallExpr: // its length says nothing of a secret
		fun, ok := e.Fun.(*ast.Ident)
		return ok && fun.Name == "len"
	default:
		return false
	}
}

// constants are the names of all constants of the repository.
func constants(all []file) map[string]bool {
	names := map[string]bool{}
	for _, f := range all {
		for _, d := range f.AST.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				if v, ok := s.(*ast.ValueSpec); ok {
					for _, name := range v.Names {
						names[name.Name] = true
					}
				}
			}
		}
	}
	return names
}

// lastName is what an operand is called: x.y.MAC is MAC, string(hash) is hash,
// code(x) is code.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.IndexExpr:
		return lastName(e.X)
	case *ast.SliceExpr:
		return lastName(e.X)
	case *ast.StarExpr:
		return lastName(e.X)
	case *ast.ParenExpr:
		return lastName(e.X)
	case *ast.CallExpr:
		if fun, ok := e.Fun.(*ast.Ident); ok && fun.Name == "string" && len(e.Args) == 1 {
			return lastName(e.Args[0])
		}
		return lastName(e.Fun)
	default:
		return ""
	}
}

func secretName(name string) bool {
	if name == strings.ToUpper(name) {
		return slices.Contains(secretWords, strings.ToLower(name))
	}
	at := strings.LastIndexFunc(name, unicode.IsUpper)
	return slices.Contains(secretWords, strings.ToLower(name[max(at, 0):])) || slices.Contains(secretWords, strings.ToLower(name))
}

// TestSecretsAreKnownByTheirNames keeps the check above from finding nothing.
func TestSecretsAreKnownByTheirNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"code": true, "MAC": true, "mac": true, "sudoToken": true, "PasswordHash": true, "Digest": true, "typedCode": true,
		"codes": false, "UserID": false, "tokenless": false, "Purpose": false, "": false,
	} {
		if secretName(name) != want {
			t.Errorf("%q: %t", name, !want)
		}
	}
}
