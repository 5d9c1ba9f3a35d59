package main

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/locale"
	"github.com/reconsent/reconsent/notify"
	"github.com/reconsent/reconsent/notify/email"
)

func notifyCommand(std stdio) *cobra.Command {
	cmd := &cobra.Command{Use: "notify", Short: "Look at what users are sent"}
	cmd.AddCommand(previewCommand(std))
	return cmd
}

// previewOptions are the flags of notify preview.
type previewOptions struct {
	dir, language, name   string
	colour, logo, replyTo string
}

func previewCommand(std stdio) *cobra.Command {
	var o previewOptions
	cmd := &cobra.Command{
		Use: "preview --dir DIR", Short: "Write every message in every language to files", Args: cobra.NoArgs,
		Long: "Renders each mail for each stage and language with made-up people and banks: DIR/LANGUAGE/MAIL.html, .txt and .eml, and DIR/index.html, " +
			"which shows them all. Codes and security notices are there too, DIR/LANGUAGE/MAIL.sms.txt is the same as an SMS. It needs no database and sends nothing.",
		RunE: func(*cobra.Command, []string) error { return preview(std, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", "", "directory to write to; it is made where it is not there")
	f.StringVar(&o.language, "language", "", "only this one, for instance de")
	f.StringVar(&o.name, "name", "", "the application's name, as people see it")
	f.StringVar(&o.colour, "colour", "", "its colour, #rrggbb")
	f.StringVar(&o.logo, "logo-url", "", "https address of its logo")
	f.StringVar(&o.replyTo, "reply-to", "", "address that answers go to")
	return cmd
}

// previewed is one mail in the index, with the SMS that says the same where there
// is one.
type previewed struct{ Language, Name, Subject, Base, SMS string }

func preview(std stdio, o previewOptions) error {
	if o.dir == "" {
		return usagef("--dir: missing")
	}
	languages := locale.All()
	if o.language != "" {
		languages = []locale.Language{locale.Match(o.language)}
	}
	mailer, err := email.New("smtp://localhost?tls=none", "reminders@consents.example")
	if err != nil {
		return err
	}
	var all []previewed
	for _, lang := range languages {
		if err := os.MkdirAll(filepath.Join(o.dir, lang.Tag()), 0o755); err != nil { //nolint:gosec // made-up people, to be looked at
			return err
		}
		for _, s := range notify.Samples(lang.Tag()) {
			s.Letter.Application = o.branded(s.Letter.Application)
			m, err := notify.Render("dgt_"+s.Name, &s.Letter)
			if err != nil {
				return err
			}
			m.To = "ada@example.org"
			p := previewed{lang.Tag(), s.Name, m.Subject, lang.Tag() + "/" + s.Name, ""}
			if err := writePreview(mailer, filepath.Join(o.dir, p.Base), m); err != nil {
				return err
			}
			all = append(all, p)
			_, _ = fmt.Fprintf(std.out, "%s.html .txt .eml\t%s\n", filepath.Join(o.dir, p.Base), m.Subject)
		}
		for _, s := range notify.SecuritySamples(lang.Tag()) {
			s.In(o.branded(s.Application()))
			p, err := o.previewSecurity(mailer, lang, &s)
			if err != nil {
				return err
			}
			all = append(all, p)
			_, _ = fmt.Fprintf(std.out, "%s.html .txt .eml .sms.txt\t%s\n", filepath.Join(o.dir, p.Base), p.Subject)
		}
	}
	var b bytes.Buffer
	if err := previewIndex.Execute(&b, all); err != nil {
		return err
	}
	index := filepath.Join(o.dir, "index.html")
	_, _ = fmt.Fprintln(std.out, index)
	return os.WriteFile(index, b.Bytes(), 0o644) //nolint:gosec // as above
}

// branded puts what was given in the place of the sample's.
func (o previewOptions) branded(sample *consent.Application) *consent.Application {
	app := *sample
	if o.name != "" {
		app.Name = o.name
	}
	if o.colour != "" {
		app.Branding.Colour = o.colour
	}
	app.Branding.LogoURL, app.Branding.ReplyTo = o.logo, o.replyTo
	return &app
}

// previewSecurity writes a code or a notice, as a mail and as an SMS.
func (o previewOptions) previewSecurity(mailer *email.Mailer, lang locale.Language, s *notify.SecuritySample) (previewed, error) {
	m, errMail := s.Render(consent.ChannelEmail)
	sms, errSMS := s.Render(consent.ChannelSMS)
	if err := errors.Join(errMail, errSMS); err != nil {
		return previewed{}, err
	}
	p := previewed{lang.Tag(), s.Name, m.Subject, lang.Tag() + "/" + s.Name, sms.Text}
	base := filepath.Join(o.dir, p.Base)
	if err := writePreview(mailer, base, m); err != nil {
		return previewed{}, err
	}
	return p, os.WriteFile(base+".sms.txt", []byte(sms.Text+"\n"), 0o644) //nolint:gosec // made-up people, to be looked at
}

func writePreview(mailer *email.Mailer, base string, m notify.Message) error {
	var eml bytes.Buffer
	if err := mailer.WriteTo(&eml, m); err != nil {
		return err
	}
	for ext, content := range map[string][]byte{".html": []byte(m.HTML), ".txt": []byte("Subject: " + m.Subject + "\n\n" + m.Text), ".eml": eml.Bytes()} {
		if err := os.WriteFile(base+ext, content, 0o644); err != nil { //nolint:gosec // made-up people, to be looked at
			return err
		}
	}
	return nil
}

var previewIndex = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">
<title>Every message in every language</title>
<style>body { margin: 24px; font-family: system-ui, sans-serif } main { display: flex; flex-wrap: wrap; gap: 24px } section { width: 420px } iframe { width: 100%; height: 620px; border: 1px solid #8888 } h2 { font-size: 15px; margin: 0 0 4px } p { font-size: 13px; margin: 0 0 8px } pre { white-space: pre-wrap; padding: 12px; border: 1px solid #8888; border-radius: 12px }</style></head>
<body><h1>Every message in every language</h1><main>
{{range .}}<section><h2>{{.Language}}, {{.Name}}</h2><p>{{.Subject}} (<a href="{{.Base}}.txt">text</a>, <a href="{{.Base}}.eml">eml</a>)</p><iframe src="{{.Base}}.html" title="{{.Language}} {{.Name}}" loading="lazy"></iframe>{{with .SMS}}<pre>{{.}}</pre>{{end}}</section>
{{end}}</main></body></html>
`))
