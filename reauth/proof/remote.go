package proof

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/reconsent/reconsent/internal/jose"
	"github.com/reconsent/reconsent/internal/outbound"
)

// RemoteConfig is what RemoteKeys are made of. URL, Targets and Now are required.
type RemoteConfig struct {
	URL     string // of the installation's /.well-known/jwks.json
	Targets *outbound.Targets
	Now     func() time.Time
	Log     *slog.Logger // nil logs nothing
	// HTTP fetches the keys; nil takes a client that holds to Targets, as any
	// other one has to.
	HTTP *http.Client
}

// RemoteKeys are the keys that an installation publishes, kept no longer than
// CacheTime while it answers. They are safe for concurrent use.
type RemoteKeys struct {
	url  string
	sets *jose.Sets
}

// NewRemoteKeys returns the keys behind a URL. Nothing is fetched before a proof
// is verified. Close them when they are no longer needed.
func NewRemoteKeys(cfg RemoteConfig) (*RemoteKeys, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("the keys' URL: %w", err)
	}
	if err := cfg.Targets.Check(u); err != nil {
		return nil, fmt.Errorf("the keys' URL: %w", err)
	}
	if cfg.HTTP == nil {
		cfg.HTTP = cfg.Targets.Client(outbound.Config{Timeout: jose.FetchTimeout, MaxBody: jose.MaxSet})
	}
	return &RemoteKeys{url: cfg.URL, sets: jose.NewSets(jose.SetsConfig{HTTP: cfg.HTTP, Now: cfg.Now, Log: cfg.Log})}, nil
}

// Close ends a fetch that is under way.
func (r *RemoteKeys) Close() { r.sets.Close() }

// In returns the keys for one proof; ctx is how long a fetch is waited for.
func (r *RemoteKeys) In(ctx context.Context) Keys { return remote{r, ctx} }

type remote struct {
	*RemoteKeys
	ctx context.Context // of the call of Verify that it is made for
}

// PublicKeys implements Keys.
func (r remote) PublicKeys(id, algorithm string) ([]crypto.PublicKey, error) {
	found, err := r.sets.Keys(r.ctx, r.url, jose.Header{Algorithm: algorithm, KeyID: id})
	keys := make([]crypto.PublicKey, len(found))
	for i, k := range found {
		keys[i] = k
	}
	return keys, err
}
