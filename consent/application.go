package consent

import (
	"net/url"
	"strings"
	"time"
)

// Application is a tenant: one fintech backend.
type Application struct {
	ID            string
	Slug          string // short name, [a-z0-9-]; stands in keys, links and hosted states
	Name          string // as people see it
	RedirectURIs  []string
	ReturnTos     []string
	ConfirmLinks  bool // law 9; off only where the application says so
	Cadence       Cadence
	Policies      map[string]Policy // by provider
	LinkValidity  time.Duration     // of a reconnect link; 0 takes DefaultLinkValidity
	NoMail        bool              // users are not written to at all: the application tells them itself
	Paused        bool              // users are not written to; what is announced is told to them later
	MailsPerDay   int               // ceiling, by days of UTC; 0 for none
	Branding      Branding          // of mails and pages
	SMSStages     []string          // stages of Cadence that users with a phone are told of by SMS too
	QuietHours    QuietHours        // in the user's time zone; what falls due in them waits
	CreatedAt     time.Time
	RearmAt       time.Time // when Cadence was changed, until the stages to come stand on the calendar by it
	ProviderNames []string  // configured providers, sorted
}

// UnreadableApplication is one whose stored settings do not parse: its consents
// are parked until somebody mends them.
type UnreadableApplication struct {
	ID    string
	Slug  string
	Fault error
}

// DefaultLinkValidity is how long an emailed reconnect link works.
const DefaultLinkValidity = 30 * day

// Policy returns the application's word on a provider.
func (a *Application) Policy(provider string) Policy { return a.Policies[provider] }

// AllowsRedirectURI reports whether uri may be sent to a provider. Entries are
// compared byte for byte; an entry that ends in ":*" stands for every port and
// path of that scheme and loopback host.
func (a *Application) AllowsRedirectURI(uri string) bool { return allowed(a.RedirectURIs, uri) }

// AllowsReturnTo reports whether a hosted callback may go on to uri. An entry
// allows itself, with any query.
func (a *Application) AllowsReturnTo(uri string) bool {
	base, _, _ := strings.Cut(uri, "?")
	return wellFormed(uri) && (allowed(a.ReturnTos, uri) || allowed(a.ReturnTos, base))
}

func allowed(list []string, uri string) bool {
	if !wellFormed(uri) {
		return false
	}
	for _, entry := range list {
		if entry == uri {
			return true
		}
		if prefix, ok := strings.CutSuffix(entry, ":*"); ok && anyPort(prefix, uri) {
			return true
		}
	}
	return false
}

// wellFormed refuses what browsers read differently from servers: backslashes,
// control characters and spaces, user info, a fragment, a missing host.
func wellFormed(uri string) bool {
	if strings.ContainsAny(uri, "\\# ") || strings.ContainsFunc(uri, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return false
	}
	u, err := url.Parse(uri)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.Opaque == ""
}

// anyPort reports whether uri is prefix, with or without a port, and any path.
func anyPort(prefix, uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Scheme+"://"+u.Hostname() == prefix
}

// APIKey lets a backend in. Only a hash of the secret is kept.
type APIKey struct {
	ApplicationID string
	ID            string
	Hash          []byte // SHA-256 of the secret, which has 256 random bits
	Name          string
	CreatedAt     time.Time
	RevokedAt     time.Time
}

// User is an application's end user.
type User struct {
	ApplicationID string
	ID            string // the application's own id
	Email         string
	Phone         string // E.164
	Name          string
	Locale        string // BCP 47
	TimeZone      string // IANA
	PasswordHash  Sealed // imported; sealed
	CreatedAt     time.Time
	UpdatedAt     time.Time

	UnsubscribedAt time.Time // since then the person is only told that access has stopped
	EmailRefusedAt time.Time // when Email was refused for good; goes with the address
	PhoneRefusedAt time.Time
}

// Address returns where the user is reached by a channel, empty where nowhere,
// and when that was refused for good.
func (u *User) Address(c Channel) (address string, refused time.Time) {
	if c == ChannelSMS {
		return u.Phone, u.PhoneRefusedAt
	}
	return u.Email, u.EmailRefusedAt
}

// ProviderSettings are an application's settings at one provider, sealed.
type ProviderSettings struct {
	ApplicationID string
	Provider      string
	Config        Sealed // sealed under ApplicationID + "/" + Provider
	UpdatedAt     time.Time
}

// ListableURI reports whether uri may stand on an application's lists: a plain
// http or https address, or a loopback host with ":*" for any port.
func ListableURI(uri string) bool {
	if prefix, ok := strings.CutSuffix(uri, ":*"); ok {
		return prefix == "http://127.0.0.1" || prefix == "http://localhost"
	}
	return wellFormed(uri) && !strings.Contains(uri, "*")
}
