package truelayer

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/reconsent/reconsent/provider"
)

// host is where TrueLayer is: its authentication server's root, and its data
// API's, version included.
type host struct{ auth, data string }

// plain reports whether the provider is reached without TLS, as a simulator is.
func (h host) plain() bool { return strings.HasPrefix(h.auth, "http://") }

const (
	live    = "live"
	sandbox = "sandbox"
)

// hosts are TrueLayer's, by environment (providers.md 1.1).
var hosts = map[string]host{
	live:    {"https://auth.truelayer.com", "https://api.truelayer.com/data/v1"},
	sandbox: {"https://auth.truelayer-sandbox.com", "https://api.truelayer-sandbox.com/data/v1"},
}

// dialogBanks are offered where no bank is preselected and the Config names
// none (providers.md 1.2).
var dialogBanks = map[string][]string{
	live:    {"uk-ob-all", "uk-oauth-all"},
	sandbox: {"uk-cs-mock", "uk-ob-all", "uk-oauth-all"},
}

// defaultTimeout bounds a call where the caller brings no HTTP client.
const defaultTimeout = 15 * time.Second

// Open is a provider.Opener.
func Open(cfg provider.Config, deps provider.Deps) (provider.Provider, error) {
	env := cfg.Environment
	if env == "" {
		env = live
	}
	at, faults := locate(cfg, env)
	if cfg.ClientID == "" {
		faults = append(faults, errors.New("client_id is missing"))
	}
	if cfg.ClientSecret == "" {
		faults = append(faults, errors.New("client_secret is missing"))
	}
	if env == live && cfg.AuthURL == "" && strings.HasPrefix(cfg.ClientID, "sandbox-") {
		faults = append(faults, errors.New("client_id is one of TrueLayer's sandbox, but environment is live"))
	}
	if deps.Now == nil {
		faults = append(faults, errors.New("no clock was given"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	c := &Client{
		id: cfg.ClientID, secret: cfg.ClientSecret, host: at, banks: cfg.Banks, direct: cfg.DirectLinks,
		http: httpClient(deps.HTTP), now: deps.Now, log: deps.Log,
	}
	if len(c.banks) == 0 {
		c.banks = dialogBanks[env]
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// httpClient returns a copy of hc that follows no redirect, because requests
// carry secrets, keeps no cookies, and bounds what it reads.
func httpClient(hc *http.Client) *http.Client {
	own := http.Client{Timeout: defaultTimeout}
	if hc != nil {
		own = *hc
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	own.Jar = nil
	own.Transport = bounded{own.Transport}
	return &own
}

func locate(cfg provider.Config, env string) (at host, faults []error) {
	at, known := hosts[env]
	if !known {
		faults = append(faults, fmt.Errorf("environment %q is neither live nor sandbox", env))
	}
	if cfg.AuthURL != "" {
		at.auth = strings.TrimSuffix(cfg.AuthURL, "/")
		at.data = at.auth + "/data/v1"
		faults = append(faults, checkAddress("auth_url", cfg.AuthURL, env)...)
	}
	if cfg.DataURL != "" {
		at.data = strings.TrimSuffix(cfg.DataURL, "/")
		faults = append(faults, checkAddress("data_url", cfg.DataURL, env)...)
	}
	return at, faults
}

// checkAddress takes an absolute https address; a plain http one on loopback,
// or for a sandbox. The address itself is not repeated: it may hold a password.
func checkAddress(name, raw, env string) []error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return []error{fmt.Errorf("%s is no absolute http or https address", name)}
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return []error{fmt.Errorf("%s must not have user info, a query or a fragment", name)}
	case u.Scheme == "http" && env != sandbox && !isLoopback(u.Hostname()):
		return []error{fmt.Errorf("%s is plain http, over which secrets would travel in clear; use https, or environment sandbox", name)}
	}
	return nil
}

func isLoopback(name string) bool {
	ip := net.ParseIP(name)
	return name == "localhost" || (ip != nil && ip.IsLoopback())
}
