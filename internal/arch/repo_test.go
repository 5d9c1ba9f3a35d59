package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/reconsent/reconsent"

// root is the repository's root, seen from this package.
const root = "../.."

// pkg is what `go list` tells of a package, with our own imports only.
type pkg struct {
	Path        string // from the root: "provider/sandbox"; the root itself is "."
	Name        string
	Imports     []string
	TestImports []string
}

// packages lists every package of the module.
func packages(t *testing.T) []pkg {
	t.Helper()
	// -e: a package that does not compile just now still has imports to look at.
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Name,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l struct {
			ImportPath   string   `json:"ImportPath"`
			Name         string   `json:"Name"`
			Imports      []string `json:"Imports"`
			TestImports  []string `json:"TestImports"`
			XTestImports []string `json:"XTestImports"`
		}
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, pkg{
			Path:        local(l.ImportPath),
			Name:        l.Name,
			Imports:     ours(l.Imports),
			TestImports: ours(append(l.TestImports, l.XTestImports...)),
		})
	}
}

// local is an import path of ours as seen from the root.
func local(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

func ours(imports []string) []string {
	var list []string
	for _, i := range imports {
		if i == module || strings.HasPrefix(i, module+"/") {
			list = append(list, local(i))
		}
	}
	return list
}

// file is a parsed Go file of the module.
type file struct {
	Path string // from the root, with slashes
	Fset *token.FileSet
	AST  *ast.File
}

func (f file) isTest() bool { return strings.HasSuffix(f.Path, "_test.go") }

func (f file) line(n ast.Node) int { return f.Fset.Position(n.Pos()).Line }

// importName is the name by which the file knows the package, or "" if it does
// not import it.
func (f file) importName(path string) string {
	for _, i := range f.AST.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err != nil || p != path {
			continue
		}
		if i.Name != nil {
			return i.Name.Name
		}
		return path[strings.LastIndex(path, "/")+1:]
	}
	return ""
}

// files parses every Go file of the module, tests too.
func files(t *testing.T) []file {
	t.Helper()
	var all []file
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			// What the go command does not look into either.
			name := d.Name()
			if path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, file{Path: filepath.ToSlash(rel), Fset: fset, AST: parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
