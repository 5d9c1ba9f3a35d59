package provider_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider"
)

// The names are in metrics, logs and the ended_reason of consents: changing
// one is changing an interface.
func TestKindsHaveStableNames(t *testing.T) {
	for kind, name := range map[provider.Kind]string{
		provider.Temporary: "temporary", provider.ReauthRequired: "reauth_required", provider.Unrenewable: "unrenewable", provider.Revoked: "revoked",
		provider.Denied: "denied", provider.RateLimited: "rate_limited", provider.Misconfigured: "misconfigured", provider.Unsupported: "unsupported",
		provider.Unverified: "unverified", provider.None: "none", provider.Kind(9): "kind(9)", provider.Kind(-7): "kind(-7)",
	} {
		assert.Equal(t, name, kind.String())
	}
}

func TestEveryErrorHasAKindThatEndsNothingByMistake(t *testing.T) {
	revoked := &provider.Error{Kind: provider.Revoked, Op: "inspect", Status: 403, Code: "access_denied"}
	var none *provider.Error
	for name, tt := range map[string]struct {
		err  error
		want provider.Kind
	}{
		"none":                 {nil, provider.None},
		"of the set":           {revoked, provider.Revoked},
		"wrapped":              {fmt.Errorf("job 7: %w", revoked), provider.Revoked},
		"joined":               {errors.Join(errors.New("and the log is full"), revoked), provider.Revoked},
		"an adapter's mistake": {errors.New("index out of range"), provider.Temporary},
		"a bare deadline":      {context.DeadlineExceeded, provider.Temporary},
		"a nil pointer":        {none, provider.Temporary},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want.String(), provider.KindOf(tt.err).String())
			for kind := provider.Temporary; kind <= provider.Unverified; kind++ {
				assert.Equal(t, kind == tt.want, provider.IsKind(tt.err, kind), "%s", kind)
			}
			e := provider.AsError(tt.err)
			if tt.err == nil {
				assert.Nil(t, e)
				return
			}
			require.NotNil(t, e)
			assert.Equal(t, tt.want, e.Kind)
			assert.NotEmpty(t, e.Error())
		})
	}
	assert.Same(t, revoked, provider.AsError(fmt.Errorf("job 7: %w", revoked)))
	strange := errors.New("index out of range")
	assert.ErrorIs(t, provider.AsError(strange), strange, "what went wrong is not lost")
}

func TestAnErrorSaysWhatIsKnown(t *testing.T) {
	cause := errors.New("connection refused")
	for want, e := range map[string]*provider.Error{
		"provider refresh: temporary":                                     {Op: "refresh"},
		"provider inspect: revoked (HTTP 403): access_denied":             {Kind: provider.Revoked, Op: "inspect", Status: 403, Code: "access_denied", RetryAt: time.Unix(1, 0)},
		"provider exchange: temporary: no_answer: connection refused":     {Op: "exchange", Code: "no_answer", Err: cause},
		"provider authuri: misconfigured (HTTP 400): connection refused":  {Kind: provider.Misconfigured, Op: "authuri", Status: 400, Err: cause},
		"provider reauthuri: unsupported: auth_inputs":                    {Kind: provider.Unsupported, Op: "reauthuri", Code: "auth_inputs"},
		"provider accounts: rate_limited (HTTP 429): provider_too_many_r": {Kind: provider.RateLimited, Op: "accounts", Status: 429, Code: "provider_too_many_r"},
	} {
		assert.EqualError(t, e, want)
	}
	assert.ErrorIs(t, &provider.Error{Op: "exchange", Err: cause}, cause)
}
