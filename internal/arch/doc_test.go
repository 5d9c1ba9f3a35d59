package arch

import (
	"path"
	"strings"
	"testing"
)

// TestEveryPackageSaysWhatItIs wants a doc.go in each package, with a comment
// that says what the package owns and what it must never do. Of a command the
// comment is its help, so only its beginning is held.
func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	docs := map[string]file{}
	for _, f := range files(t) {
		if path.Base(f.Path) == "doc.go" {
			docs[path.Dir(f.Path)] = f
		}
	}
	for _, p := range packages(t) {
		doc, ok := docs[p.Path]
		switch {
		case !ok:
			t.Errorf("package %s has no doc.go", p.Path)
		case p.Name == "main":
			if !strings.HasPrefix(doc.AST.Doc.Text(), "Command ") {
				t.Errorf("%s: the package comment does not begin with \"Command\"", doc.Path)
			}
		case !strings.HasPrefix(doc.AST.Doc.Text(), "Package "+p.Name+" "):
			t.Errorf("%s: the package comment does not begin with \"Package %s\"", doc.Path, p.Name)
		case !strings.Contains(doc.AST.Doc.Text(), "never"):
			t.Errorf("%s does not say what package %s must never do", doc.Path, p.Name)
		}
	}
}
