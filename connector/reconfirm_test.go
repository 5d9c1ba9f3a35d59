package connector_test

import (
	"strings"
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
