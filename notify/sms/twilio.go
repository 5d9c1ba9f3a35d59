package sms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	twilio "github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/reconsent/reconsent/notify"
)

// twilioMailer sends by Twilio (https://www.twilio.com/docs/messaging/api/message-resource).
type twilioMailer struct {
	account, token, from string
	base                 http.RoundTripper
}

var (
	accountForm = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	plainForm   = regexp.MustCompile(`^[0-9a-zA-Z]+$`)
)

func newTwilio(u *url.URL, base http.RoundTripper) (notify.Mailer, error) {
	account := u.User.Username()
	token, _ := u.User.Password()
	var faults []error
	if !accountForm.MatchString(account) {
		faults = append(faults, errors.New("the account SID is not AC and 32 hexadecimal digits"))
	}
	if !plainForm.MatchString(token) {
		faults = append(faults, errors.New("the auth token is missing, or has other characters than letters and digits"))
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Port() != "" {
		faults = append(faults, errors.New("nothing may follow the sender"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &twilioMailer{account, token, u.Hostname(), base}, nil
}

// Send implements notify.Mailer.
func (t *twilioMailer) Send(ctx context.Context, m notify.Message) error {
	to, err := e164(m.To)
	if err != nil {
		return err
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	status := 0
	// The library knows no contexts, so each message has a client of its own;
	// the connections are shared below.
	c := &twilio.Client{Credentials: twilio.NewCredentials(t.account, t.token), HTTPClient: client(ctx, t.base, &status)}
	c.SetAccountSid(t.account)
	params := &api.CreateMessageParams{To: &to, Body: &m.Text}
	if strings.HasPrefix(t.from, "MG") && len(t.from) == len("MG")+32 {
		params.MessagingServiceSid = &t.from
	} else {
		params.From = &t.from
	}
	if _, err = api.NewApiServiceWithClient(c).CreateMessage(params); taken(status) {
		return nil // whatever else could not be read
	}
	return meaning(caller, status, err)
}

// aboutTheNumber are the codes that say of this number that nothing will ever
// reach it (https://www.twilio.com/docs/api/errors).
var aboutTheNumber = map[int]bool{
	21211: true, // invalid 'To' phone number
	21214: true, // 'To' phone number cannot be reached
	21217: true, // phone number does not appear to be valid
	21610: true, // the recipient has unsubscribed: STOP
	21614: true, // 'To' number is not a valid mobile number
	21635: true, // 'To' number cannot be a landline
}

// meaning tells "never" from "we are not let in" and from everything else. The
// answer's own text may quote the number.
func meaning(caller context.Context, answered int, err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*twilio.TwilioRestError](err)
	switch {
	case !ok:
		return noAnswer(caller, answered, err)
	case aboutTheNumber[e.Code]:
		return fmt.Errorf("%w: Twilio %d", notify.ErrRefused, e.Code)
	case e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError:
		return fmt.Errorf("sms: not now: Twilio %d, HTTP %d", e.Code, e.Status)
	default:
		// 401, a sender that is not ours, a region that is switched off, no
		// credit: all of it an operator's to mend.
		return fmt.Errorf("%w: Twilio %d, HTTP %d", notify.ErrMisconfigured, e.Code, e.Status)
	}
}
