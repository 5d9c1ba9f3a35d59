package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/reconsent/reconsent/internal/outbound"
	"github.com/reconsent/reconsent/notify"
)

const (
	timeout = 15 * time.Second // of one post, all in all
	// maxAnswer is how much of an answer's body is read, in bytes, so that the
	// connection can be used again. None of it is kept.
	maxAnswer     = 4 << 10
	maxRetryAfter = 24 * time.Hour
)

// Config is what a Sender is made of. Targets, Now and Version are required.
type Config struct {
	Targets  *outbound.Targets
	Now      func() time.Time // wall time, which receivers compare webhook-timestamp with
	Version  string
	Resolver *net.Resolver // nil takes the system's
	// RootCAs, where it is set, is whom certificates are trusted by.
	RootCAs *x509.CertPool
}

// Sender posts. It is safe for concurrent use.
type Sender struct {
	targets *outbound.Targets
	now     func() time.Time
	agent   string
	client  *http.Client
}

var _ notify.Poster = (*Sender)(nil)

// New returns a Sender.
func New(cfg Config) *Sender {
	return &Sender{targets: cfg.Targets, now: cfg.Now, agent: "reconsent/" + cfg.Version, client: &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: cfg.Targets.Transport(outbound.Config{
			Timeout: timeout, Resolver: cfg.Resolver, RootCAs: cfg.RootCAs, IdlePerHost: notify.PostsAtATime,
		}),
	}}
}

// Close lets go of connections that nobody uses.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Post implements notify.Poster.
func (s *Sender) Post(ctx context.Context, p notify.Post) notify.Answer {
	u, err := url.Parse(p.URL)
	if err != nil || s.targets.Check(u) != nil { // the rules may have changed since it was taken
		return notify.Answer{Error: "address_refused"}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(p.Body))
	if err != nil {
		return notify.Answer{Error: "address_refused"}
	}
	now := s.now()
	signature, err := sign(p, now)
	if err != nil {
		return notify.Answer{Error: "not_signed"}
	}
	// As the specification writes them; HTTP/1.1 does not care, people do.
	req.Header["webhook-id"] = []string{p.ID}
	req.Header["webhook-timestamp"] = []string{strconv.FormatInt(now.Unix(), 10)}
	req.Header["webhook-signature"] = []string{signature}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", s.agent)
	resp, err := s.client.Do(req)
	if err != nil {
		return notify.Answer{Error: failure(err)}
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // the status has come; what follows counts for nothing
	a := notify.Answer{Status: resp.StatusCode}
	if a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable {
		a.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), now)
	}
	return a
}

// sign signs under each secret; while one replaces another there are two.
func sign(p notify.Post, now time.Time) (string, error) {
	signatures := make([]string, len(p.Secrets))
	for i, secret := range p.Secrets {
		wh, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return "", errors.New("a webhook secret is not base64") // the cause may quote it
		}
		if signatures[i], err = wh.Sign(p.ID, now, p.Body); err != nil {
			return "", fmt.Errorf("sign a webhook: %w", err)
		}
	}
	return strings.Join(signatures, " "), nil
}

// failure names why there was no answer. What the error says beyond that may
// hold what a stranger sent.
func failure(err error) string {
	var timedOut interface{ Timeout() bool }
	var cert *tls.CertificateVerificationError
	switch {
	case outbound.Refused(err):
		return "address_refused"
	case isDNS(err):
		return "name_not_found"
	case errors.As(err, &timedOut) && timedOut.Timeout():
		return "timeout"
	case errors.As(err, &cert):
		return "certificate_refused"
	default:
		return "connection_failed"
	}
}

func isDNS(err error) bool {
	_, ok := errors.AsType[*net.DNSError](err)
	return ok
}

// retryAfter reads the header (RFC 9110 10.2.3): seconds, or a date. 0 where it
// says nothing that can be kept to.
func retryAfter(value string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil {
		d = time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
