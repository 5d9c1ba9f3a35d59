package password

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slow is a hash whose comparing ends when it is told to.
type slow struct {
	running *atomic.Int32
	end     chan struct{}
}

func (s slow) matches([]byte) bool {
	s.running.Add(1)
	<-s.end
	s.running.Add(-1)
	return true
}

func (s slow) blank() hasher { return s }

func TestNoMoreRunThanThereAreWorkers(t *testing.T) {
	for workers, want := range map[int]int32{-1: 1, 0: 1, 1: 1, 3: 3} {
		synctest.Test(t, func(t *testing.T) {
			p := New(workers)
			s := slow{running: new(atomic.Int32), end: make(chan struct{})}
			var done atomic.Int32
			for range 10 {
				go func() {
					ok, err := p.run(t.Context(), s, "x")
					assert.True(t, ok)
					assert.NoError(t, err)
					done.Add(1)
				}()
			}
			synctest.Wait()
			assert.Equal(t, want, s.running.Load())
			for range 10 {
				s.end <- struct{}{}
				synctest.Wait()
				assert.LessOrEqual(t, s.running.Load(), want)
			}
			assert.EqualValues(t, 10, done.Load())
		})
	}
}

func TestWhoWaitsCanLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(1)
		s := slow{running: new(atomic.Int32), end: make(chan struct{})}
		go func() { _, _ = p.run(context.Background(), s, "x") }()
		synctest.Wait()

		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 2)
		go func() {
			ok, err := p.Verify(ctx, "$2b$04$"+strings.Repeat("a", 53), "x")
			assert.False(t, ok)
			left <- err
		}()
		go func() { left <- p.Dummy(ctx, "x") }()
		synctest.Wait()
		require.Empty(t, left, "they wait")
		cancel()
		require.ErrorIs(t, <-left, context.Canceled)
		require.ErrorIs(t, <-left, context.Canceled)

		// The worker that they waited for is not lost.
		s.end <- struct{}{}
		synctest.Wait()
		require.NoError(t, p.Dummy(t.Context(), "x"))
		// One that has gone before it came gets none, though one is free.
		for range 100 {
			require.ErrorIs(t, p.Dummy(ctx, "x"), context.Canceled)
		}
	})
}

// counted is what a password is compared with, and how often.
type counted struct {
	hasher
	n *int
}

func (c counted) matches(p []byte) bool { *c.n++; return c.hasher.matches(p) }

func TestADummyCostsWhatTheLastHashDid(t *testing.T) {
	p := New(1)
	like := func() hasher { return p.like.Load().(alike).hasher }
	assert.Equal(t, argon2id{memory: 65536, passes: 3, threads: 4, salt: make([]byte, 16), sum: make([]byte, 32)}, like())

	_, err := p.Verify(t.Context(), "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password")
	require.NoError(t, err)
	assert.Equal(t, argon2id{memory: 256, passes: 2, threads: 2, salt: make([]byte, 8), sum: make([]byte, 32)}, like(), "without the user's salt and hash")

	_, err = p.Verify(t.Context(), "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U")
	require.NoError(t, err)
	assert.Equal(t, bcryptHash("$2a$05$....................................................."), like())

	_, err = p.Verify(t.Context(), "no hash", "password")
	require.ErrorIs(t, err, ErrHash)
	assert.Equal(t, bcryptHash("$2a$05$....................................................."), like(), "what is no hash costs nothing")

	// It is really run, once for each password that a hash would be run for.
	var n int
	p.like.Store(alike{counted{like(), &n}})
	for typed, runs := range map[string]int{"x": 1, strings.Repeat("x", 73): 1, "": 0, "\x00": 0, strings.Repeat("x", 1025): 0} {
		n = 0
		require.NoError(t, p.Dummy(t.Context(), typed))
		assert.Equal(t, runs, n, "%d bytes", len(typed))
	}
}

func TestABlankHashIsReadLikeTheRealOne(t *testing.T) {
	for _, hash := range []string{"$2y$06$" + strings.Repeat("a", 53), "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"} {
		h, err := parse(hash)
		require.NoError(t, err)
		if b, ok := h.blank().(bcryptHash); ok {
			again, err := parse(string(b))
			require.NoError(t, err, "bcrypt stops at once where it cannot read the hash")
			assert.Equal(t, b, again)
		}
		assert.False(t, h.blank().matches([]byte("password")))
	}
}
