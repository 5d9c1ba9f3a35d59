package idp

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

const (
	// metadataAge is how long metadata is believed, and keys with it: a key
	// that the provider has withdrawn is trusted no longer than this.
	metadataAge = time.Hour
	// maxProviders bounds how many providers are remembered.
	maxProviders = 64
)

// errMetadata is a discovery document with which no trip can be made.
var errMetadata = errors.New("the metadata cannot be used")

// metadata is what we use of a provider's own description.
type metadata struct {
	endpoint  oauth2.Endpoint
	keys      oidc.KeySet
	namesSelf bool      // iss stands in each answer (RFC 9207)
	learnt    time.Time // by our clock
}

func (m *metadata) fresh(now time.Time) bool {
	age := now.Sub(m.learnt)
	return age >= 0 && age < metadataAge
}

// described is the part of a discovery document that go-oidc does not show
// (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2, RFC 9207).
type described struct {
	Keys        string    `json:"jwks_uri"`
	ClientAuth  *[]string `json:"token_endpoint_auth_methods_supported"`
	PKCE        *[]string `json:"code_challenge_methods_supported"`
	NamesItself bool      `json:"authorization_response_iss_parameter_supported"`
}

// directory remembers providers' metadata. It is shared by all applications:
// what an issuer says of itself is read below its own address, so one
// application cannot change what another reads.
type directory struct {
	http     *http.Client
	now      func() time.Time
	loopback bool
	asking   singleflight.Group

	mu    sync.Mutex
	known map[string]*metadata
}

func newDirectory(client *http.Client, now func() time.Time, loopback bool) *directory {
	return &directory{http: client, now: now, loopback: loopback, known: map[string]*metadata{}}
}

// of returns an issuer's metadata, remembered or asked for. Callers at the same
// time share one call, which the end of one of them does not end; the client's
// timeout does. A failure is not remembered.
func (d *directory) of(ctx context.Context, issuer string) (*metadata, error) {
	if m := d.remembered(issuer); m != nil {
		return m, nil
	}
	asked := d.asking.DoChan(issuer, func() (any, error) {
		m, err := d.discover(context.WithoutCancel(ctx), issuer)
		if err == nil {
			d.remember(issuer, m)
		}
		return m, err
	})
	select {
	case <-ctx.Done():
		return nil, unavailable("discovery", ctx.Err())
	case got := <-asked:
		m, ok := got.Val.(*metadata)
		if got.Err != nil || !ok {
			return nil, unavailable("discovery", got.Err)
		}
		return m, nil
	}
}

func (d *directory) remembered(issuer string) *metadata {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.known[issuer]; m != nil && m.fresh(d.now()) {
		return m
	}
	return nil
}

// remember makes room by forgetting who was learnt first.
func (d *directory) remember(issuer string, m *metadata) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, here := d.known[issuer]; !here && len(d.known) >= maxProviders {
		var oldest string
		for name, other := range d.known {
			if oldest == "" || other.learnt.Before(d.known[oldest].learnt) {
				oldest = name
			}
		}
		delete(d.known, oldest)
	}
	d.known[issuer] = m
}

func (d *directory) discover(ctx context.Context, issuer string) (*metadata, error) {
	ctx = oidc.ClientContext(ctx, d.http)
	p, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		if _, another := errors.AsType[*oidc.IssuerMismatchError](err); another {
			return nil, errMetadata
		}
		return nil, err
	}
	var more described
	if err := p.Claims(&more); err != nil {
		return nil, errMetadata
	}
	m := &metadata{endpoint: p.Endpoint(), namesSelf: more.NamesItself, learnt: d.now()}
	for _, address := range []string{m.endpoint.AuthURL, m.endpoint.TokenURL, more.Keys} {
		if wrongAddress(address, d.loopback) != "" {
			return nil, errMetadata
		}
	}
	if more.PKCE != nil && !slices.Contains(*more.PKCE, "S256") {
		return nil, errMetadata
	}
	switch { // missing is client_secret_basic
	case more.ClientAuth == nil, slices.Contains(*more.ClientAuth, "client_secret_basic"):
		m.endpoint.AuthStyle = oauth2.AuthStyleInHeader
	case slices.Contains(*more.ClientAuth, "client_secret_post"):
		m.endpoint.AuthStyle = oauth2.AuthStyleInParams
	default:
		return nil, errMetadata
	}
	m.keys = oidc.NewRemoteKeySet(ctx, more.Keys)
	return m, nil
}
