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
	Deny           bool              // presses the refusing control on the last page
	Fields         map[string]string // answers to what a page asks for beside a login
}

// John is the sandbox's first user.
func John() Person { return Person{User: "john", Password: "doe"} }

// Numbered is the sandbox's user john<n>.
func Numbered(n int) Person {
	return Person{User: fmt.Sprintf("john%d", n), Password: fmt.Sprintf("doe%d", n)}
}

// Visit is what somebody saw.
type Visit struct {
	Return *url.URL // where the bank sent the browser back to; nil where it did not
	Pages  []string // titles, in order
	Status int      // of the last page
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
	inputName  = regexp.MustCompile(`<input[^>]* name="([^"]+)"`)
)

func first(re *regexp.Regexp, s string) string {
	if m := re.FindStringSubmatch(s); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

func (p Person) fill(body string) url.Values {
	form := url.Values{}
	for _, m := range inputName.FindAllStringSubmatch(body, -1) {
		switch name := m[1]; name {
		case "username":
			form.Set(name, p.User)
		case "password":
			form.Set(name, p.Password)
		default:
			form.Set(name, p.Fields[name])
		}
	}
	if p.Deny && !form.Has("username") {
		form.Set("deny", "deny")
	}
	return form
}
