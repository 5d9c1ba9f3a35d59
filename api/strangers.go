package api

import (
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

// So many 401s are answered to an address in a stretch of time. A token that is
// taken always passes: many people stand behind one address. It is each
// replica's own count: there is nobody to count for.
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

// strangersAddress is the caller's address: all of IPv4, /48 of IPv6, of which
// one caller may have all.
func strangersAddress(c *gin.Context) string { return network(c.ClientIP(), 32) }

// take counts a 401, and reports whether it may still be one, and else until
// when it may not.
func (s *strangers) take(address string, now time.Time) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	ok := s.seen[address] < strangersLimit
	if ok && (len(s.seen) < strangersKept || s.seen[address] > 0) {
		s.seen[address]++
	}
	return s.began.Add(strangersPer), ok
}

// turn begins another stretch where the last one is over.
func (s *strangers) turn(now time.Time) {
	if d := now.Sub(s.began); s.seen == nil || d >= strangersPer || d < 0 {
		s.began, s.seen = now, make(map[string]int)
	}
}
