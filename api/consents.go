package api

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
)

func (s *Server) listConsents(c *gin.Context, app *consent.Application) {
	f, err := filterOf(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	limit := f.Limit
	f.Limit++ // one more tells whether there is a next page
	found, err := s.connector.Consents(c.Request.Context(), app, f)
	if err != nil {
		s.fail(c, err)
		return
	}
	list := ConsentList{Consents: make([]*Consent, 0, limit)}
	for i := range found[:min(limit, len(found))] {
		list.Consents = append(list.Consents, s.consent(&found[i]))
	}
	if len(found) > limit {
		last := found[limit-1]
		cursor := encodeCursor(last.CreatedAt, last.ID)
		list.NextCursor = &cursor
	}
	s.reply(c, http.StatusOK, list)
}

func filterOf(c *gin.Context) (consent.ListFilter, error) {
	q := c.Request.URL.Query()
	f := consent.ListFilter{Status: consent.Status(q.Get("status")), UserID: q.Get("user_id"), Provider: q.Get("provider")}
	err := onlyQuery(q, "status", "user_id", "provider", "expires_before", "limit", "cursor")
	if err == nil && q.Has("status") && !slices.Contains(consent.Statuses(), f.Status) {
		err = invalidRequest("status", "status is none of pending, active, lapsing, lapsed, unrenewable, revoked.")
	}
	if err == nil {
		f.ExpiresBefore, err = timeOf(q, "expires_before")
	}
	if err == nil {
		f.Limit, err = limitOf(q)
	}
	if err == nil && q.Has("cursor") {
		f.AfterCreated, f.AfterID, err = decodeCursor(q.Get("cursor"))
	}
	return f, err
}

func encodeCursor(at time.Time, id string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", at.UnixMicro(), id))
}

func decodeCursor(s string) (time.Time, string, error) {
	bad := invalidRequest("cursor", "cursor is not one that a listing returned.")
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return time.Time{}, "", bad
	}
	micros, id, found := strings.Cut(string(raw), " ")
	n, err := strconv.ParseInt(micros, 10, 64)
	if !found || err != nil || texts(short("cursor", id)) != nil {
		return time.Time{}, "", bad
	}
	return time.UnixMicro(n).UTC(), id, nil
}

func (s *Server) getConsent(c *gin.Context, app *consent.Application) {
	con, err := s.connector.Consent(c.Request.Context(), app, c.Param("id"))
	s.replyConsent(c, http.StatusOK, &con, err)
}

func (s *Server) revokeConsent(c *gin.Context, app *consent.Application) {
	con, err := s.connector.Revoke(c.Request.Context(), app, c.Param("id"), connector.ByBackend)
	s.replyConsent(c, http.StatusOK, &con, err)
}

func (s *Server) replyConsent(c *gin.Context, status int, con *consent.Consent, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, status, s.consent(con))
}

// NewConsent is a consent that exists at the provider already.
type NewConsent struct {
	CredentialsID string     `json:"credentials_id" required:"true"`
	RefreshToken  string     `json:"refresh_token,omitempty" description:"Without it the consent can only be linked again"`
	Provider      string     `json:"provider" required:"true"`
	ProviderID    string     `json:"provider_id,omitempty"`
	UserID        string     `json:"user_id" required:"true"`
	Email         string     `json:"email,omitempty" description:"Taken for the user where none is known"`
	RedirectURI   string     `json:"redirect_uri,omitempty" description:"Of the original link"`
	Scope         string     `json:"scope,omitempty"`
	ConsentedAt   *time.Time `json:"consented_at" required:"true"`
	ExpiresAt     *time.Time `json:"expires_at,omitempty" description:"Left out, the application's policy for the provider says"`
	Custody       string     `json:"custody,omitempty" enum:"ours,backend" description:"Left out: ours"`
}

