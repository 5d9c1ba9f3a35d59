package connector_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

const statement = "I want Acme to go on reading my accounts at Mock Bank for another 90 days."

func act() connector.ReconfirmRequest {
	return connector.ReconfirmRequest{Statement: statement, ConfirmedBy: "ada (session 7)", Name: "Ada Lovelace", Email: "ada@example.org"}
}

// eternal is the sandbox's person whose consents are extended without a visit.
var eternal = bankbrowser.Person{User: "john", Password: "eternal"}

func TestReconfirmingWithoutAVisitRenewsTheConsent(t *testing.T) {
	w := newWorld(t)
	before := w.linked("ada", eternal)
	w.advance(80 * day)
	got, err := w.Reconfirm(t.Context(), w.app, before.ID, act())
	require.NoError(t, err)
	require.Nil(t, got.Bank)

	after := w.get(before.ID)
	assert.Equal(t, before.Cycle+1, after.Cycle)
	assert.Equal(t, before.CredentialsID, after.CredentialsID)
	assert.WithinDuration(t, w.bank.Clock().Now().Add(90*day), after.ExpiresAt, time.Minute)
	assert.Equal(t, after, got.Consent)
	assert.Equal(t, []consent.EventType{
		consent.EventLinked, consent.EventReconfirmed, consent.EventAttemptStarted, consent.EventRenewed,
	}, w.types(before))
	w.works(after)

	acts, err := w.store.Confirmations(t.Context(), w.app.ID, before.ID)
	require.NoError(t, err)
	require.Len(t, acts, 1)
	assert.Equal(t, got.ConfirmationID, acts[0].ID)
	assert.Equal(t, statement, acts[0].Statement)
	assert.Equal(t, "ada (session 7)", acts[0].ConfirmedBy)
	assert.Equal(t, before.Cycle, acts[0].Cycle)
}

func TestReconfirmingThatNeedsTheBankLeadsThereAndBack(t *testing.T) {
	w := newWorld(t)
	before := w.linked("ada", bankbrowser.John())
	w.advance(80 * day)
	req := act()
	req.State = []byte("hello world")
	got, err := w.Reconfirm(t.Context(), w.app, before.ID, req)
	require.NoError(t, err)
	require.NotNil(t, got.Bank)
	w.same(before) // nothing but history until the person was there

	state, ret := w.visit(bankbrowser.John(), got.Bank.URI)
	assert.Equal(t, "hello world", state)
	out := w.forward(*got.Bank, ret)
	assert.Equal(t, consent.AttemptRenewed, out.Attempt.Status)
	after := w.get(before.ID)
	assert.Equal(t, before.Cycle+1, after.Cycle)
	w.works(after)
}

func TestAnotherLoginAfterAReconfirmationIsAMismatch(t *testing.T) {
	w := newWorld(t)
	before := w.linked("ada", bankbrowser.John())
	got, err := w.Reconfirm(t.Context(), w.app, before.ID, act())
	require.NoError(t, err)
	_, ret := w.visit(bankbrowser.Numbered(7), got.Bank.URI)
	assert.Equal(t, consent.AttemptMismatched, w.forward(*got.Bank, ret).Attempt.Status)
	w.same(before)
	w.works(before)
}

func TestNothingReconfirmsWithoutAPersonsRecordedAct(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", eternal)
	now := w.bank.Clock().Now()
	for name, change := range map[string]func(*connector.ReconfirmRequest){
		"no statement":   func(r *connector.ReconfirmRequest) { r.Statement = "" },
		"in the future":  func(r *connector.ReconfirmRequest) { r.ConfirmedAt = now.Add(time.Hour) },
		"long ago":       func(r *connector.ReconfirmRequest) { r.ConfirmedAt = now.Add(-25 * time.Hour) },
		"nobody's name":  func(r *connector.ReconfirmRequest) { r.Name = "" },
		"nobody's mail":  func(r *connector.ReconfirmRequest) { r.Email = "" },
		"another return": func(r *connector.ReconfirmRequest) { r.RedirectURI = appCallback + "/" },
	} {
		t.Run(name, func(t *testing.T) {
			req := act()
			change(&req)
			_, err := w.Reconfirm(t.Context(), w.app, con.ID, req)
			require.Error(t, err)
			require.NotEmpty(t, consent.CodeOf(err), "an answer, not a fault")
			w.same(con)
		})
	}
	assert.Zero(t, w.bank.Calls("extend"), "the provider was not called")
	assert.Equal(t, []consent.EventType{consent.EventLinked}, w.types(con))
}

