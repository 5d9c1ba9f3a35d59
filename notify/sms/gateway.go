package sms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"text/template"

	"golang.org/x/net/http/httpguts"

	"github.com/reconsent/reconsent/notify"
)

// DefaultBody is what a gateway gets where no template is given.
const DefaultBody = `{"to":{{json .To}},"text":{{json .Text}},"id":{{json .ID}}}`

// gateway sends by one POST a message.
type gateway struct {
	address string
	body    *template.Template
	header  map[string]*template.Template
	base    http.RoundTripper
}

// fields are what a template may name.
type fields struct {
	To   string // E.164
	Text string
	ID   string // the same for every try of one message
}

var functions = template.FuncMap{
	"json": func(s string) (string, error) {
		b, err := json.Marshal(s)
		return string(b), err
	},
	"query": url.QueryEscape,
}

func newGateway(u *url.URL, o Options) (notify.Mailer, error) {
	body, errBody := parseBody(o.Body)
	header, errHeader := parseHeader(o.Header)
	if err := errors.Join(errBody, errHeader); err != nil {
		return nil, err
	}
	if _, given := header["Content-Type"]; !given {
		header["Content-Type"] = template.Must(template.New("Content-Type").Parse("application/json"))
	}
	return &gateway{u.String(), body, header, o.HTTP}, nil
}

// CheckBody reports whether a template can be a body.
func CheckBody(text string) error {
	_, err := parseBody(text)
	return err
}

// CheckHeader reports whether lines of templates can be headers.
func CheckHeader(lines string) error {
	_, err := parseHeader(lines)
	return err
}

func parseBody(text string) (*template.Template, error) {
	if text == "" {
		text = DefaultBody
	}
	return parse("body", text)
}

func parseHeader(lines string) (map[string]*template.Template, error) {
	header := map[string]*template.Template{}
	var faults []error
	for i, line := range strings.Split(strings.ReplaceAll(lines, "\r\n", "\n"), "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		if !found || !httpguts.ValidHeaderFieldName(name) {
			faults = append(faults, fmt.Errorf("line %d: want \"Name: value\"", i+1)) // it may be a secret
			continue
		}
		t, err := parse("header "+name, strings.TrimSpace(value))
		if err != nil {
			faults = append(faults, err)
			continue
		}
		header[textproto.CanonicalMIMEHeaderKey(name)] = t
	}
	return header, errors.Join(faults...)
}

// parse reads a template and fills it once, so that a field that does not exist
// is a fault at the start and not of the first message. The template itself is
// not quoted: it may hold a secret.
func parse(name, text string) (*template.Template, error) {
	t, err := template.New(name).Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: no Go template", name)
	}
	if _, err := fill(t, fields{To: "+442071838750", Text: "text", ID: "id"}); err != nil {
		return nil, fmt.Errorf("%s: the template has .To, .Text and .ID, and the functions json and query, and names something else", name)
	}
	return t, nil
}

func fill(t *template.Template, f fields) (string, error) {
	var b bytes.Buffer
	err := t.Execute(&b, f)
	return b.String(), err
}

// Send implements notify.Mailer.
func (g *gateway) Send(ctx context.Context, m notify.Message) error {
	to, err := e164(m.To)
	if err != nil {
		return err
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := g.request(ctx, fields{To: to, Text: m.Text, ID: m.ID})
	if err != nil {
		return err
	}
	status := 0
	res, err := client(ctx, g.base, &status).Do(req)
	if err != nil {
		return noAnswer(caller, status, err)
	}
	_ = res.Body.Close() // read whole already
	return answered(res.StatusCode)
}

func (g *gateway) request(ctx context.Context, f fields) (*http.Request, error) {
	body, err := fill(g.body, f)
	if err != nil {
		return nil, fmt.Errorf("%w: the body's template fails", notify.ErrMisconfigured)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.address, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: the gateway's address", notify.ErrMisconfigured)
	}
	for name, t := range g.header {
		value, err := fill(t, f)
		if err != nil || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("%w: header %s", notify.ErrMisconfigured, name)
		}
		req.Header.Set(name, value)
	}
	return req, nil
}

// answered tells by the status (RFC 9110, 15) what became of a message.
func answered(status int) error {
	switch {
	case status >= 200 && status < 300:
		return nil
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return fmt.Errorf("sms: not now: HTTP %d", status)
	case status < 400, status == http.StatusUnauthorized, status == http.StatusPaymentRequired, status == http.StatusForbidden,
		status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusProxyAuthRequired,
		status == http.StatusUnsupportedMediaType:
		// A redirect, a wrong address, credentials, method or form: no word about
		// the number in it.
		return fmt.Errorf("%w: HTTP %d", notify.ErrMisconfigured, status)
	default:
		return fmt.Errorf("%w: HTTP %d", notify.ErrRefused, status)
	}
}
