package passkey_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth/passkey"
	"github.com/reconsent/reconsent/reauth/passkey/passkeytest"
)

var (
	// Far from the wall clock: a ceremony that looked at it would fail.
	now = time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)

	relying = passkey.Relying{ID: "example.org", Name: "Ledger", Origins: []string{"https://app.example.org", "https://example.org:8443"}}
	ada     = passkey.User{Handle: bytes.Repeat([]byte{0xad}, 32), Name: "ada@example.org", Display: "Ada"}
	bob     = passkey.User{Handle: bytes.Repeat([]byte{0xb0}, 32), Name: "bob@example.org"}
)

func newAuthenticator(t testing.TB) *passkeytest.Authenticator {
	t.Helper()
	return passkeytest.New(t, "example.org", "https://app.example.org")
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// register makes an authenticator with a credential of the user's.
func register(t *testing.T, u passkey.User, bend ...func(*passkeytest.Authenticator)) (*passkeytest.Authenticator, passkey.Credential) {
	t.Helper()
	a := newAuthenticator(t)
	for _, b := range bend {
		b(a)
	}
	options, state, err := relying.BeginRegistration(now, u, nil, passkey.Preferred)
	require.NoError(t, err)
	c, err := relying.FinishRegistration(now.Add(time.Minute), state, a.Create(options))
	require.NoError(t, err)
	return a, c
}

func TestAPasskeyIsRegisteredAndProven(t *testing.T) {
	a, c := register(t, ada)
	assert.Equal(t, a.ID, c.ID)
	assert.Equal(t, a.COSE(), c.PublicKey)
	assert.EqualValues(t, 1, c.SignCount)
	assert.Equal(t, []string{"usb", "internal"}, c.Transports, "a pigeon is none")
	assert.True(t, c.UserVerified)
	assert.False(t, c.BackupEligible)

	// It is kept as a document, and comes back whole.
	document, err := json.Marshal(c)
	require.NoError(t, err)
	var kept passkey.Credential
	require.NoError(t, json.Unmarshal(document, &kept))
	require.Equal(t, c, kept)

	for i := range 3 {
		a.Count += 5
		options, state, err := relying.BeginAssertion(now, ada.Handle, []passkey.Credential{kept}, passkey.Required)
		require.NoError(t, err)
		used, verified, err := relying.FinishAssertion(now.Add(time.Minute), state, a.Get(options), []passkey.Credential{kept})
		require.NoError(t, err, "time %d", i)
		assert.True(t, verified)
		want := kept
		want.SignCount = a.Count
		assert.Equal(t, want, used)
		kept = used
	}
}

func TestTheOptionsAreThoseABrowserTakes(t *testing.T) {
	_, have := register(t, ada)
	options, state, err := relying.BeginRegistration(now, ada, []passkey.Credential{have}, passkey.Required)
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(options, &got))
	challenge, _ := got["challenge"].(string)
	assert.Len(t, challenge, 43, "32 bytes")
	delete(got, "challenge")
	assert.Equal(t, map[string]any{
		"rp":   map[string]any{"id": "example.org", "name": "Ledger"},
		"user": map[string]any{"id": b64(ada.Handle), "name": "ada@example.org", "displayName": "Ada"},
		"pubKeyCredParams": []any{
			map[string]any{"type": "public-key", "alg": -8.0}, map[string]any{"type": "public-key", "alg": -7.0}, map[string]any{"type": "public-key", "alg": -257.0},
		},
		"timeout":                300000.0,
		"excludeCredentials":     []any{map[string]any{"type": "public-key", "id": b64(have.ID), "transports": []any{"usb", "internal"}}},
		"authenticatorSelection": map[string]any{"residentKey": "preferred", "userVerification": "required"},
		"attestation":            "none",
	}, got)
	assert.Contains(t, string(state), challenge)

	options, state, err = relying.BeginAssertion(now, ada.Handle, []passkey.Credential{have}, passkey.Preferred)
	require.NoError(t, err)
	got = nil
	require.NoError(t, json.Unmarshal(options, &got))
	again, _ := got["challenge"].(string)
	assert.NotEqual(t, challenge, again)
	delete(got, "challenge")
	assert.Equal(t, map[string]any{
		"rpId": "example.org", "timeout": 300000.0, "userVerification": "preferred",
		"allowCredentials": []any{map[string]any{"type": "public-key", "id": b64(have.ID), "transports": []any{"usb", "internal"}}},
	}, got)
	assert.Contains(t, string(state), again)
}

