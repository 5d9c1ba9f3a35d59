package passkey_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"testing"

	"github.com/reconsent/reconsent/reauth/passkey"
)

// What a browser answers is anybody's to write. Key and challenge are fixed:
// each process of the fuzzer makes them anew, and its seeds have to be right in
// all of them.
func FuzzFinish(f *testing.F) {
	a := newAuthenticator(f)
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		f.Fatal(err)
	}
	a.Key, a.ID = key, bytes.Repeat([]byte{1}, 32)
	options := []byte(`{"challenge": "` + b64(make([]byte, 32)) + `", "user": {"id": "` + b64(ada.Handle) + `"}}`)
	begun := func(_, state []byte, err error) []byte {
		var s map[string]any
		if err != nil || json.Unmarshal(state, &s) != nil {
			f.Fatal("no session", err)
		}
		s["challenge"] = b64(make([]byte, 32))
		out, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		return out
	}
	created := begun(relying.BeginRegistration(now, ada, nil, passkey.Preferred))
	create := a.Create(options)
	have, err := relying.FinishRegistration(now, created, create)
	if err != nil {
		f.Fatal(err)
	}
	list := []passkey.Credential{have}
	state := begun(relying.BeginAssertion(now, ada.Handle, list, passkey.Preferred))
	a.Count = 2
	if _, _, err := relying.FinishAssertion(now, state, a.Get(options), list); err != nil {
		f.Fatal(err)
	}
	f.Add(create)
	f.Add(a.Get(options))
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA"}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if _, err := relying.FinishRegistration(now, created, answer); err != nil && !closed(err) {
			t.Errorf("registration: %v", err)
		}
		used, _, err := relying.FinishAssertion(now, state, answer, list)
		if err != nil && !closed(err) {
			t.Errorf("assertion: %v", err)
		}
		if err == nil && string(used.ID) != string(have.ID) {
			t.Errorf("%x was proven, %x was asked", used.ID, have.ID)
		}
	})
}

// The session is ours, but may be damaged.
func FuzzSession(f *testing.F) {
	_, state, err := relying.BeginRegistration(now, ada, nil, passkey.Preferred)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(state)
	f.Add([]byte(`{"ceremony":"webauthn.get","rp_id":"example.org","challenge":"","handle":""}`))
	f.Fuzz(func(t *testing.T, state []byte) {
		if _, err := relying.FinishRegistration(now, state, []byte("{}")); !closed(err) {
			t.Errorf("registration: %v", err)
		}
		if _, _, err := relying.FinishAssertion(now, state, []byte("{}"), nil); !closed(err) {
			t.Errorf("assertion: %v", err)
		}
	})
}

func closed(err error) bool {
	for _, e := range []error{passkey.ErrMalformed, passkey.ErrRefused, passkey.ErrCloned, passkey.ErrUnknownCredential} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
