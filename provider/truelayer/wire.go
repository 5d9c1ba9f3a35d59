package truelayer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/oauth2"

	"github.com/reconsent/reconsent/provider"
)

// maxAnswer bounds an answer's body, in bytes. What is longer is cut off, and
// then does not parse.
const maxAnswer = 1 << 20

// call sends a request and reads its JSON answer into out, which may be nil.
func (c *Client) call(ctx context.Context, op, method, address, bearer string, body, out any) error {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return &provider.Error{Kind: provider.Misconfigured, Op: op, Code: "request_not_json"}
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, payload)
	if err != nil {
		return &provider.Error{Kind: provider.Misconfigured, Op: op, Code: "address_not_usable"}
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return noAnswer(op, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return &provider.Error{Kind: provider.Temporary, Op: op, Status: resp.StatusCode, Code: "answer_cut_off"}
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return c.refusal(op, resp, answer)
	}
	if out == nil {
		return nil
	}
	if !isJSON(resp.Header) || json.Unmarshal(answer, out) != nil {
		return unreadable(op, resp.StatusCode)
	}
	return nil
}

func isJSON(h http.Header) bool {
	mt, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && mt == "application/json"
}

// bounded is the client for the OAuth library, which would read an answer of
// any size and parse one of any type.
func (c *Client) bounded() *http.Client {
	hc := *c.http
	hc.Transport = checked{c.http.Transport}
	return &hc
}

type checked struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t checked) RoundTrip(req *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK && !isJSON(resp.Header) {
		_ = resp.Body.Close()
		return nil, errNotJSON
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}

var errNotJSON = errors.New("answer is not JSON")

// tokenError reads what the OAuth library says. Its texts quote the body, so
// none of them is kept.
func (c *Client) tokenError(ctx context.Context, op string, err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.Response != nil {
		if refused.Response.StatusCode == http.StatusOK {
			return unreadable(op, http.StatusOK) // 200 with an error in it
		}
		return c.refusal(op, refused.Response, refused.Body)
	}
	if errors.Is(err, errNotJSON) {
		return unreadable(op, http.StatusOK)
	}
	if _, ok := errors.AsType[*url.Error](err); ok || ctx.Err() != nil {
		return noAnswer(op, err)
	}
	return unreadable(op, 0)
}

// noAnswer is a call that brought none. The cause is kept only where it cannot
// hold an address: an address may hold a token.
func noAnswer(op string, err error) error {
	e := &provider.Error{Kind: provider.Temporary, Op: op, Code: "no_answer"}
	switch {
	case errors.Is(err, context.Canceled):
		e.Err = context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		e.Err = context.DeadlineExceeded
	default:
		if u, ok := errors.AsType[*url.Error](err); ok {
			if u.Timeout() {
				e.Code = "timeout"
			}
			e.Err = fmt.Errorf("%T", u.Err)
		}
	}
	return e
}

func unreadable(op string, status int) error {
	return &provider.Error{Kind: provider.Temporary, Op: op, Status: status, Code: "answer_not_understood"}
}

// refusal classifies an answer that is no success.
func (c *Client) refusal(op string, resp *http.Response, body []byte) error {
	var said struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(body, &said) // what does not parse has no code
	e := &provider.Error{Op: op, Status: resp.StatusCode, Code: codeOf(said.Error)}
	e.Kind = classify(op, resp.StatusCode, e.Code)
	if e.Kind == provider.RateLimited || resp.StatusCode == http.StatusServiceUnavailable {
		e.RetryAt = c.retryAt(resp.Header.Get("Retry-After"), e.Kind)
	}
	return e
}

// codeOf keeps an error code only if it is one of TrueLayer's: anything else
// might be a token that a broken answer echoes.
func codeOf(s string) string {
	if _, known := knownCodes[s]; known {
		return s
	}
	return ""
}

// rateLimitPause is taken where a 429 does not say how long.
const rateLimitPause = time.Minute

// retryAt reads Retry-After (RFC 9110 10.2.3): seconds, or a date.
func (c *Client) retryAt(header string, kind provider.Kind) time.Time {
	if n, err := strconv.ParseInt(header, 10, 64); err == nil && n >= 0 {
		return c.now().Add(time.Duration(min(n, math.MaxInt32)) * time.Second)
	}
	if at, err := http.ParseTime(header); err == nil {
		return at.UTC()
	}
	if kind == provider.RateLimited {
		return c.now().Add(rateLimitPause)
	}
	return time.Time{}
}
