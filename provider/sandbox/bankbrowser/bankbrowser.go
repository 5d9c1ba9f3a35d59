package bankbrowser

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Person says how somebody behaves at the bank.
type Person struct {
	User, Password string
	Deny           bool              // presses the refusing control on the first page that asks for no login
	Fields         map[string]string // answers to what a page asks for beside a login; the rest is left as the page has it
}

// John is the sandbox's first user.
func John() Person { return Person{User: "john", Password: "doe"} }

// Numbered is the sandbox's user john<n>.
func Numbered(n int) Person {
	return Person{User: fmt.Sprintf("john%d", n), Password: fmt.Sprintf("doe%d", n)}
}

// Visit is what somebody saw.
type Visit struct {
	Return *url.URL   // where the bank sent the browser back to; nil where it did not
	Form   url.Values // what the browser would post there (response_mode=form_post); else nil
	Pages  []string   // titles, in order
	Status int        // of the last page
}

const mostSteps = 15

// Go walks from a link to where the bank sends the browser back to.
func (p Person) Go(ctx context.Context, link string) (Visit, error) {
	var v Visit
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	home, err := url.Parse(link)
	if err != nil {
		return v, err
	}
	next, form := home, url.Values(nil)
	for range mostSteps {
		status, location, body, err := fetch(ctx, client, next, form)
		if err != nil {
			return v, err
		}
		v.Status = status
		if location != "" {
			form = nil
			if next, err = next.Parse(location); err != nil {
				return v, err
			}
			if next.Host != home.Host {
				v.Return = next
				return v, nil
			}
			continue
		}
		v.Pages = append(v.Pages, first(heading, body))
		action := first(formAction, body)
		if action == "" {
			return v, nil // a page without a way on
		}
		if next, err = next.Parse(html.UnescapeString(action)); err != nil {
			return v, err
		}
		form = p.fill(body)
		if next.Host != home.Host {
			v.Return, v.Form = next, form
			return v, nil
		}
	}
	return v, errors.New("bankbrowser: the bank's pages do not end")
}

func fetch(ctx context.Context, client *http.Client, u *url.URL, form url.Values) (status int, location, body string, err error) {
	method, payload := http.MethodGet, io.Reader(http.NoBody)
	if form != nil {
		method, payload = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), payload)
	if err != nil {
		return 0, "", "", err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("Location"), string(b), err
}

var (
	heading    = regexp.MustCompile(`<h1>([^<]*)</h1>`)
	formAction = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	inputTag   = regexp.MustCompile(`<input[^>]*>`)
	attribute  = regexp.MustCompile(` (name|type|value)="([^"]*)"`)
)

func first(re *regexp.Regexp, s string) string {
	if m := re.FindStringSubmatch(s); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

// fill answers a page's form: what the person knows, and the rest as it stands.
func (p Person) fill(body string) url.Values {
	form := url.Values{}
	for _, tag := range inputTag.FindAllString(body, -1) {
		is := map[string]string{}
		for _, m := range attribute.FindAllStringSubmatch(tag, -1) {
			is[m[1]] = html.UnescapeString(m[2])
		}
		name := is["name"]
		answer, known := p.Fields[name]
		switch {
		case name == "username":
			form.Set(name, p.User)
		case name == "password":
			form.Set(name, p.Password)
		case known:
			form.Set(name, answer)
		case is["type"] == "radio" && !strings.Contains(tag, " checked"):
		default:
			form.Set(name, is["value"])
		}
	}
	if p.Deny && !form.Has("username") {
		form.Set("deny", "deny")
	}
	return form
}
