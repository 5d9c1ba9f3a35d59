package stepup_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// TestAPersonProvesThemselvesOnce is the short way through: asked for more,
// proven, fresh, and used up by the backend.
func TestAPersonProvesThemselvesOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)

	asked, err := w.Check(ctx(w), ada, stepup.Ask{Level: "medium"})
	require.NoError(t, err)
	require.NotNil(t, asked.Challenge, "nothing was proven")

	v := w.prove(ada, stepup.Ask{Operation: "transfer"}, withPassword)
	require.Equal(t, stepup.Complete, v.Status)
	require.NotEmpty(t, v.Proof)

	fresh, err := w.Check(ctx(w), ada, stepup.Ask{Level: "medium"})
	require.NoError(t, err)
	assert.Nil(t, fresh.Challenge)
	assert.Equal(t, start.Add(15*time.Minute), fresh.ValidUntil)

	use := stepup.Use{Proof: v.Proof, UserID: "ada", SessionID: "s1", Operation: "transfer"}
	used, err := w.Use(ctx(w), w.app.ID, use)
	require.NoError(t, err)
	assert.True(t, used.Valid)
	assert.Equal(t, "strict", used.Level)

	_, err = w.Use(ctx(w), w.app.ID, use)
	assert.Equal(t, stepup.CodeProofUsed, consent.CodeOf(err))
}

// TestACodeIsUsedUpByTheBackend is Supabase's and CloudBase's short way.
func TestACodeIsUsedUpByTheBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	_, err := w.SendReauthentication(ctx(w), ada, reauth.EmailCode, stepup.ChainResendAfter)
	require.NoError(t, err)

	use := stepup.Use{Code: w.code(), UserID: "ada", SessionID: "s1", Operation: "change_password"}
	used, err := w.Use(ctx(w), w.app.ID, use)
	require.NoError(t, err)
	assert.Equal(t, []string{"otp"}, used.AMR)
	_, err = w.Use(ctx(w), w.app.ID, use)
	assert.Equal(t, stepup.CodeProofUsed, consent.CodeOf(err))
}

// TestTheChainOfCloudBase walks all four calls.
func TestTheChainOfCloudBase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.caller(nil)
	made, err := w.SendVerification(ctx(w), ada, reauth.EmailCode, "ada@example.org")
	require.NoError(t, err)
	verified, err := w.VerifyCode(ctx(w), made.ID, w.code(), "", "")
	require.NoError(t, err)
	sudo, err := w.Sudo(ctx(w), ada, "", verified.Token)
	require.NoError(t, err)
	_, err = w.Use(ctx(w), w.app.ID, stepup.Use{SudoToken: sudo.Token, UserID: "ada", SessionID: "s1", Operation: "delete_account"})
	require.NoError(t, err)
	_, err = w.Sudo(ctx(w), ada, "", verified.Token)
	assert.Equal(t, stepup.CodeProofInvalid, consent.CodeOf(err))
}
