package connector

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/language"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/phone"
	"github.com/reconsent/reconsent/reauth/password"
)

// Contact is what an application tells us about a user.
type Contact struct {
	Email        string // ASCII; see checkEmail
	Phone        string // E.164
	Name         string
	Locale       string // BCP 47
	TimeZone     string // IANA
	PasswordHash string // imported; one that package password takes
}

// PutUser writes all of a user's contact details. Another address or password
// than was there ends what was being proven by them (see consent.Users).
func (c *Connector) PutUser(ctx context.Context, app *consent.Application, userID string, in Contact) (consent.User, error) {
	if err := checkContact(userID, in); err != nil {
		return consent.User{}, err
	}
	now := c.now()
	u := consent.User{
		ApplicationID: app.ID, ID: userID, Email: in.Email, Phone: in.Phone, Name: in.Name,
		Locale: in.Locale, TimeZone: in.TimeZone, CreatedAt: now, UpdatedAt: now,
	}
	var err error
	if u.PasswordHash, err = c.sealPassword(ctx, &u, in.PasswordHash); err != nil {
		return u, err
	}
	sealed := u.PasswordHash
	if u, err = c.registry.PutUser(ctx, u); err != nil || len(sealed) == 0 || c.keys.Current(sealed) {
		return u, err
	}
	// It stayed, and its key was rotated away: nothing else would ever rewrite it.
	anew, err := c.seal(in.PasswordHash, u.ApplicationID+"/"+u.ID)
	if err != nil {
		return u, err
	}
	if err := c.registry.ResealPassword(ctx, u.ApplicationID, u.ID, sealed, anew); err != nil {
		return u, err
	}
	return c.registry.User(ctx, u.ApplicationID, u.ID)
}

// sealPassword seals a user's hash. One that stays the same keeps its sealed
// text, by which the registry tells whether it was changed; one that cannot be
// read is another one.
func (c *Connector) sealPassword(ctx context.Context, u *consent.User, hash string) (consent.Sealed, error) {
	row := u.ApplicationID + "/" + u.ID
	was, err := c.registry.User(ctx, u.ApplicationID, u.ID)
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		return nil, err
	}
	if stands, err := c.unseal(was.PasswordHash, row); err == nil && hash != "" && subtle.ConstantTimeCompare([]byte(stands), []byte(hash)) == 1 {
		return was.PasswordHash, nil
	}
	return c.seal(hash, row)
}

// User returns a user's contact details.
func (c *Connector) User(ctx context.Context, app *consent.Application, userID string) (consent.User, error) {
	u, err := c.registry.User(ctx, app.ID, userID)
	return u, notFound(err, unknownUser())
}

// ClearRefusals has a user written to again whose address was refused: the
// application knows that it works, or wants it tried.
func (c *Connector) ClearRefusals(ctx context.Context, app *consent.Application, userID string) error {
	return notFound(c.registry.ClearRefusals(ctx, app.ID, userID, consent.Channels...), unknownUser())
}

const (
	maxName  = 200
	maxEmail = 254 // RFC 5321 4.5.3.1.3
	maxLocal = 64  // of it before the @, RFC 5321 4.5.3.1.1
)

func checkContact(userID string, in Contact) error {
	switch {
	case userID == "" || len(userID) > maxID || !consent.PlainText(userID):
		return invalid("id", "The user id is empty, longer than 256 bytes, or holds control characters.")
	case len(in.Name) > maxName || !consent.PlainText(in.Name):
		return invalid("name", "name is longer than 200 bytes, or holds control characters.")
	}
	if in.PasswordHash != "" {
		if err := password.Check(in.PasswordHash); err != nil {
			return invalid("password_hash", "password_hash holds an "+err.Error()+".")
		}
	}
	if in.Email != "" {
		if err := checkEmail(in.Email); err != nil {
			return err
		}
	}
	if in.Phone != "" {
		if fault := phone.Fault(in.Phone); fault != "" {
			return invalid("phone", fault)
		}
	}
	if in.Locale != "" {
		if _, err := language.Parse(in.Locale); err != nil {
			return invalid("locale", "locale is no BCP 47 language tag, like en-GB.")
		}
	}
	if in.TimeZone != "" {
		if _, err := time.LoadLocation(in.TimeZone); err != nil || in.TimeZone == "Local" {
			return invalid("time_zone", "time_zone is no IANA time zone, like Europe/London.")
		}
	}
	return nil
}

// checkEmail takes a bare address of RFC 5321 without quoted parts or address
// literals. It takes ASCII only: whether the servers on the way speak SMTPUTF8
// (RFC 6531) is known only when a mail comes back, which for a reminder is too
// late. An internationalised domain has an ASCII form, xn--..., and is taken in
// that.
func checkEmail(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) {
		return invalid("email", "email holds characters beyond ASCII, which not every mail server accepts; write the domain in its xn-- form.")
	}
	addr, err := mail.ParseAddress(s)
	if err != nil || addr.Address != s || len(s) > maxEmail || !consent.PlainText(s) {
		return invalid("email", "email is no single address, like ada@example.org, of at most 254 bytes.")
	}
	if local, domain, _ := strings.Cut(s, "@"); len(local) > maxLocal || strings.HasPrefix(domain, "[") {
		return invalid("email", "email has more than 64 bytes before the @, or a number in the place of a domain.")
	}
	return nil
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// asAnswer returns the *consent.Error in err's chain, or nil.
func asAnswer(err error) *consent.Error {
	e, _ := errors.AsType[*consent.Error](err)
	return e
}