func TestARegistrationThatIsRefused(t *testing.T) {
	key := func(m map[int]any) []byte {
		out, err := webauthncbor.Marshal(m)
		require.NoError(t, err)
		return out
	}
	for name, c := range map[string]struct {
		bend  func(*passkeytest.Authenticator)
		cose  []byte
		v     passkey.Verification
		after time.Duration
		want  error
	}{
		"good":                         {},
		"at its last moment":           {after: passkey.Window - 1},
		"at its end":                   {after: passkey.Window, want: passkey.ErrRefused},
		"years later":                  {after: 30 * 365 * 24 * time.Hour, want: passkey.ErrRefused},
		"another origin":               {bend: func(a *passkeytest.Authenticator) { a.Origin = "https://evil.example.net" }, want: passkey.ErrRefused},
		"another subdomain":            {bend: func(a *passkeytest.Authenticator) { a.Origin = "https://evil.example.org" }, want: passkey.ErrRefused},
		"the origin's second":          {bend: func(a *passkeytest.Authenticator) { a.Origin = "https://example.org:8443" }},
		"without its port":             {bend: func(a *passkeytest.Authenticator) { a.Origin = "https://example.org" }, want: passkey.ErrRefused},
		"with a default port":          {bend: func(a *passkeytest.Authenticator) { a.Origin += ":443" }, want: passkey.ErrRefused},
		"with a path":                  {bend: func(a *passkeytest.Authenticator) { a.Origin += "/" }, want: passkey.ErrRefused},
		"in capitals":                  {bend: func(a *passkeytest.Authenticator) { a.Origin = "https://APP.example.org" }, want: passkey.ErrRefused},
		"in the clear":                 {bend: func(a *passkeytest.Authenticator) { a.Origin = "http://app.example.org" }, want: passkey.ErrRefused},
		"no origin":                    {bend: func(a *passkeytest.Authenticator) { a.Origin = "" }, want: passkey.ErrRefused},
		"in another's frame":           {bend: func(a *passkeytest.Authenticator) { a.Client = map[string]any{"crossOrigin": true} }, want: passkey.ErrRefused},
		"another relying party":        {bend: func(a *passkeytest.Authenticator) { a.RPID = "example.net" }, want: passkey.ErrRefused},
		"another challenge":            {bend: func(a *passkeytest.Authenticator) { a.Client = map[string]any{"challenge": b64(make([]byte, 32))} }, want: passkey.ErrRefused},
		"no challenge":                 {bend: func(a *passkeytest.Authenticator) { a.Client = map[string]any{"challenge": ""} }, want: passkey.ErrRefused},
		"another ceremony":             {bend: func(a *passkeytest.Authenticator) { a.ClientType = "webauthn.get" }, want: passkey.ErrRefused},
		"nobody there":                 {bend: func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserVerified }, want: passkey.ErrRefused},
		"backed up, though it cannot":  {bend: func(a *passkeytest.Authenticator) { a.Flags |= passkeytest.BackedUp }, want: passkey.ErrRefused},
		"not verified":                 {bend: func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserPresent }},
		"not verified, but has to be":  {bend: func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserPresent }, v: passkey.Required, want: passkey.ErrRefused},
		"an algorithm nobody asked":    {cose: key(map[int]any{1: 2, 3: -35, -1: 2, -2: make([]byte, 48), -3: make([]byte, 48)}), want: passkey.ErrRefused},
		"a point that is on no curve":  {cose: key(map[int]any{1: 2, 3: -7, -1: 1, -2: bytes.Repeat([]byte{1}, 32), -3: bytes.Repeat([]byte{1}, 32)}), want: passkey.ErrRefused},
		"a key of another kind":        {cose: key(map[int]any{1: 1, 3: -7, -1: 6, -2: make([]byte, 32)}), want: passkey.ErrRefused},
		"a key of 8 KiB":               {cose: key(map[int]any{1: 3, 3: -257, -1: bytes.Repeat([]byte{0xff}, 8<<10), -2: []byte{1, 0, 1}}), want: passkey.ErrRefused},
		"a credential without an id":   {bend: func(a *passkeytest.Authenticator) { a.ID = nil }, want: passkey.ErrMalformed},
		"a credential's id of 1 KiB":   {bend: func(a *passkeytest.Authenticator) { a.ID = make([]byte, 1024) }, want: passkey.ErrMalformed},
		"an answer of more than 32 KB": {cose: bytes.Repeat([]byte{0}, 32<<10), want: passkey.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthenticator(t)
			if c.bend != nil {
				c.bend(a)
			}
			if c.v == "" {
				c.v = passkey.Preferred
			}
			if c.cose == nil {
				c.cose = a.COSE()
			}
			options, state, err := relying.BeginRegistration(now, ada, nil, c.v)
			require.NoError(t, err)
			answer := a.CreateWith(options, c.cose, "none", map[string]any{})
			made, err := relying.FinishRegistration(now.Add(c.after), state, answer)
			if c.want == nil {
				require.NoError(t, err)
				assert.Equal(t, a.ID, made.ID)
				assert.Equal(t, a.Flags&passkeytest.UserVerified != 0, made.UserVerified)
				return
			}
			require.ErrorIs(t, err, c.want)
			assert.Zero(t, made)
			quotesNothing(t, err, options)
		})
	}
}