func TestReconfirmingNamesTheUserThatIsKnown(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", eternal)
	_, err := w.PutUser(t.Context(), w.app, "ada", connector.Contact{Name: "Ada Lovelace", Email: "ada@example.org"})
	require.NoError(t, err)
	got, err := w.Reconfirm(t.Context(), w.app, con.ID, connector.ReconfirmRequest{Statement: statement})
	require.NoError(t, err)
	acts, err := w.store.Confirmations(t.Context(), w.app.ID, con.ID)
	require.NoError(t, err)
	require.Len(t, acts, 1)
	assert.Equal(t, "ada", acts[0].ConfirmedBy)
	assert.Equal(t, 2, got.Consent.Cycle)
}

func TestReconfirmingWhatCannotBeExtended(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", eternal)
	w.advance(181 * day)
	_, err := w.Reconfirm(t.Context(), w.app, con.ID, act())
	assert.Equal(t, consent.CodeConsentUnrenewable, consent.CodeOf(err))
	_, err = w.Reconfirm(t.Context(), w.app, "con_nobody", act())
	assert.Equal(t, consent.CodeConsentNotFound, consent.CodeOf(err))
	_, err = w.Revoke(t.Context(), w.app, con.ID, connector.ByBackend)
	require.NoError(t, err)
	_, err = w.Reconfirm(t.Context(), w.app, con.ID, act())
	assert.Equal(t, consent.CodeConsentRevoked, consent.CodeOf(err))
	assert.False(t, strings.Contains(w.logs.String(), statement), "what people say is not logged")
}

func TestOneActExtendsOnceHoweverOftenItIsHandedIn(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", eternal)
	w.advance(80 * day)
	req := act()
	req.ConfirmedAt = w.bank.Clock().Now().Add(-time.Minute)
	first, err := w.Reconfirm(t.Context(), w.app, con.ID, req)
	require.NoError(t, err)
	w.advance(12 * time.Hour)
	again, err := w.Reconfirm(t.Context(), w.app, con.ID, req)
	require.NoError(t, err)
	assert.Equal(t, first.ConfirmationID, again.ConfirmationID)
	assert.Nil(t, again.Bank)
	assert.Equal(t, 2, w.get(con.ID).Cycle, "one act, one cycle")
	assert.Equal(t, 1, w.bank.Calls("extend"))
}

func TestActsAtTheSameMomentExtendOnce(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", eternal)
	w.advance(80 * day)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { _, _ = w.Reconfirm(t.Context(), w.app, con.ID, act()) })
	}
	group.Wait()
	assert.Equal(t, 2, w.get(con.ID).Cycle)
	assert.Equal(t, 1, w.bank.Calls("extend"))
}

func TestAnActThatIsNoneIsRefused(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", eternal)
	blank, early := act(), act()
	blank.Statement = " \n"
	early.ConfirmedAt = w.bank.Clock().Now().Add(-20 * time.Hour) // before the consent was given
	for _, req := range []connector.ReconfirmRequest{blank, early} {
		_, err := w.Reconfirm(t.Context(), w.app, con.ID, req)
		assert.Equal(t, consent.CodeInvalidRequest, consent.CodeOf(err))
	}
	assert.Zero(t, w.bank.Calls("extend"))
}

func TestAnExtensionIsNotLostAmongCallersForTokens(t *testing.T) {
	w := newWorld(t)
	for i := range 6 {
		con := w.linked(fmt.Sprint("ada", i), eternal)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for ctx.Err() == nil {
					_, _ = w.Token(ctx, w.app, con.ID, true)
				}
			})
		}
		_, err := w.Reconfirm(t.Context(), w.app, con.ID, act())
		cancel()
		group.Wait()
		require.NoError(t, err)
		assert.Equal(t, 2, w.get(con.ID).Cycle)
	}
}

func TestAnExtensionThatCouldNotBeProvenAtOnceIsCompletedLater(t *testing.T) {
	for name, later := range map[string]func(w *world, id string) error{
		"by the client that asks again": func(w *world, id string) error {
			_, err := w.Reconfirm(w.Context(), w.app, id, act())
			return err
		},
		"by upkeep": func(w *world, _ string) error { return w.Upkeep(w.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			var away atomic.Bool
			w := newWorld(t, through(func(r *http.Request) (*http.Response, error) {
				if away.Load() && strings.HasSuffix(r.URL.Path, "/me") {
					return answer(http.StatusServiceUnavailable, `{"error":"provider_error"}`), nil
				}
				return http.DefaultTransport.RoundTrip(r)
			}))
			con := w.linked("ada", eternal)
			w.advance(80 * day)
			away.Store(true)
			_, err := w.Reconfirm(t.Context(), w.app, con.ID, act())
			require.Equal(t, consent.CodeProviderUnavailable, consent.CodeOf(err))
			away.Store(false)
			require.NoError(t, later(w, con.ID))
			assert.Equal(t, 2, w.get(con.ID).Cycle)
			assert.Equal(t, 1, w.bank.Calls("extend"))
			assert.NotContains(t, w.types(con), string(consent.EventAttemptFailed))
			w.works(con)
		})
	}
}
