package sandbox

import (
	"context"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

func redirect(path string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, path, http.StatusSeeOther)
	}
}

// leave ends a journey and sends the browser back.
func (s *Server) leave(j *journey, v url.Values) http.HandlerFunc {
	j.Finished = true
	s.mem.saveJourney(j)
	if j.State != nil {
		v.Set("state", string(j.State))
	}
	target := withQuery(j.RedirectURI, v)
	to, form := j.RedirectURI, j.FormPost
	twice := onLoopback(to) && s.faults.take("browser_returns_twice")
	return func(w http.ResponseWriter, r *http.Request) {
		if twice {
			s.returnFirst(r.Context(), to, v, form)
		}
		if form {
			s.show(w, http.StatusOK, "formpost.html", view{
				Title: "Back to the app", Site: siteName, Fields: fieldsOf(v),
				// Not to be normalised: the address goes out byte for byte. It
				// passed isRedirect, and scripts' schemes did not.
				Target: template.URL(to), //nolint:gosec // see above
			})
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", target)
		w.WriteHeader(http.StatusFound)
	}
}

func fieldsOf(v url.Values) map[string]string {
	fields := map[string]string{}
	for name := range v {
		fields[name] = v.Get(name)
	}
	return fields
}

// withQuery adds parameters to an address, which stays as it is byte for byte.
func withQuery(address string, v url.Values) string {
	sep := "?"
	if strings.Contains(address, "?") {
		sep = "&"
	}
	return address + sep + v.Encode()
}

const longestReturn = 20 * time.Second

// returnFirst calls the redirect address as a browser that comes back twice
// would the first time. Pages have no script, so the server does it.
func (s *Server) returnFirst(ctx context.Context, to string, v url.Values, form bool) {
	ctx, cancel := context.WithTimeout(ctx, longestReturn)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, withQuery(to, v), nil)
	if form && err == nil {
		req, err = http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(v.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	if err != nil {
		s.log.Warn("sandbox: the first of two returns failed", "error", err)
		return
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		s.log.Warn("sandbox: the first of two returns failed", "to", req.URL.Host)
		return
	}
	_ = resp.Body.Close()
}

func onLoopback(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