// quotesNothing holds that an error tells neither the challenge nor what was
// sent.
func quotesNothing(t *testing.T, err error, options []byte) {
	t.Helper()
	var o struct {
		Challenge string `json:"challenge"`
	}
	require.NoError(t, json.Unmarshal(options, &o))
	assert.NotContains(t, err.Error(), o.Challenge)
	assert.NotContains(t, err.Error(), "evil")
	assert.Less(t, len(err.Error()), 120)
}

func TestAStatementThatNobodyAskedForIsNotRead(t *testing.T) {
	for format, statement := range map[string]map[string]any{
		"packed":   {"alg": -7, "sig": []byte("no signature")},
		"fido-u2f": {"x5c": []any{[]byte("no certificate")}, "sig": []byte{}},
		"unheard":  {"of": 1},
	} {
		a := newAuthenticator(t)
		options, state, err := relying.BeginRegistration(now, ada, nil, passkey.Preferred)
		require.NoError(t, err)
		_, err = relying.FinishRegistration(now, state, a.CreateWith(options, a.COSE(), format, statement))
		require.NoError(t, err, format)
	}
}

func TestAnAssertionThatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		registered func(*passkeytest.Authenticator)
		bend       func(*passkeytest.Authenticator)
		v          passkey.Verification
		after      time.Duration
		want       error
		unverified bool
	}{
		"good":                        {},
		"at its last moment":          {after: passkey.Window - 1},
		"at its end":                  {after: passkey.Window, want: passkey.ErrRefused},
		"another origin":              {bend: func(a *passkeytest.Authenticator) { a.Origin = "https://evil.example.net" }, want: passkey.ErrRefused},
		"another subdomain":           {bend: func(a *passkeytest.Authenticator) { a.Origin = "https://evil.example.org" }, want: passkey.ErrRefused},
		"an origin that holds ours":   {bend: func(a *passkeytest.Authenticator) { a.Origin = "https://app.example.org@evil.example.net" }, want: passkey.ErrRefused},
		"ours with somebody before":   {bend: func(a *passkeytest.Authenticator) { a.Origin = "https://evil@app.example.org" }, want: passkey.ErrRefused},
		"with a path":                 {bend: func(a *passkeytest.Authenticator) { a.Origin += "/evil" }, want: passkey.ErrRefused},
		"in another's frame":          {bend: func(a *passkeytest.Authenticator) { a.Client = map[string]any{"crossOrigin": true} }, want: passkey.ErrRefused},
		"another relying party":       {bend: func(a *passkeytest.Authenticator) { a.RPID = "example.net" }, want: passkey.ErrRefused},
		"another challenge":           {bend: func(a *passkeytest.Authenticator) { a.Client = map[string]any{"challenge": b64(make([]byte, 32))} }, want: passkey.ErrRefused},
		"another ceremony":            {bend: func(a *passkeytest.Authenticator) { a.ClientType = "webauthn.create" }, want: passkey.ErrRefused},
		"nobody there":                {bend: func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserVerified }, want: passkey.ErrRefused},
		"not verified":                {bend: func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserPresent }, unverified: true},
		"not verified, but has to be": {bend: func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserPresent }, v: passkey.Required, want: passkey.ErrRefused},
		"another user's handle":       {bend: func(a *passkeytest.Authenticator) { a.Handle = bob.Handle }, want: passkey.ErrRefused},
		"no handle, as of a U2F key":  {bend: func(a *passkeytest.Authenticator) { a.Handle = nil }},
		"an unknown credential":       {bend: func(a *passkeytest.Authenticator) { a.ID = make([]byte, 32) }, want: passkey.ErrUnknownCredential},
		"another key":                 {bend: func(a *passkeytest.Authenticator) { a.Key = newAuthenticator(a.TB).Key }, want: passkey.ErrRefused},
		"no signature":                {bend: func(a *passkeytest.Authenticator) { a.Sign = func([]byte) []byte { return nil } }, want: passkey.ErrRefused},
		"an altered signature": {bend: func(a *passkeytest.Authenticator) {
			sign := a.Sign
			a.Sign = func(m []byte) []byte { s := sign(m); s[len(s)-1] ^= 1; return s }
		}, want: passkey.ErrRefused},
		"a signature of something else": {bend: func(a *passkeytest.Authenticator) {
			sign := a.Sign
			a.Sign = func(m []byte) []byte { return sign(m[1:]) }
		}, want: passkey.ErrRefused},

		"a counter that stands still": {bend: func(a *passkeytest.Authenticator) { a.Count = 7 }, want: passkey.ErrCloned},
		"a counter that falls":        {bend: func(a *passkeytest.Authenticator) { a.Count = 6 }, want: passkey.ErrCloned},
		"a counter that is lost":      {bend: func(a *passkeytest.Authenticator) { a.Count = 0 }, want: passkey.ErrCloned},
		"a counter that rises by one": {bend: func(a *passkeytest.Authenticator) { a.Count = 8 }},
		"no counter at all":           {registered: func(a *passkeytest.Authenticator) { a.Count = 0 }},
		"a counter that appears":      {registered: func(a *passkeytest.Authenticator) { a.Count = 0 }, bend: func(a *passkeytest.Authenticator) { a.Count = 1 }},
		"a clone without signature":   {bend: func(a *passkeytest.Authenticator) { a.Count, a.Key = 6, newAuthenticator(a.TB).Key }, want: passkey.ErrRefused},

		"backed up, as it may be":       {registered: func(a *passkeytest.Authenticator) { a.Flags |= passkeytest.BackupEligible }, bend: func(a *passkeytest.Authenticator) { a.Flags |= passkeytest.BackedUp }},
		"backed up, though it may not":  {bend: func(a *passkeytest.Authenticator) { a.Flags |= passkeytest.BackupEligible | passkeytest.BackedUp }, want: passkey.ErrRefused},
		"verified for the first time":   {registered: func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserPresent }, bend: func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserPresent | passkeytest.UserVerified }, unverified: true},
		"registered without, needs one": {registered: func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserPresent }, v: passkey.Required, want: passkey.ErrUnknownCredential},
	} {
		t.Run(name, func(t *testing.T) {
			a, have := register(t, ada, func(a *passkeytest.Authenticator) {
				a.Count = 7
				if c.registered != nil {
					c.registered(a)
				}
			})
			if a.Count > 0 {
				a.Count = 20
			}
			if c.bend != nil {
				c.bend(a)
			}
			if c.v == "" {
				c.v = passkey.Preferred
			}
			list := []passkey.Credential{have}
			options, state, err := relying.BeginAssertion(now, ada.Handle, list, c.v)
			if c.v == passkey.Required && !have.UserVerified {
				require.ErrorIs(t, err, c.want)
				return
			}
			require.NoError(t, err)
			used, verified, err := relying.FinishAssertion(now.Add(c.after), state, a.Get(options), list)
			if c.want == nil {
				require.NoError(t, err)
				assert.Equal(t, !c.unverified, verified)
				assert.Equal(t, a.Count, used.SignCount)
				assert.Equal(t, a.Flags&passkeytest.BackedUp != 0, used.BackedUp)
				assert.Equal(t, have.UserVerified, used.UserVerified, "only a registration says so")
				return
			}
			require.ErrorIs(t, err, c.want)
			assert.Zero(t, used)
			assert.False(t, verified)
			quotesNothing(t, err, options)
		})
	}
}

