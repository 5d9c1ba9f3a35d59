package passkey_test

import (
	"errors"
	"testing"

	"github.com/reconsent/reconsent/reauth/passkey"
)

// What a browser answers is anybody's to write.
func FuzzFinish(f *testing.F) {
	a := newAuthenticator(f)
	creating, created, err := relying.BeginRegistration(now, ada, nil, passkey.Preferred)
	if err != nil {
		f.Fatal(err)
	}
	create := a.create(creating)
	have, err := relying.FinishRegistration(now, created, create)
	if err != nil {
		f.Fatal(err)
	}
	list := []passkey.Credential{have}
	options, state, err := relying.BeginAssertion(now, ada.Handle, list, passkey.Preferred)
	if err != nil {
		f.Fatal(err)
	}
	a.count = 2
	f.Add(create)
	f.Add(a.get(options))
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
