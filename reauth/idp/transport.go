package idp

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// maxAnswer bounds an answer's body, in bytes, as it is after unpacking.
	// Metadata, keys and tokens are some thousand.
	maxAnswer = 256 << 10
	// callTimeout bounds a call, whatever the caller's client allows.
	callTimeout = 10 * time.Second
)

// guarded is the caller's client, made to follow no redirect, which would carry
// a secret to a place that nobody has configured, and to bring whole answers.
func guarded(given *http.Client) *http.Client {
	c := *given
	c.Jar = nil
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.Timeout <= 0 || c.Timeout > callTimeout {
		c.Timeout = callTimeout
	}
	c.Transport = whole{next: given.Transport}
	return &c
}

// whole is the transport under the OpenID and OAuth libraries, which read an
// answer of any length, and keep of most that goes wrong only a text. It reads
// an answer to its end. One to a GET, of metadata or keys, has to be a success
// and JSON; what a refused code means is for the OAuth library to say.
type whole struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t whole) RoundTrip(req *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, errors.Join(errCutOff, err)
	case len(body) > maxAnswer:
		return nil, errTooLong
	case req.Method == http.MethodGet && resp.StatusCode != http.StatusOK:
		return nil, errStatus
	case req.Method == http.MethodGet && !json.Valid(body):
		return nil, errNotJSON
	}
	answer := *resp
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return &answer, nil
}