func TestAnAnswerIsGoodForItsOwnCeremonyOnly(t *testing.T) {
	a, have := register(t, ada)
	list := []passkey.Credential{have}
	begin := func(now time.Time) (options, state []byte) {
		options, state, err := relying.BeginAssertion(now, ada.Handle, list, passkey.Preferred)
		require.NoError(t, err)
		return options, state
	}
	options, first := begin(now)
	a.Count = 2
	answer := a.Get(options)
	_, _, err := relying.FinishAssertion(now, first, answer, list)
	require.NoError(t, err)

	asked, second := begin(now)
	_, _, err = relying.FinishAssertion(now, second, answer, list)
	require.ErrorIs(t, err, passkey.ErrRefused, "replayed into a later ceremony")

	creating, state, err := relying.BeginRegistration(now, ada, list, passkey.Preferred)
	require.NoError(t, err)
	_, _, err = relying.FinishAssertion(now, state, a.Get(creating), list)
	require.ErrorIs(t, err, passkey.ErrRefused, "an assertion of a registration's challenge")
	_, err = relying.FinishRegistration(now, second, a.Create(options))
	require.ErrorIs(t, err, passkey.ErrRefused, "a registration of an assertion's challenge")

	other := relying
	other.ID, other.Origins = "app.example.org", []string{"https://app.example.org"}
	_, _, err = other.FinishAssertion(now, first, answer, list)
	require.ErrorIs(t, err, passkey.ErrRefused, "the relying party's id was changed meanwhile")

	a.Count = 3
	answer = a.Get(asked)
	for _, broken := range []string{"", "null", "{}", "[]", string(second[:len(second)-1]), strings.Replace(string(second), `"preferred"`, `"discouraged"`, 1), strings.Replace(string(second), `"allowed":[`, `"other":[`, 1)} {
		_, _, err = relying.FinishAssertion(now, []byte(broken), answer, list)
		require.ErrorIs(t, err, passkey.ErrRefused, broken)
		_, err = relying.FinishRegistration(now, []byte(broken), answer)
		require.ErrorIs(t, err, passkey.ErrRefused, broken)
	}
	_, _, err = relying.FinishAssertion(now, second, answer, list)
	require.NoError(t, err, "whole, it is taken")
}

