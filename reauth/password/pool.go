package password

import (
	"context"
	"strings"
	"sync/atomic"
)

// maxPassword bounds a password, in bytes. NIST SP 800-63B 3.1.1.2 asks for 64
// characters at least; 256 of any script fit.
const maxPassword = 1024

// Pool verifies passwords, so many at a time and no more. Each takes up to
// 64 MiB while it runs, and the same again until the garbage collector has seen
// it: reckon with twice 64 MiB for each worker. It is safe for concurrent use.
type Pool struct {
	slots chan struct{}
	like  atomic.Value // of alike: what the last real hash cost
}

// alike is one type for atomic.Value, whatever is in it.
type alike struct{ hasher }

// New returns a pool of at least one worker. As many as there are processors
// keep them all busy; more only take memory.
func New(workers int) *Pool {
	p := &Pool{slots: make(chan struct{}, max(workers, 1))}
	// Until a real hash was seen: RFC 9106 4's choice for 64 MiB.
	p.like.Store(alike{argon2id{memory: maxMemory, passes: 3, threads: 4, salt: make([]byte, 16), sum: make([]byte, 32)}})
	return p
}

// Verify says whether a password is the hash's. Empty passwords, those of more
// than 1024 bytes and those with a NUL byte never are; nor, against bcrypt, are
// those of more than 72 bytes.
//
// Errors: ErrHash where the hash is none that Check takes; the context's own
// where it ended while others had the workers. Then nothing was compared.
func (p *Pool) Verify(ctx context.Context, hash, password string) (bool, error) {
	h, err := parse(hash)
	if err != nil {
		return false, err
	}
	p.like.Store(alike{h.blank()})
	return p.run(ctx, h, password)
}

// Dummy does what Verify does where there is no hash to verify against, and
// takes as long as for the hash that this pool saw last: whoever waits for the
// answer does not learn that there is none. Nothing is ever right. The only
// error is the context's, as in Verify.
func (p *Pool) Dummy(ctx context.Context, password string) error {
	_, err := p.run(ctx, p.like.Load().(alike).hasher, password) //nolint:errcheck,forcetypeassert // nothing else is stored
	return err
}

func (p *Pool) run(ctx context.Context, h hasher, password string) (bool, error) {
	if err := ctx.Err(); err != nil { // select may choose a free worker
		return false, err
	}
	if !plausible(password) {
		return false, nil
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-p.slots }()
	return h.matches([]byte(password)), nil
}

// plausible says whether a password can be anybody's. NUL is where the C
// implementations of bcrypt stop reading.
func plausible(password string) bool {
	return password != "" && len(password) <= maxPassword && strings.IndexByte(password, 0) < 0
}
