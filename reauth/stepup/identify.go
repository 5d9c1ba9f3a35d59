package stepup

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/usertoken"
)

// Request is what a request says of who asks.
type Request struct {
	// Authorization are all values of that header. Exactly one counts.
	Authorization []string
	// Applications are the names that were given, in whatever places.
	Applications []string
	DeviceID     string
	IPPrefix     string
}

// maxDevice is in bytes.
const maxDevice = 256

// Identify says who is asking (reauth-wire.md 1). It reads no user: that is each
// use case's first step.
func (s *Service) Identify(ctx context.Context, r Request) (*Caller, error) {
	if len(r.Authorization) != 1 {
		return nil, refuse(CodeTokenMissing, "Send one header Authorization: Bearer <token of the user>.")
	}
	scheme, token, _ := strings.Cut(r.Authorization[0], " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, refuse(CodeTokenMissing, "Send one header Authorization: Bearer <token of the user>.")
	}
	if err := checkDevice("x-device-id", r.DeviceID); err != nil {
		return nil, err
	}
	t, err := s.tenant(ctx, token, r.Applications)
	if err != nil {
		return nil, err
	}
	if len(t.rules.Algorithms) == 0 {
		return nil, refuse(CodeTokenInvalid, "This application has not said who issues its users' tokens: see reconsent app reauth.")
	}
	claims, err := s.Tokens.Verify(ctx, token, &t.rules)
	if err != nil {
		return nil, tokenRefused(err)
	}
	return &Caller{
		Tenant: t, Who: Who{ApplicationID: t.ID, UserID: claims.Subject, SessionID: claims.Session},
		Token: claims, DeviceID: r.DeviceID, IPPrefix: r.IPPrefix,
	}, nil
}

func checkDevice(field, id string) error {
	if len(id) > maxDevice || !consent.PlainText(id) {
		return invalid(field, field+" is longer than 256 bytes, or holds control characters.")
	}
	return nil
}

// OfBackend is a caller whom the application's own backend speaks for.
func (s *Service) OfBackend(ctx context.Context, applicationID, userID, sessionID, ipPrefix string) (*Caller, error) {
	if !named(userID) {
		return nil, invalid("user_id", "user_id is missing, longer than 256 characters, or holds control characters.")
	}
	if !named(sessionID) {
		return nil, invalid("session_id", "session_id is missing, longer than 256 characters, or holds control characters.")
	}
	t, err := s.byID(ctx, applicationID)
	if err != nil {
		return nil, err
	}
	return &Caller{Tenant: t, Who: Who{ApplicationID: t.ID, UserID: userID, SessionID: sessionID}, IPPrefix: ipPrefix}, nil
}

func named(s string) bool {
	return s != "" && len(s) <= 1024 && len([]rune(s)) <= 256 && consent.PlainText(s)
}

// tokenRefused says why a token is not taken, and nothing of what stands in it.
func tokenRefused(err error) error {
	e := refuse(CodeTokenInvalid, "")
	switch {
	case errors.Is(err, usertoken.ErrSessionMissing):
		e.Code, e.Detail = CodeSessionMissing, "The token names no session: it needs the claim sid or session_id."
	case errors.Is(err, usertoken.ErrKeysUnavailable):
		e = waitUntil(CodeIdentityUnavailable, time.Time{}, "The keys of the application's identity provider cannot be fetched now. Try again.")
	case errors.Is(err, usertoken.ErrExpired):
		e.Detail = "The token has expired."
	case errors.Is(err, usertoken.ErrTooOld):
		e.Detail = "The token was issued too long ago, or does not say when."
	case errors.Is(err, usertoken.ErrNotYetValid):
		e.Detail = "The token is from the future: compare the clocks."
	case errors.Is(err, usertoken.ErrNames):
		e.Detail = "The token is from another issuer, or for another audience, than this application's."
	case errors.Is(err, usertoken.ErrMalformed):
		e.Detail = "This is not a token of a user, or a claim of it is missing or odd."
	case errors.Is(err, usertoken.ErrRefused):
		e.Detail = "The token's signature, algorithm or header is refused."
	default:
		return err
	}
	e.Err = err
	return e
}

// EndSession ends all that is live of a session, or of all sessions of a user.
func (s *Service) EndSession(ctx context.Context, applicationID, userID, sessionID, ipPrefix string) error {
	if !named(userID) || sessionID != "" && !named(sessionID) {
		return invalid("user_id", "user_id or session_id is missing, longer than 256 characters, or holds control characters.")
	}
	who := Who{ApplicationID: applicationID, UserID: userID, SessionID: sessionID}
	line := s.audit(&Caller{Who: who, IPPrefix: ipPrefix}, ActionCleared)
	err := s.Store.Clear(ctx, who, s.now(), line)
	if errors.Is(err, consent.ErrNotFound) {
		return nil // nobody had proven anything
	}
	return err
}
