package stepup_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/idp"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// asked is an identity provider that keeps what a trip is begun with.
type asked struct {
	stepup.IdentityProvider
	with []any
}

func (p *asked) Start(_ context.Context, of *idp.Provider, statePrefix string) (idp.Trip, error) {
	p.with = append(p.with, *of, statePrefix)
	return idp.Trip{}, errors.New("this is as far as it goes")
}

// Everybody else sees addresses masked, who holds a stolen token too; the way to
// the provider would show them in full.
func TestATripNamesNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(func(s *stepup.Settings) {
		s.OpenID = stepup.OpenID{Issuer: "http://127.0.0.1:9", ClientID: "reconsent", ClientSecret: "of-the-provider"}
	})
	p := &asked{}
	s := w.another()
	s.Identity = p
	ada := w.caller(nil)
	v := w.begun(ada, stepup.Ask{Level: "medium"})
	_, made, err := s.Prepare(ctx(w), ada, v.ID, reauth.IDP, "")
	require.NoError(t, err)
	_, ticket, _ := strings.Cut(made.URL, stepup.PathStart)
	_, _, err = s.StartTrip(ctx(w), ticket)
	require.Error(t, err)
	require.Len(t, p.with, 2)
	said := made.URL + fmt.Sprint(p.with...)
	assert.NotContains(t, said, "ada@example.org")
	assert.NotContains(t, said, "ada")
}
