package locale

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// forms are the plural forms that a message has; other is always among them.
func forms(m *i18n.Message) map[string]string {
	all := map[string]string{"zero": m.Zero, "one": m.One, "two": m.Two, "few": m.Few, "many": m.Many, "other": m.Other}
	maps.DeleteFunc(all, func(form, text string) bool { return text == "" && form != "other" })
	return all
}

// needed are the plural forms that counts of ours take in a language.
func needed(tag language.Tag) []string {
	names := map[plural.Form]string{plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other"}
	set := map[string]bool{"other": true}
	for n := range 1000 {
		set[names[plural.Cardinal.MatchPlural(tag, n, 0, 0, 0, 0)]] = true
	}
	return slices.Sorted(maps.Keys(set))
}

var placeholder = regexp.MustCompile(`\.[A-Z]\w*`)

func placeholders(m *i18n.Message) []string {
	set := map[string]bool{}
	for _, text := range forms(m) {
		for _, action := range regexp.MustCompile(`{{.*?}}`).FindAllString(text, -1) {
			for _, name := range placeholder.FindAllString(action, -1) {
				set[name[1:]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// faults says what is wrong with a set of message files.
func faults(fsys fs.FS, languages []string) ([]string, error) {
	list, err := load(fsys)
	if err != nil {
		return nil, err
	}
	messages := map[string]map[string]*i18n.Message{} // by language and id
	for _, f := range list {
		tag := f.Tag.String()
		if messages[tag] == nil {
			messages[tag] = map[string]*i18n.Message{}
		}
		for _, m := range f.Messages {
			messages[tag][m.ID] = m
		}
	}
	var found []string
	fault := func(lang, id, format string, args ...any) {
		found = append(found, lang+" "+id+": "+fmt.Sprintf(format, args...))
	}
	for lang := range messages {
		if !slices.Contains(languages, lang) {
			fault(lang, "*", "messages in a language that has no row in languages.go")
		}
	}
	english := messages["en"]
	for _, lang := range languages {
		for id := range english {
			if messages[lang][id] == nil {
				fault(lang, id, "missing")
			}
		}
		for id, m := range messages[lang] {
			en := english[id]
			if en == nil {
				fault(lang, id, "not there in English")
				continue
			}
			if want, got := placeholders(en), placeholders(m); !slices.Equal(want, got) {
				fault(lang, id, "placeholders %v, in English %v", got, want)
			}
			for form, text := range forms(m) {
				if strings.TrimSpace(text) == "" {
					fault(lang, id, "empty")
				}
				if strings.Contains(text, "!") {
					fault(lang, id, "an exclamation mark")
				}
				if lang != "en" && text == forms(en)[form] && strings.Contains(regexp.MustCompile(`{{.*?}}`).ReplaceAllString(text, ""), " ") && !strings.HasPrefix(id, "dates.") {
					fault(lang, id, "still in English")
				}
			}
			if len(forms(en)) > 1 {
				have := slices.Sorted(maps.Keys(forms(m)))
				for _, form := range needed(language.MustParse(lang)) {
					if !slices.Contains(have, form) {
						fault(lang, id, "no plural form %q", form)
					}
				}
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

func spokenTags() []string {
	var list []string
	for _, l := range All() {
		list = append(list, l.Tag())
	}
	return list
}

func TestEveryLanguageSaysEverything(t *testing.T) {
	found, err := faults(files, spokenTags())
	require.NoError(t, err)
	assert.Empty(t, found)
	for _, s := range spokenLanguages {
		assert.Contains(t, spokenTags(), s.messages, "the messages of %s", s.tag)
	}
}

func TestFaultsOfMessagesAreFound(t *testing.T) {
	en := "hello = \"Hello {{.Name}}, good day\"\nbye = \"Good bye then\"\nnote = \"Note that\"\n[days]\none = \"{{.Count}} day\"\nother = \"{{.Count}} days\"\n"
	for want, pl := range map[string]string{
		"":                                   "hello = \"Witaj {{.Name}}\"\nbye = \"Do widzenia\"\nnote = \"Uwaga\"\n[days]\none=\"{{.Count}} dzień\"\nfew=\"{{.Count}} dni\"\nmany=\"{{.Count}} dni\"\nother=\"{{.Count}} dnia\"\n",
		"missing":                            "bye = \"Do widzenia\"\n",
		"not there in English":               "goodbye = \"Do widzenia\"\n",
		"placeholders [Nom], in English":     "hello = \"Witaj {{.Nom}}\"\n",
		"placeholders [], in English [Name]": "hello = \"Witaj\"\n",
		"bye: empty":                         "bye = \"\"\n",
		"note: empty":                        "note = \"  \"\n",
		"bye: still in English":              "bye = \"Good bye then\"\n",
		"no plural form \"few\"":             "[days]\none=\"{{.Count}} dzień\"\nmany=\"{{.Count}} dni\"\nother=\"{{.Count}} dnia\"\n",
		"exclamation":                        "bye = \"Do widzenia!\"\n",
	} {
		found, err := faults(fstest.MapFS{"messages/a.en.toml": {Data: []byte(en)}, "messages/a.pl.toml": {Data: []byte(pl)}}, []string{"en", "pl"})
		require.NoError(t, err)
		if want == "" {
			assert.Empty(t, found)
		} else {
			assert.Contains(t, strings.Join(found, "\n"), want)
		}
	}
	found, err := faults(fstest.MapFS{"messages/a.en.toml": {Data: []byte(en)}, "messages/a.sv.toml": {Data: []byte(en)}}, []string{"en"})
	require.NoError(t, err)
	assert.Contains(t, strings.Join(found, "\n"), "no row in languages.go")
	_, err = faults(fstest.MapFS{"messages/a.en.toml": {Data: []byte("no toml")}}, []string{"en"})
	assert.ErrorContains(t, err, "messages/a.en.toml")
}

// ours reads the messages that there are in English, by id.
func ours(t *testing.T) map[string]*i18n.Message {
	t.Helper()
	list, err := load(files)
	require.NoError(t, err)
	known := map[string]*i18n.Message{}
	for _, f := range list {
		if f.Tag == language.English {
			for _, m := range f.Messages {
				known[m.ID] = m
			}
		}
	}
	return known
}

// TestCodeAsksForMessagesThatThereAre looks at every literal in the code and
// in the templates that is an area's name, a dot and a key, wherever it stands:
// it must be an id, and every id must stand somewhere. Where an id stands in a
// call of Say, the values are held too.
func TestCodeAsksForMessagesThatThereAre(t *testing.T) {
	known := ours(t)
	areas := map[string]bool{}
	for id := range known {
		area, _, _ := strings.Cut(id, ".")
		areas[area] = true
	}
	form := regexp.MustCompile(`^(` + strings.Join(slices.Sorted(maps.Keys(areas)), "|") + `)\.[a-z0-9_]+$`)
	asked := map[string]bool{}
	ask := func(where, id string) {
		if !form.MatchString(id) || slices.Contains([]string{".html", ".txt", ".toml", ".css"}, path.Ext(id)) {
			return
		}
		asked[id] = true
		if known[id] == nil {
			t.Errorf("%s: no message %q", where, id)
		}
	}
	fset := token.NewFileSet()
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		switch {
		case strings.HasSuffix(name, ".html") || strings.HasSuffix(name, ".txt"):
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			for _, action := range regexp.MustCompile(`{{.*?}}`).FindAllString(string(text), -1) {
				for _, m := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(action, -1) {
					ask(name, m[1])
				}
			}
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if id, ok := literal(n); ok {
					ask(fset.Position(n.Pos()).String(), id)
				}
				if call, ok := n.(*ast.CallExpr); ok {
					if wrong := valuesAmiss(call, known); wrong != "" {
						t.Errorf("%s: %s", fset.Position(call.Pos()), wrong)
					}
				}
				return true
			})
		}
		return nil
	})
	require.NoError(t, err)
	for id := range known {
		assert.True(t, asked[id], "nothing asks for %s", id)
	}
}

func literal(n ast.Node) (string, bool) {
	lit, ok := n.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// valuesAmiss says what is wrong with the values in a call of Say. A call that
// hands on what it was given is left to whoever tests it.
func valuesAmiss(call *ast.CallExpr, known map[string]*i18n.Message) string {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Say" || len(call.Args) == 0 || call.Ellipsis.IsValid() {
		return ""
	}
	id, ok := literal(call.Args[0])
	if !ok || known[id] == nil {
		return ""
	}
	given := []string{}
	for i := 1; i < len(call.Args); i += 2 {
		name, ok := literal(call.Args[i])
		if !ok {
			return ""
		}
		given = append(given, name)
	}
	slices.Sort(given)
	if want := placeholders(known[id]); !slices.Equal(want, given) && len(want)+len(given) > 0 {
		return fmt.Sprintf("message %s wants %v and is given %v", id, want, given)
	}
	return ""
}

func TestValuesThatAreAmissAreSeen(t *testing.T) {
	known := ours(t)
	for code, want := range map[string]string{
		`l.Say("mail.security", "App", a)`:      "",
		`l.Say("mail.security")`:                "wants [App] and is given []",
		`l.Say("mail.security", "Bank", a)`:     "wants [App] and is given [Bank]",
		`l.Say("mail.bank", "Bank", a)`:         "wants [] and is given [Bank]",
		`l.Say("mail.bank")`:                    "",
		`l.Say(id, "Bank", a)`:                  "",
		`l.Say("mail.security", values...)`:     "",
		`fmt.Sprint("mail.security", "no Say")`: "",
	} {
		expr, err := parser.ParseExpr(code)
		require.NoError(t, err)
		call, ok := expr.(*ast.CallExpr)
		require.True(t, ok)
		got := valuesAmiss(call, known)
		if want == "" {
			assert.Empty(t, got, code)
		} else {
			assert.Contains(t, got, want, code)
		}
	}
}