func TestACredentialIsItsUsersOwn(t *testing.T) {
	a, hers := register(t, ada)
	b, his := register(t, bob)
	a.Count, b.Count = 2, 2
	options, state, err := relying.BeginAssertion(now, ada.Handle, []passkey.Credential{hers}, passkey.Preferred)
	require.NoError(t, err)

	_, _, err = relying.FinishAssertion(now, state, b.Get(options), []passkey.Credential{hers})
	require.ErrorIs(t, err, passkey.ErrUnknownCredential, "his passkey in her ceremony")
	b.Handle = ada.Handle
	_, _, err = relying.FinishAssertion(now, state, b.Get(options), []passkey.Credential{hers})
	require.ErrorIs(t, err, passkey.ErrUnknownCredential, "with her handle")
	b.ID = a.ID
	_, _, err = relying.FinishAssertion(now, state, b.Get(options), []passkey.Credential{hers})
	require.ErrorIs(t, err, passkey.ErrRefused, "and under her passkey's id")

	_, _, err = relying.FinishAssertion(now, state, a.Get(options), []passkey.Credential{his})
	require.ErrorIs(t, err, passkey.ErrUnknownCredential, "her passkey, his credentials")
	_, _, err = relying.FinishAssertion(now, state, a.Get(options), nil)
	require.ErrorIs(t, err, passkey.ErrUnknownCredential, "removed meanwhile")

	// One that was added meanwhile was not asked for.
	c, later := register(t, ada)
	c.Count = 2
	_, _, err = relying.FinishAssertion(now, state, c.Get(options), []passkey.Credential{hers, later})
	require.ErrorIs(t, err, passkey.ErrRefused)
	_, _, err = relying.FinishAssertion(now, state, a.Get(options), []passkey.Credential{hers, later})
	require.NoError(t, err)
}

