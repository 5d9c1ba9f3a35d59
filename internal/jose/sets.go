package jose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// How long a published key set is believed.
const (
	// FreshFor is how long a set is used without a thought. After it, the next
	// token has it fetched again beside, and does not wait.
	FreshFor = 15 * time.Minute
	// WaitFrom is the age from which a token waits for the new set, so that a key
	// which was taken back verifies no longer than that.
	WaitFrom = time.Hour
	// KeepFor is the age to which a set is used while its publisher does not
	// answer: longer than outages usually last, shorter than a working day.
	KeepFor = 6 * time.Hour
	// Between is the least time between two fetches of one set, for whatever
	// reason: a stranger who makes up key ids costs the publisher no more.
	Between = 30 * time.Second
	// FetchTimeout bounds one fetch.
	FetchTimeout = 5 * time.Second
	// MaxSet is how long a published set may be, in bytes.
	MaxSet = 512 << 10
	// maxSets is how many sets are kept; past it, the one not used for longest goes.
	maxSets = 4096
)

// ErrKeysUnavailable is the answer while a set cannot be had: its publisher
// does not answer, or with something else.
var ErrKeysUnavailable = errors.New("the published keys cannot be had")

// SetsConfig is what Sets are made of. HTTP and Now are required.
type SetsConfig struct {
	// HTTP fetches. It has to bound size and to refuse private addresses and
	// redirects: see internal/outbound.
	HTTP *http.Client
	// Now is the clock that ages are taken by. Where it is moved, sets are
	// fetched again, and that is all.
	Now func() time.Time
	Log *slog.Logger // nil logs nothing
}

// Sets are published key sets, by their URL. They are safe for concurrent use;
// a slow publisher keeps nobody waiting but those who need its keys.
type Sets struct {
	http  *http.Client
	now   func() time.Time
	log   *slog.Logger
	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	tasks sync.WaitGroup

	mu   sync.Mutex
	sets map[string]*set
}

// set is one URL's keys. A fetch is under way while arrived is not nil.
type set struct {
	url string

	mu      sync.Mutex
	keys    []published
	fetched time.Time     // when keys came; zero: never
	tried   time.Time     // when the last fetch began; zero: never
	arrived chan struct{} // closed when the fetch that is under way ends
	failed  bool          // the last fetch
	used    time.Time     // guarded by Sets.mu
}

// NewSets returns Sets that hold nothing yet.
func NewSets(cfg SetsConfig) *Sets {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Sets{http: cfg.HTTP, now: cfg.Now, log: cfg.Log, ctx: ctx, stop: stop, sets: map[string]*set{}}
}

// Close ends fetches that are under way, and waits for them. Nothing can be
// fetched after it.
func (s *Sets) Close() {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock() // no fetch begins while it is waited for
	s.tasks.Wait()
	s.http.CloseIdleConnections()
}

// Keys returns the keys of a URL that fit a header: those with its key id; where
// it names none, the only one that fits (OpenID Connect Core 10.1). An unknown
// key id has the set fetched again, no more often than Between allows. None is
// no error: it verifies nothing. Errors: ErrKeysUnavailable, or the context's.
func (s *Sets) Keys(ctx context.Context, url string, h Header) ([]any, error) {
	e := s.entry(url)
	keys, age, _ := e.look(s.now())
	if found := pick(keys, h); len(found) > 0 && age < WaitFrom {
		if age >= FreshFor {
			s.refresh(ctx, e)
		}
		return found, nil
	}
	if arrived := s.refresh(ctx, e); arrived != nil {
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	keys, age, failed := e.look(s.now())
	found := pick(keys, h)
	if age >= KeepFor || failed && len(found) == 0 { // an unknown key may be known to whoever does not answer
		return nil, ErrKeysUnavailable
	}
	return found, nil
}

// entry returns the set of a URL, and makes room for it.
func (s *Sets) entry(url string) *set {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.sets[url]
	if !ok {
		if len(s.sets) >= maxSets {
			s.dropOldest()
		}
		e = &set{url: url}
		s.sets[url] = e
	}
	e.used = now
	return e
}

// dropOldest forgets the set that was not used for longest.
func (s *Sets) dropOldest() {
	var oldest *set
	for _, e := range s.sets {
		if oldest == nil || e.used.Before(oldest.used) {
			oldest = e
		}
	}
	delete(s.sets, oldest.url)
}

// look returns what is there, how old it is, and whether the last fetch failed.
// A clock that was set back makes it old enough to be waited for.
func (e *set) look(now time.Time) ([]published, time.Duration, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	age := now.Sub(e.fetched)
	switch {
	case e.fetched.IsZero():
		age = KeepFor
	case age < 0:
		age = WaitFrom
	}
	return e.keys, age, e.failed
}

// refresh begins a fetch, unless one is under way or was a moment ago. The
// channel closes when it has ended; nil where there is none to wait for. The
// fetch is for everybody: it does not end with the request that began it.
func (s *Sets) refresh(ctx context.Context, e *set) <-chan struct{} {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.arrived != nil {
		return e.arrived
	}
	if since := now.Sub(e.tried); s.ctx.Err() != nil || !e.tried.IsZero() && since >= 0 && since < Between {
		return nil
	}
	e.tried, e.arrived = now, make(chan struct{})
	arrived := e.arrived
	ctx = context.WithoutCancel(ctx)
	s.tasks.Go(func() {
		keys, err := s.fetch(ctx, e.url)
		if err != nil && s.ctx.Err() == nil {
			s.log.Warn("published keys not fetched", "url", e.url, "error", err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if err == nil {
			e.keys, e.fetched = keys, now // its age counts from when it was asked for
		}
		e.failed, e.arrived = err != nil, nil
		close(arrived)
	})
	return arrived
}

func (s *Sets) fetch(ctx context.Context, url string) ([]published, error) {
	ctx, cancel := context.WithTimeout(ctx, FetchTimeout)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)() //nolint:contextcheck // Close ends it too
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, errors.New("the address is none")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %d", resp.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, MaxSet+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(raw) > MaxSet:
		return nil, errors.New("the answer is too long")
	}
	return parseSet(raw)
}

// pick returns the keys that a header means.
func pick(keys []published, h Header) []any {
	var found []any
	for _, k := range keys {
		if k.fits(h.Algorithm) && (h.KeyID == "" || h.KeyID == k.id) {
			found = append(found, k.key)
		}
	}
	if h.KeyID == "" && len(found) > 1 {
		return nil
	}
	return found
}
