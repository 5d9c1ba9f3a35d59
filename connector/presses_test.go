package connector_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
)

// extending has people reconfirm on the page.
func extending(s *setup) { s.policy.RenewBy = consent.RenewByExtend }

// named writes down what a provider wants to know of somebody who reconfirms.
func (w *world) named(user string) {
	w.Helper()
	_, err := w.PutUser(w.Context(), w.app, user, connector.Contact{Name: "Ada Lovelace", Email: user + "@mail.example"})
	require.NoError(w, err)
}

// handed is the token of a link that the application asked for.
func (w *world) handed(con consent.Consent, req connector.ReconnectRequest) string {
	w.Helper()
	link, err := w.NewReconnectLink(w.Context(), w.app, con.ID, req)
	require.NoError(w, err)
	return link.URL[len(ourBase+"/r/"):]
}

// confirmed presses a page's Confirm, which leads to the bank.
func (w *world) confirmed(token string) connector.Started {
	w.Helper()
	out, err := w.ConfirmReconnectLink(w.Context(), token, statement)
	require.NoError(w, err)
	require.NotNil(w, out.Bank, "%s", out.View.State)
	return *out.Bank
}

// pressed presses a page's other button.
func (w *world) pressed(token string) connector.Started {
	w.Helper()
	_, s, err := w.PressReconnectLink(w.Context(), token)
	require.NoError(w, err)
	return s
}

// byState posts what came back as an application does that knows the state only.
func (w *world) byState(state string, ret connector.Return) connector.Outcome {
	w.Helper()
	out, err := w.CompleteForwarded(w.Context(), w.app, connector.Forwarded{State: []byte(state)}, ret)
	require.NoError(w, err)
	return out
}

func TestAConfirmationOnThePageIsFoundByTheStateThatComesBack(t *testing.T) {
	w := newWorld(t, extending)
	con := w.linked("ada", bankbrowser.John())
	w.named("ada")
	s := w.confirmed(w.mailed(con, "ada@mail.example"))
	assert.Equal(t, consent.OriginPage, s.Attempt.Origin)
	state, ret := w.visit(bankbrowser.John(), s.URI)
	assert.Equal(t, s.Attempt.ID, state, "a mailed link carries none: the application finds the attempt by its id")
	out := w.byState(state, ret)
	assert.Equal(t, consent.AttemptRenewed, out.Attempt.Status)
	assert.Equal(t, 2, out.Consent.Cycle)
	for _, e := range w.history(con.ID) {
		if e.Type == consent.EventAttemptStarted {
			assert.Equal(t, "page", e.Data["origin"])
		}
	}
}

func TestAnExtensionInPlaceIsThePages(t *testing.T) {
	w := newWorld(t, extending)
	con := w.linked("ada", eternal)
	w.named("ada")
	out, err := w.ConfirmReconnectLink(t.Context(), w.mailed(con, "ada@mail.example"), statement)
	require.NoError(t, err)
	require.Equal(t, connector.LinkRenewed, out.View.State)
	history := w.history(con.ID)
	require.Equal(t, consent.EventAttemptStarted, history[2].Type)
	assert.Equal(t, "page", history[2].Data["origin"])
}

// Presses of one link come back with one state: whichever the person returns
// from, its code is redeemed.
func TestPressesOfOneLinkAreAlike(t *testing.T) {
	confirm, press := (*world).confirmed, (*world).pressed
	for name, presses := range map[string][]func(*world, string) connector.Started{
		"confirmed twice":         {confirm, confirm},
		"confirmed, then pressed": {confirm, press},
		"pressed, then confirmed": {press, confirm},
		"pressed twice":           {press, press},
	} {
		for back := range presses {
			t.Run(fmt.Sprint(name, ", back from ", back+1), func(t *testing.T) {
				w := newWorld(t, extending)
				con := w.linked("ada", bankbrowser.John())
				w.named("ada")
				token := w.handed(con, connector.ReconnectRequest{State: []byte("mine")})
				var trips []connector.Started
				for _, do := range presses {
					trips = append(trips, do(w, token))
					w.advance(2 * time.Minute)
				}
				require.NotEqual(t, trips[0].Attempt.ID, trips[1].Attempt.ID)
				state, ret := w.visit(bankbrowser.John(), trips[back].URI)
				require.Equal(t, "mine", state)
				assert.Equal(t, consent.AttemptRenewed, w.byState(state, ret).Attempt.Status)
				w.works(w.get(con.ID))
			})
		}
	}
}

// A machine that presses on and on costs the provider little, and the person
// nothing.
func TestAPersonsPressWorksAfterAMachinesMany(t *testing.T) {
	for name, way := range map[string]struct {
		do    func(*world, string) connector.Started
		calls string
	}{"pressed": {(*world).pressed, "reauthuri"}, "confirmed": {(*world).confirmed, "extend"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, extending)
			con := w.linked("ada", bankbrowser.John())
			w.named("ada")
			token := w.mailed(con, "ada@mail.example")
			var last connector.Started
			for range 50 {
				last = way.do(w, token)
			}
			assert.Equal(t, 10, w.bank.Calls(way.calls))
			person := way.do(w, token)
			assert.Equal(t, last.Attempt.ID, person.Attempt.ID)
			state, ret := w.visit(bankbrowser.John(), person.URI)
			assert.Equal(t, consent.AttemptRenewed, w.byState(state, ret).Attempt.Status)

			w.advance(2 * time.Minute)
			token = w.handed(con, connector.ReconnectRequest{State: []byte("the next cycle")})
			way.do(w, token)
			assert.Equal(t, 11, w.bank.Calls(way.calls), "none is under way")
			w.advance(time.Hour)
			way.do(w, token)
			assert.Equal(t, 12, w.bank.Calls(way.calls))
		})
	}
}

func TestAMachineThatPressesAndRefusesComesToAnEnd(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", bankbrowser.John())
	token := w.handed(con, connector.ReconnectRequest{State: []byte("mine")})
	for range 40 {
		s := w.pressed(token)
		w.forward(s, connector.Return{Error: "access_denied"})
	}
	_, _, err := w.PressReconnectLink(t.Context(), token)
	assert.Equal(t, consent.CodeRateLimited, consent.CodeOf(err))
	assert.Equal(t, 40, w.bank.Calls("reauthuri"))
	w.advance(time.Hour)
	w.pressed(token)
}

func TestAnErasedPersonsConfirmationNamesNobody(t *testing.T) {
	w := newWorld(t, extending)
	con := w.linked("ada-lovelace", eternal)
	w.named("ada-lovelace")
	words := "I agree that Acme may go on reading my account “" + con.AccountLabel + "”."
	_, err := w.ConfirmReconnectLink(t.Context(), w.mailed(con, "ada-lovelace@mail.example"), words)
	require.NoError(t, err)
	acts, err := w.Confirmations(t.Context(), w.app, con.ID)
	require.NoError(t, err)
	require.Len(t, acts, 1)
	assert.Equal(t, words, acts[0].Statement)
	require.NoError(t, w.EraseUser(t.Context(), w.app, "ada-lovelace"))

	acts, err = w.Confirmations(t.Context(), w.app, con.ID)
	require.NoError(t, err)
	require.Len(t, acts, 1, "that somebody confirmed, and when, stays")
	history := w.history(con.ID)
	require.Equal(t, acts[0].ID, history[1].Data["confirmation_id"])
	text, err := json.Marshal([]any{acts, history})
	require.NoError(t, err)
	for _, secret := range []string{"ada-lovelace", con.AccountLabel} {
		assert.NotContains(t, string(text), secret)
	}
}