func TestOnlyVerifiedPasskeysAreAskedWhereVerificationIsRequired(t *testing.T) {
	_, weak := register(t, ada, func(a *passkeytest.Authenticator) { a.Flags = passkeytest.UserPresent })
	a, strong := register(t, ada)
	list := []passkey.Credential{weak, strong}
	options, state, err := relying.BeginAssertion(now, ada.Handle, list, passkey.Required)
	require.NoError(t, err)
	assert.NotContains(t, string(options), b64(weak.ID))
	assert.Contains(t, string(options), b64(strong.ID))
	assert.Equal(t, []passkey.Credential{weak, strong}, list, "the caller's list is left as it was")
	a.Count++
	_, verified, err := relying.FinishAssertion(now, state, a.Get(options), list)
	require.NoError(t, err)
	assert.True(t, verified)
}

func TestAnswersThatAreNone(t *testing.T) {
	a, have := register(t, ada)
	list := []passkey.Credential{have}
	options, state, err := relying.BeginAssertion(now, ada.Handle, list, passkey.Preferred)
	require.NoError(t, err)
	creating, created, err := relying.BeginRegistration(now, ada, list, passkey.Preferred)
	require.NoError(t, err)
	good, create := string(a.Get(options)), string(a.Create(creating))
	for name, answer := range map[string]string{
		"nothing":         "",
		"null":            "null",
		"a list":          "[]",
		"an empty one":    "{}",
		"cut":             good[:len(good)-1],
		"followed":        good + "{}",
		"of another type": strings.Replace(good, "public-key", "password", 1),
		"two ids":         strings.Replace(good, `"rawId":"`, `"rawId":"AAAA`, 1),
		"no base64":       strings.Replace(good, `"signature":"`, `"signature":"!`, 1),
		"deep":            strings.Repeat("[", 20000),
		"huge":            good + strings.Repeat(" ", 32<<10),
	} {
		_, _, err := relying.FinishAssertion(now, state, []byte(answer), list)
		require.ErrorIs(t, err, passkey.ErrMalformed, name)
		_, err = relying.FinishRegistration(now, created, []byte(answer))
		require.ErrorIs(t, err, passkey.ErrMalformed, name)
	}
	_, _, err = relying.FinishAssertion(now, state, []byte(create), list)
	require.ErrorIs(t, err, passkey.ErrMalformed, "a registration in the place of an assertion")
	_, err = relying.FinishRegistration(now, created, []byte(good))
	require.ErrorIs(t, err, passkey.ErrMalformed, "and the reverse")
}

func TestACallThatIsAMistake(t *testing.T) {
	_, have := register(t, ada)
	for name, u := range map[string]passkey.User{
		"the user's id in the clear": {Handle: []byte("user-1"), Name: "Ada"},
		"no handle":                  {Name: "Ada"},
		"no name":                    {Handle: ada.Handle},
		"a name of 300 bytes":        {Handle: ada.Handle, Name: strings.Repeat("a", 300)},
		"displayed at length":        {Handle: ada.Handle, Name: "a", Display: strings.Repeat("a", 300)},
	} {
		_, _, err := relying.BeginRegistration(now, u, nil, passkey.Preferred)
		require.Error(t, err, name)
	}
	_, _, err := relying.BeginRegistration(now, ada, nil, "discouraged")
	require.Error(t, err)
	_, _, err = relying.BeginAssertion(now, ada.Handle, []passkey.Credential{have}, "")
	require.Error(t, err)
	_, _, err = relying.BeginAssertion(now, ada.Handle[1:], []passkey.Credential{have}, passkey.Preferred)
	require.Error(t, err)
	_, _, err = relying.BeginAssertion(now, ada.Handle, nil, passkey.Preferred)
	require.ErrorIs(t, err, passkey.ErrUnknownCredential)
	_, _, err = relying.BeginRegistration(now, ada, make([]passkey.Credential, passkey.MaxCredentials), passkey.Preferred)
	require.ErrorIs(t, err, passkey.ErrRefused)

	var none passkey.Relying
	_, _, err = none.BeginRegistration(now, ada, nil, passkey.Preferred)
	require.Error(t, err)
	_, _, err = none.BeginAssertion(now, ada.Handle, []passkey.Credential{have}, passkey.Preferred)
	require.Error(t, err)
	_, err = none.FinishRegistration(now, nil, nil)
	require.Error(t, err)
	_, _, err = none.FinishAssertion(now, nil, nil, nil)
	require.Error(t, err)
}
