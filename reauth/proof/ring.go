package proof

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// CacheTime is how long a verifier may use its copy of the published keys: the
	// max-age that goes with them. A key that a copy does not have yet is asked for.
	CacheTime = time.Hour
	// Lead is how long before it signs a key is published. It is more than
	// CacheTime by what replicas may take to read a new key from the registry.
	Lead = CacheTime + 15*time.Minute
	// Trail is how long after its last signature a key is published: the life of
	// the last proof, and CacheTime for a replica whose clock is behind.
	Trail = MaxLife + CacheTime
)

// Ring is every key of an installation, in any order. What it says depends on
// nothing but its keys and the time.
type Ring []Key

// Signer returns the key that signs at a moment: the one that became active
// last. A key that was followed by another does not come back when that one
// retires: nobody may know it any more. False where there is none.
func (r Ring) Signer(now time.Time) (Key, bool) {
	var best Key
	found := false
	for _, k := range r {
		end, ends := r.end(k)
		if !k.ActiveAt.After(now) && (!ends || end.After(now)) && (!found || later(k, best)) {
			best, found = k, true
		}
	}
	return best, found
}

// Published returns the keys that verifiers are told of at a moment, the newest
// first.
func (r Ring) Published(now time.Time) KeySet {
	keys := slices.Clone(r)
	keys = slices.DeleteFunc(keys, func(k Key) bool {
		end, ends := r.end(k)
		return k.CreatedAt.After(now) || ends && !now.Before(end.Add(Trail))
	})
	slices.SortFunc(keys, func(a, b Key) int {
		if later(a, b) {
			return -1
		}
		return 1
	})
	set := make(KeySet, len(keys))
	for i, k := range keys {
		set[i] = k.Public()
	}
	return set
}

// end returns when a key signs no more: when it retires, or when a newer key is
// there to sign.
func (r Ring) end(k Key) (time.Time, bool) {
	end := k.RetiredAt
	for _, other := range r {
		successor := later(other, k) && (other.RetiredAt.IsZero() || other.RetiredAt.After(other.ActiveAt))
		if successor && (end.IsZero() || other.ActiveAt.Before(end)) {
			end = other.ActiveAt
		}
	}
	return end, !end.IsZero()
}

// Next makes the key that follows. Where no key signs, as in a new installation,
// it signs at once: a verifier asks for a key that its copy does not have.
func (r Ring) Next(algorithm string, now time.Time) (Key, error) {
	k, err := Generate(algorithm, now)
	if _, ok := r.Signer(now); !ok {
		k.ActiveAt = now
	}
	return k, err
}

// Due says whether the next key has to be made: the newest one was created at
// least every ago, or there is none that signs or is about to.
func (r Ring) Due(now time.Time, every time.Duration) bool {
	for _, k := range r {
		if k.RetiredAt.IsZero() && k.CreatedAt.Add(every).After(now) {
			return false
		}
	}
	return true
}

// Gone returns the keys that are published no more and can be deleted.
func (r Ring) Gone(now time.Time) []string {
	var ids []string
	for _, k := range r {
		if end, ends := r.end(k); ends && !now.Before(end.Add(Trail)) {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

// later says which of two keys became active later; of two at once, either, but
// always the same.
func later(a, b Key) bool {
	if !a.ActiveAt.Equal(b.ActiveAt) {
		return a.ActiveAt.After(b.ActiveAt)
	}
	return strings.Compare(a.ID, b.ID) > 0
}

// JWKS writes the keys that are published at a moment as a JWK Set (RFC 7517 5).
// Whoever serves it says max-age=CacheTime at most.
func (r Ring) JWKS(now time.Time) ([]byte, error) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for _, k := range r.Published(now) {
		j, err := publicJWK(k.Key)
		if err != nil {
			return nil, fmt.Errorf("publish a key: %w", err)
		}
		set.Keys = append(set.Keys, j)
	}
	return json.Marshal(set)
}
