package api

import (
	"sync"
	"time"
)

// Of tokens that are not taken, so many may come from an address in a stretch
// of time. It is each replica's own count: there is nobody to count for.
const (
	strangersLimit = 300
	strangersPer   = 5 * time.Minute
	strangersKept  = 10_000 // addresses
)

// strangers counts requests that came with no good token, by address.
type strangers struct {
	mu    sync.Mutex
	began time.Time // of the stretch
	seen  map[string]int
}

// open reports whether an address may try, and else until when it may not.
func (s *strangers) open(address string, now time.Time) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	return s.began.Add(strangersPer), s.seen[address] < strangersLimit
}

func (s *strangers) count(address string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	if len(s.seen) < strangersKept || s.seen[address] > 0 {
		s.seen[address]++
	}
}

// turn begins another stretch where the last one is over.
func (s *strangers) turn(now time.Time) {
	if d := now.Sub(s.began); s.seen == nil || d >= strangersPer || d < 0 {
		s.began, s.seen = now, make(map[string]int)
	}
}
