package truelayer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/oauth2"

	"github.com/reconsent/reconsent/provider"
)

// maxAnswer bounds an answer's body, in bytes.
const maxAnswer = 1 << 20

// What the transport finds wrong with an answer.
var (
	errNotJSON = errors.New("the answer is not JSON")
	errTooLong = errors.New("the answer is longer than 1 MiB")
)

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
	answer, err := io.ReadAll(resp.Body)
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return c.refusal(op, resp, answer) // in part too: the status says enough
	case err != nil:
		return cutOff(op, resp.StatusCode, err)
	case out == nil:
		return nil
	case !isJSON(resp.Header) || json.Unmarshal(answer, out) != nil:
		return unread(op, resp.StatusCode)
	}
	return nil
}

func isJSON(h http.Header) bool {
	mt, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && mt == "application/json"
}

// bounded is the transport under every call, the OAuth library's too, which
// would read an answer of any length and parse one of any type.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 && req.Method != http.MethodDelete && !isJSON(resp.Header) {
		_ = resp.Body.Close()
		return nil, errNotJSON
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errTooLong
	}
	return n, err
}

// tokenError reads what the OAuth library says. Its texts quote the body, so
// none of them is kept.
func (c *Client) tokenError(ctx context.Context, op string, err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.Response != nil {
		if refused.Response.StatusCode/100 == 2 {
			return unread(op, refused.Response.StatusCode) // a success with an error in it
		}
		return c.refusal(op, refused.Response, refused.Body)
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return noAnswer(op, err)
	}
	if ctx.Err() != nil {
		return noAnswer(op, ctx.Err()) // the library keeps only the text of what ended an answer half way
	}
	return unread(op, 0) // the library does not tell apart what it could not read
}

// noAnswer is a call that brought none. Of the cause only what cannot hold an
// address is kept: an address may hold a token.
func noAnswer(op string, err error) error {
	e := &provider.Error{Kind: provider.Temporary, Op: op, Code: codeNoAnswer}
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, errNotJSON):
		e.Code = codeUnread
	case errors.Is(err, context.Canceled):
		e.Err = context.Canceled
	case errors.Is(err, context.DeadlineExceeded), isNet && timeout.Timeout():
		e.Code, e.Err = codeTimeout, context.DeadlineExceeded
	default:
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			e.Err = errno // "connection refused" and its like
		} else if _, ok := errors.AsType[*net.DNSError](err); ok {
			e.Err = errors.New("the host name cannot be resolved")
		}
	}
	return e
}

func cutOff(op string, status int, err error) error {
	e := &provider.Error{Kind: provider.Temporary, Op: op, Status: status, Code: codeCutOff}
	for _, plain := range []error{errTooLong, io.ErrUnexpectedEOF, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, plain) {
			e.Err = plain
		}
	}
	return e
}

func unread(op string, status int) error {
	return &provider.Error{Kind: provider.Temporary, Op: op, Status: status, Code: codeUnread}
}

// refusal classifies an answer that is no success.
func (c *Client) refusal(op string, resp *http.Response, body []byte) error {
	e := &provider.Error{Op: op, Status: resp.StatusCode, Code: codeOf(body)}
	e.Kind = classify(op, resp.StatusCode, e.Code)
	if e.Kind == provider.RateLimited || resp.StatusCode == http.StatusServiceUnavailable {
		e.RetryAt = c.retryAt(resp.Header, e.Kind)
	}
	c.log.Debug("truelayer refused", "op", op, "status", e.Status, "code", e.Code, "kind", e.Kind.String())
	return e
}

const (
	rateLimitPause = time.Minute    // where a 429 does not say how long
	longestPause   = 24 * time.Hour // whatever it says
)

// retryAt reads Retry-After (RFC 9110 10.2.3): seconds, or a date by the
// server's own clock.
func (c *Client) retryAt(h http.Header, kind provider.Kind) time.Time {
	pause := time.Duration(-1)
	said := h.Get("Retry-After")
	if n, err := strconv.ParseUint(said, 10, 32); err == nil {
		pause = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(said); err == nil {
		from := c.now()
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			from = date
		}
		pause = max(at.Sub(from), 0)
	}
	switch {
	case pause >= 0:
		return c.now().Add(min(pause, longestPause))
	case kind == provider.RateLimited:
		return c.now().Add(rateLimitPause)
	default:
		return time.Time{}
	}
}
