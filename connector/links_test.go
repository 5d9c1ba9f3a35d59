package connector_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
	"github.com/reconsent/reconsent/provider/truelayer"
)

func TestALinkSaysConnectedOnlyWhileTheReplacementLives(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", bankbrowser.John())
	w.advance(181 * day)
	token := w.handed(con, connector.ReconnectRequest{State: []byte("mine")})
	state, ret := w.visit(bankbrowser.Numbered(5), w.pressed(token).URI)
	require.Equal(t, consent.AttemptLinked, w.byState(state, ret).Attempt.Status)
	assert.Equal(t, connector.LinkReplaced, w.linkState(token))
	w.advance(91 * day)
	assert.Equal(t, connector.LinkLapsed, w.linkState(token))
}

func TestAFormerAddressLearnsOfNoRenewal(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", bankbrowser.John())
	w.named("ada")
	token := w.mailed(con, "ada@mail.example")
	state, ret := w.visit(bankbrowser.John(), w.pressed(token).URI)
	w.byState(state, ret)
	require.Equal(t, connector.LinkRenewed, w.linkState(token))
	_, err := w.PutUser(t.Context(), w.app, "ada", connector.Contact{Email: "ADA@mail.example"})
	require.NoError(t, err)
	assert.Equal(t, connector.LinkRenewed, w.linkState(token), "the same mailbox")
	_, err = w.PutUser(t.Context(), w.app, "ada", connector.Contact{Email: "new@mail.example"})
	require.NoError(t, err)
	assert.Equal(t, connector.LinkMoved, w.linkState(token))
}

func TestALinkThatWasAskedForGoesOnToWhereTheOldOneWould(t *testing.T) {
	w := newWorld(t)
	w.store.UseQueue(new(madeJobs))
	con := w.linked("ada", bankbrowser.John())
	w.named("ada")
	old := w.handed(con, connector.ReconnectRequest{ReturnTo: appReturn, State: []byte("mine")})
	w.advance(31 * day)
	v, err := w.ResendReconnectLink(t.Context(), old)
	require.NoError(t, err)
	require.True(t, v.Mailable)
	var stage string
	require.NoError(t, w.store.DB().QueryRowContext(t.Context(), `SELECT stage FROM notices WHERE stage LIKE 'asked%'`).Scan(&stage))

	con = w.get(con.ID)
	want := consent.MessageLink{MessageID: "dgt_1", Consent: &con, Address: "ada@mail.example", Stage: stage}
	first, err := w.MessageLinks(t.Context(), w.app, []consent.MessageLink{want})
	require.NoError(t, err)
	again, err := w.MessageLinks(t.Context(), w.app, []consent.MessageLink{want})
	require.NoError(t, err)
	assert.Equal(t, first, again, "a message that is made again carries the same link")
	v, err = w.OpenReconnectLink(t.Context(), first[0][len(ourBase+"/r/"):])
	require.NoError(t, err)
	to, state := v.ReturnTo()
	assert.Equal(t, appReturn, to)
	assert.Equal(t, "mine", string(state))

	// That of somebody else's link goes nowhere.
	other := w.linked("grace", bankbrowser.Numbered(2))
	links, err := w.MessageLinks(t.Context(), w.app, []consent.MessageLink{{MessageID: "dgt_2", Consent: &other, Address: "grace@mail.example", Stage: stage}})
	require.NoError(t, err)
	_, err = w.PutUser(t.Context(), w.app, "grace", connector.Contact{Email: "grace@mail.example"})
	require.NoError(t, err)
	v, err = w.OpenReconnectLink(t.Context(), links[0][len(ourBase+"/r/"):])
	require.NoError(t, err)
	to, state = v.ReturnTo()
	assert.Empty(t, to)
	assert.Nil(t, state)
}

func TestLinksAreForgottenLongAfterTheirEnd(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", bankbrowser.John())
	token := w.handed(con, connector.ReconnectRequest{})
	w.advance((30+180)*day - time.Hour)
	require.NoError(t, w.Upkeep(t.Context()))
	assert.Equal(t, connector.LinkExpired, w.linkState(token))
	w.advance(2 * time.Hour)
	require.NoError(t, w.Upkeep(t.Context()))
	_, err := w.OpenReconnectLink(t.Context(), token)
	assert.True(t, connector.IsUnknownLink(err))
}

func TestWithoutAMailServerNothingIsMailable(t *testing.T) {
	w := newWorld(t)
	con := w.linked("ada", bankbrowser.John())
	w.named("ada")
	token := w.handed(con, connector.ReconnectRequest{})
	for _, none := range []bool{false, true} {
		c := connector.New(connector.Config{Registry: w.reg, Keys: w.keys, Now: w.bank.Clock().Now, BaseURL: ourBase, NoMail: none})
		v, err := c.OpenReconnectLink(t.Context(), token)
		require.NoError(t, err)
		assert.Equal(t, !none, v.Mailable)
	}
}

// wordy is a provider whose names have line breaks and no end.
type wordy struct{ *truelayer.Client }

func (p wordy) Inspect(ctx context.Context, token string) (provider.Inspection, error) {
	ins, err := p.Client.Inspect(ctx, token)
	ins.ProviderName = "Mock\r\nBank\u2028of\x00 Names"
	return ins, err
}

func (p wordy) Accounts(ctx context.Context, token string) ([]provider.Account, error) {
	list, err := p.Client.Accounts(ctx, token)
	for i := range list {
		list[i].Name = "Current\naccount " + string(make([]rune, 200)) + "x"
	}
	return append(list, provider.Account{ID: "third", Name: "Savings"}), err
}

func TestNamesOfBanksAndAccountsAreOneBoundedLine(t *testing.T) {
	w := newWorld(t, withProvider(func(cfg provider.Config, d provider.Deps) (provider.Provider, error) {
		p, err := truelayer.Open(cfg, d)
		if err != nil {
			return nil, err
		}
		return wordy{p.(*truelayer.Client)}, nil
	}))
	con := w.linked("ada", bankbrowser.John())
	assert.Equal(t, "Mock  Bank of  Names", con.BankName)
	assert.Regexp(t, `^Current account… ••\d{4}$`, con.AccountLabel)
	assert.LessOrEqual(t, len([]rune(con.AccountLabel)), 90)
	assert.Equal(t, 3, con.AccountCount)
	assert.Equal(t, con, w.get(con.ID))
}
