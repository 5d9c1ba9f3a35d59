package locale

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"github.com/nicksnyder/go-i18n/v2/i18n/template"
	"golang.org/x/text/language"
)

//go:embed messages
var files embed.FS

// speakers has a localizer for each row of the languages. It is made once, at
// the first message; the templates of messages are parsed once, too.
var speakers = sync.OnceValue(func() []*i18n.Localizer {
	list, err := load(files)
	if err != nil {
		panic(err) // embedded at build time
	}
	bundle := i18n.NewBundle(language.English)
	for _, f := range list {
		if err := bundle.AddMessages(f.Tag, f.Messages...); err != nil {
			panic(err) // a language without plural rules: seen by any test
		}
	}
	speakers := make([]*i18n.Localizer, len(spokenLanguages))
	for i, s := range spokenLanguages {
		speakers[i] = i18n.NewLocalizer(bundle, s.messages)
	}
	return speakers
})

// load reads the message files and puts the area before every id.
func load(fsys fs.FS) ([]*i18n.MessageFile, error) {
	names, err := fs.Glob(fsys, "messages/*.toml")
	if err != nil {
		return nil, err
	}
	list := make([]*i18n.MessageFile, len(names))
	for i, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		f, err := i18n.ParseMessageFileBytes(text, name, map[string]i18n.UnmarshalFunc{"toml": toml.Unmarshal})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		area, _, _ := strings.Cut(path.Base(name), ".")
		for _, m := range f.Messages {
			m.ID = area + "." + m.ID
		}
		list[i] = f
	}
	return list, nil
}

// templates keeps what it has parsed. What a message asks for and is not given is
// an error, so that a test sees it.
var templates = &template.TextParser{Option: "missingkey=error"}

// Say returns a message. args are names and values in turn, for the message's
// placeholders: Say("mail.ends_days", "Bank", "Mock Bank", "Count", 3). The
// number under the name Count chooses the plural form, by CLDR's rules. Text
// is isolated, but for a Sentence; see Isolate. Nothing is escaped: that is for the template
// that shows it.
//
// It never fails. An id or a value that is missing is a fault of ours, which
// the tests find; what is said then is in English, or the id.
func (l Language) Say(id string, args ...any) string {
	data := make(map[string]any, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		name, _ := args[i].(string)
		if text, ok := args[i+1].(string); ok {
			data[name] = Isolate(text)
		} else {
			data[name] = args[i+1]
		}
	}
	said, err := speakers()[l.row].Localize(&i18n.LocalizeConfig{MessageID: id, TemplateData: data, PluralCount: data["Count"], TemplateParser: templates})
	if err != nil && said == "" {
		return id
	}
	return said
}