func (s *Server) registerConsent(c *gin.Context, app *consent.Application) {
	var req NewConsent
	if err := decode(c, &req, false); err != nil {
		s.fail(c, err)
		return
	}
	in := connector.NewConsent{
		CredentialsID: req.CredentialsID, RefreshToken: req.RefreshToken, Provider: req.Provider, ProviderID: req.ProviderID,
		UserID: req.UserID, Email: req.Email, RedirectURI: req.RedirectURI, Scopes: scopesOf(req.Scope), Custody: consent.Custody(req.Custody),
	}
	if req.ConsentedAt != nil {
		in.ConsentedAt = *req.ConsentedAt
	}
	if req.ExpiresAt != nil {
		in.ExpiresAt = *req.ExpiresAt
	}
	con, err := s.connector.Register(c.Request.Context(), app, in)
	s.replyConsent(c, http.StatusCreated, &con, err)
}

func (s *Server) listEvents(c *gin.Context, app *consent.Application) {
	q := c.Request.URL.Query()
	err := onlyQuery(q, "limit", "cursor")
	limit, after := 0, int64(0)
	if err == nil {
		limit, err = limitOf(q)
	}
	if err == nil && q.Has("cursor") {
		if after, err = strconv.ParseInt(q.Get("cursor"), 10, 64); err != nil || after < 0 {
			err = invalidRequest("cursor", "cursor is not one that a listing returned.")
		}
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	found, err := s.connector.Events(c.Request.Context(), app, c.Param("id"), after, limit+1)
	if err != nil {
		s.fail(c, err)
		return
	}
	list := EventList{Events: make([]Event, 0, len(found))}
	for _, e := range found[:min(limit, len(found))] {
		list.Events = append(list.Events, eventOf(e))
	}
	if len(found) > limit {
		cursor := strconv.FormatInt(found[limit-1].Seq, 10)
		list.NextCursor = &cursor
	}
	s.reply(c, http.StatusOK, list)
}

// TokenRequest asks for an access token.
type TokenRequest struct {
	Force bool `json:"force,omitempty" description:"Refresh in any case"`
}

// TokenResponse is an access token.
type TokenResponse struct {
	AccessToken string    `json:"access_token" required:"true"`
	ExpiresAt   time.Time `json:"expires_at" required:"true"`
	TokenType   string    `json:"token_type" required:"true" enum:"Bearer"`
}

func (s *Server) token(c *gin.Context, app *consent.Application) {
	var req TokenRequest
	if err := decode(c, &req, true); err != nil {
		s.fail(c, err)
		return
	}
	t, err := s.connector.Token(c.Request.Context(), app, c.Param("id"), req.Force)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, TokenResponse{AccessToken: t.Token, ExpiresAt: t.ExpiresAt.UTC(), TokenType: "Bearer"})
}

// HandInRequest hands in the newest refresh token of a consent that the
// application refreshes itself.
type HandInRequest struct {
	RefreshToken string `json:"refresh_token" required:"true"`
}

func (s *Server) handInToken(c *gin.Context, app *consent.Application) {
	var req HandInRequest
	err := decode(c, &req, false)
	if err == nil {
		err = texts(long("refresh_token", req.RefreshToken))
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	con, err := s.connector.HandIn(c.Request.Context(), app, c.Param("id"), req.RefreshToken)
	s.replyConsent(c, http.StatusOK, &con, err)
}

// ReconnectRequest asks for a link that can be sent to a person.
type ReconnectRequest struct {
	ReturnTo string  `json:"return_to,omitempty"`
	State    *string `json:"state,omitempty"`
}

// ReconnectLink is a link to our reconnect page.
type ReconnectLink struct {
	URL       string    `json:"url" required:"true" description:"Shown once; only a fingerprint is kept"`
	ExpiresAt time.Time `json:"expires_at" required:"true"`
}

func (s *Server) newReconnectLink(c *gin.Context, app *consent.Application) {
	var req ReconnectRequest
	err := decode(c, &req, true)
	var state []byte
	if err == nil {
		state, err = stateOf(req.State)
	}
	if err == nil {
		err = texts(long("return_to", req.ReturnTo))
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	link, err := s.connector.NewReconnectLink(c.Request.Context(), app, c.Param("id"), connector.ReconnectRequest{ReturnTo: req.ReturnTo, State: state})
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusCreated, ReconnectLink{URL: link.URL, ExpiresAt: link.ExpiresAt})
}

func scopesOf(s string) []string { return strings.Fields(s) }
