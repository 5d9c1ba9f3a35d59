package sms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/nyaruka/phonenumbers"

	"github.com/reconsent/reconsent/notify"
)

// Options are the settings of a gateway; Twilio needs none.
type Options struct {
	Body   string            // template; empty takes DefaultBody
	Header string            // template lines "Name: value"; empty for none
	HTTP   http.RoundTripper // nil takes Go's own
}

// timeout bounds one message, from the connection to the last byte.
const timeout = 20 * time.Second

// maxAnswer is how much of an answer is read; what matters stands at its start.
const maxAnswer = 1 << 16

// New returns a Mailer by the address of whoever delivers: it is
// twilio://ACCOUNT_SID:AUTH_TOKEN@FROM, where FROM is a number, a sender's name
// or the SID of a messaging service, or https://... of a gateway. No connection
// is made yet.
func New(address string, o Options) (notify.Mailer, error) {
	const want = "want twilio://ACCOUNT_SID:AUTH_TOKEN@FROM or https://... of a gateway" //nolint:gosec // the form of an address, not one
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, errors.New(want) // the cause may quote the secret
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultTransport
	}
	switch u.Scheme {
	case "twilio":
		return newTwilio(u, o.HTTP)
	case "https":
		return newGateway(u, o)
	default:
		return nil, errors.New(want)
	}
}

// e164 brings a number into the form that both take, or answers ErrRefused.
func e164(number string) (string, error) {
	n, err := phonenumbers.Parse(number, "")
	if err != nil || !phonenumbers.IsPossibleNumber(n) {
		return "", fmt.Errorf("%w: %w: the number is not in E.164 form", notify.ErrRefused, notify.ErrNoAddress)
	}
	return phonenumbers.Format(n, phonenumbers.E164), nil
}

// calling is one message's way out: bound to its context, and with its answer
// read whole, so that the connection can be used again whatever the reader does.
// status is what was answered, 0 where nothing was: a message that was taken is
// not sent again because the rest of the answer was lost.
type calling struct {
	ctx    context.Context
	base   http.RoundTripper
	status *int
}

// RoundTrip implements http.RoundTripper.
func (c calling) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.base.RoundTrip(r.WithContext(c.ctx))
	if err != nil {
		return nil, err
	}
	*c.status = res.StatusCode
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err = errors.Join(err, res.Body.Close()); err != nil && !taken(*c.status) {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(text))
	return res, nil
}

func taken(status int) bool { return status/100 == 2 }

// client makes one call, and writes the status of its answer. A redirect is an
// answer: what was posted is posted nowhere else.
func client(ctx context.Context, base http.RoundTripper, status *int) *http.Client {
	return &http.Client{
		Transport:     calling{ctx, base, status},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// noAnswer says that nobody answered: the next message would find nobody
// either, unless it was the caller who gave up. The address, which may hold a
// secret, is left out.
func noAnswer(caller context.Context, status int, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if status == 0 && caller.Err() == nil {
		return fmt.Errorf("%w: sms: no answer: %w", notify.ErrAway, err)
	}
	return fmt.Errorf("sms: no answer: %w", err)
}
