package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// MaxHeader is how much header an answer may have, in bytes.
const MaxHeader = 16 << 10

const idleConnection = 30 * time.Second

// Config is what a client is made of. Timeout is required.
type Config struct {
	Timeout time.Duration // of one call, all in all
	// MaxBody is how much of an answer's body can be read, in bytes: what is
	// longer is an error in the middle of reading. Needed by Client only.
	MaxBody     int64
	IdlePerHost int            // connections kept for the next call; 0 takes net/http's default
	Resolver    *net.Resolver  // nil takes the system's
	RootCAs     *x509.CertPool // whom certificates are trusted by; nil takes the system's
}

// Transport returns a transport that dials only where Targets allow. The URL as
// it is written is for the caller to Check, and redirects are for its client to
// refuse.
func (t *Targets) Transport(cfg Config) *http.Transport {
	dialer := &net.Dialer{Timeout: cfg.Timeout, Resolver: cfg.Resolver, Control: t.guard.Safe}
	return &http.Transport{
		Proxy:                  nil, // it would dial in our place, unguarded
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs},
		TLSHandshakeTimeout:    cfg.Timeout,
		MaxIdleConnsPerHost:    cfg.IdlePerHost,
		IdleConnTimeout:        idleConnection,
		MaxResponseHeaderBytes: MaxHeader,
		DisableCompression:     true, // or a few bytes become many
		ForceAttemptHTTP2:      true,
	}
}

// Client returns a client for whoever reads what comes back: each URL is
// checked, no redirect is followed, time and size are bounded. A library that is
// given it can reach nothing else.
func (t *Targets) Client(cfg Config) *http.Client {
	return &http.Client{
		Timeout:       cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &checked{Transport: t.Transport(cfg), targets: t, maxBody: cfg.MaxBody},
	}
}

// checked is a transport that looks at each URL, and bounds each answer.
type checked struct {
	*http.Transport
	targets *Targets
	maxBody int64
}

// RoundTrip implements http.RoundTripper.
func (c *checked) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := c.targets.Check(req.URL); err != nil {
		return nil, fmt.Errorf("%w: %w", errTarget, err)
	}
	resp, err := c.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: c.maxBody}
	return resp, nil
}

// bounded is a body that fails where it is longer than it may be. An end that
// was cut off unseen could still be read as something.
type bounded struct {
	io.ReadCloser
	left int64 // bytes that may still come
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 { // one more, to see whether there is more
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		n, err = int(b.left), errTooLong
	}
	b.left -= int64(n)
	return n, err
}
