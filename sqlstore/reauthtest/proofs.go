package reauthtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var proofTests = []test{
	{"Proof/is used once", func(w *world) {
		p := w.minted(w.who)
		assert.Equal(w, p, w.lookProof(p))
		a := stepup.Answer{ApplicationID: p.ApplicationID, Key: "k", Request: []byte("r\x00"), Text: "yes", At: at(time.Minute)}
		l := line(w.who)
		require.NoError(w, w.s.UseProof(w.Context(), p.ApplicationID, p.ID, at(time.Minute), a, l))
		p.UsedAt = at(time.Minute)
		assert.Equal(w, p, w.lookProof(p))
		again := a
		again.Key = "other"
		require.ErrorIs(w, w.s.UseProof(w.Context(), p.ApplicationID, p.ID, at(time.Minute), again, line(w.who)), consent.ErrClaimLost)
		assert.Equal(w, []stepup.Audit{l}, w.audit(w.who.ApplicationID))
		_, err := w.s.Answered(w.Context(), p.ApplicationID, "other", at(0))
		require.ErrorIs(w, err, consent.ErrNotFound)
		got, err := w.s.Answered(w.Context(), p.ApplicationID, "k", at(59*time.Second))
		require.NoError(w, err)
		assert.Equal(w, a, got)
		_, err = w.s.Answered(w.Context(), p.ApplicationID, "k", at(time.Minute))
		require.ErrorIs(w, err, consent.ErrNotFound, "the boundary is strict")
	}},
	{"Proof/no key, no answer", func(w *world) {
		p := w.minted(w.who)
		require.NoError(w, w.s.UseProof(w.Context(), p.ApplicationID, p.ID, at(time.Minute), stepup.Answer{}))
		_, err := w.s.Answered(w.Context(), p.ApplicationID, "", at(0))
		require.ErrorIs(w, err, consent.ErrNotFound)
	}},
	{"Proof/of no use any more", func(w *world) {
		expired, ended := w.minted(w.who), w.minted(elsewhere(w.who))
		require.NoError(w, w.s.Clear(w.Context(), ended.Who, at(2*time.Second), line(ended.Who)))
		require.ErrorIs(w, w.s.UseProof(w.Context(), expired.ApplicationID, expired.ID, expired.ExpiresAt, stepup.Answer{}), consent.ErrClaimLost)
		require.ErrorIs(w, w.s.UseProof(w.Context(), ended.ApplicationID, ended.ID, at(time.Minute), stepup.Answer{}), consent.ErrClaimLost)
		require.ErrorIs(w, w.s.UseProof(w.Context(), ended.ApplicationID, "nothing", at(time.Minute), stepup.Answer{}), consent.ErrNotFound)
		_, err := w.s.Proof(w.Context(), ended.ApplicationID, "nothing")
		require.ErrorIs(w, err, consent.ErrNotFound)
	}},
	{"Proof/a key that still counts belongs to its first use", func(w *world) {
		use := func(p stepup.ProofRecord, then time.Time) error {
			a := stepup.Answer{ApplicationID: p.ApplicationID, Key: "k", Request: []byte(p.ID), Text: p.ID, At: then}
			return w.s.UseProof(w.Context(), p.ApplicationID, p.ID, then, a)
		}
		one, two := w.minted(w.who), w.minted(w.who)
		require.NoError(w, use(one, at(time.Minute)))
		require.ErrorIs(w, use(two, at(2*time.Minute-time.Microsecond)), consent.ErrClaimLost)
		assert.Equal(w, two, w.lookProof(two), "and the proof is not used up")
		require.NoError(w, use(two, at(2*time.Minute)), "later it makes room")
		got, err := w.s.Answered(w.Context(), w.who.ApplicationID, "k", at(0))
		require.NoError(w, err)
		assert.Equal(w, two.ID, got.Text)
	}},
	{"Token/comes back as it was stored", func(w *world) {
		t := w.issued(w.who)
		assert.Equal(w, t, w.lookToken(t))
		_, err := w.s.StepToken(w.Context(), t.ApplicationID, stepup.StepVerification, t.Hash)
		require.ErrorIs(w, err, consent.ErrNotFound, "one kind is not the other")
		_, err = w.s.StepToken(w.Context(), t.ApplicationID, t.Kind, []byte("nothing"))
		require.ErrorIs(w, err, consent.ErrNotFound)
	}},
}

var keyTests = []test{
	{"Key/each takes over from the one before", func(w *world) {
		before, err := w.s.ListProofKeys(w.Context())
		require.NoError(w, err)
		require.Empty(w, before)
		key := func(then time.Time) stepup.ProofKey {
			return stepup.ProofKey{ID: name("key"), Algorithm: "EdDSA", Private: consent.Sealed("k\x00\xff"), CreatedAt: then, ActiveAt: then.Add(time.Hour)}
		}
		one, two, three := key(at(0)), key(at(day)), key(at(2*day))
		require.ErrorIs(w, w.s.AddProofKey(w.Context(), one, "nothing"), consent.ErrExists)
		require.NoError(w, w.s.AddProofKey(w.Context(), one, ""))
		require.ErrorIs(w, w.s.AddProofKey(w.Context(), two, ""), consent.ErrExists)
		require.NoError(w, w.s.AddProofKey(w.Context(), two, one.ID))
		require.ErrorIs(w, w.s.AddProofKey(w.Context(), three, one.ID), consent.ErrExists)
		require.ErrorIs(w, w.s.AddProofKey(w.Context(), one, two.ID), consent.ErrExists)
		require.NoError(w, w.s.AddProofKey(w.Context(), three, two.ID))
		one.RetiredAt, two.RetiredAt = two.ActiveAt, three.ActiveAt
		got, err := w.s.ListProofKeys(w.Context())
		require.NoError(w, err)
		assert.Equal(w, []stepup.ProofKey{one, two, three}, got)

		require.NoError(w, w.s.DropProofKey(w.Context(), one.ID))
		require.ErrorIs(w, w.s.DropProofKey(w.Context(), one.ID), consent.ErrNotFound)
		w.oneWon(w.race(func(int) error { return w.s.AddProofKey(w.Context(), key(at(3*day)), three.ID) }), consent.ErrExists)
		got, err = w.s.ListProofKeys(w.Context())
		require.NoError(w, err)
		require.Len(w, got, 3)
		for _, k := range got {
			require.NoError(w, w.s.DropProofKey(w.Context(), k.ID))
		}
		w.oneWon(w.race(func(int) error { return w.s.AddProofKey(w.Context(), key(at(0)), "") }), consent.ErrExists)
	}},
}
