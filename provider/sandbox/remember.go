package sandbox

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"
)

// digest is what is kept of a token, a code or a link.
type digest string

func digestOf(secret string) digest {
	sum := sha256.Sum256([]byte(secret))
	return digest(base64.RawURLEncoding.EncodeToString(sum[:]))
}

// randomToken returns 256 random bits, base64url.
func randomToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// refreshToken returns the value of a connection's refresh token. It follows
// from the memory's secret, because a token has to be handed out again,
// identical, after a re-authentication, and is not kept.
func (m *memory) refreshToken(c *connection, i int) string {
	mac := hmac.New(sha256.New, []byte(m.secret))
	_, _ = fmt.Fprintf(mac, "%s\x00%s\x00%d", c.CredentialsID, c.Seed, i)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// addToken gives the connection one more refresh token; those before go on.
func (m *memory) addToken(c *connection, redirectURI string, now time.Time) int {
	c.Tokens = append(c.Tokens, refreshToken{RedirectURI: redirectURI, LastUsed: now})
	i := len(c.Tokens) - 1
	m.refresh[digestOf(m.refreshToken(c, i))] = place{c.CredentialsID, i}
	m.saveConnection(c)
	return i
}

// setAccess makes token the connection's only valid access token.
func (m *memory) setAccess(c *connection, token string, ends time.Time) {
	delete(m.access, c.Access)
	c.Access, c.AccessEnds = digestOf(token), ends
	m.access[c.Access] = c.CredentialsID
	m.saveConnection(c)
}

// byRefresh finds the connection that has the refresh token, dead or alive.
func (m *memory) byRefresh(token digest) (*connection, int, bool) {
	p, ok := m.refresh[token]
	if !ok {
		return nil, 0, false
	}
	return m.connections[p.credentialsID], p.index, true
}

// byAccess finds the connection whose newest access token this is.
func (m *memory) byAccess(token string) (*connection, bool) {
	c, ok := m.connections[m.access[digestOf(token)]]
	return c, ok
}

func (m *memory) saveConnection(c *connection) {
	m.connections[c.CredentialsID] = c
	m.touch(kindConnection, c.CredentialsID, c)
}

func (m *memory) saveJourney(j *journey) {
	id := digestOf(j.ID)
	m.journeys[id] = j
	m.touch(kindJourney, string(id), j)
}

func (m *memory) saveCode(id digest, c *code) {
	m.codes[id] = c
	m.touch(kindCode, string(id), c)
}

func (m *memory) setOffset(offset time.Duration) {
	m.offset = offset
	m.touch(kindClock, "offset", offset)
}

func (m *memory) deleteConnection(c *connection) {
	for i := range c.Tokens {
		delete(m.refresh, digestOf(m.refreshToken(c, i)))
	}
	delete(m.access, c.Access)
	delete(m.connections, c.CredentialsID)
	m.touch(kindConnection, c.CredentialsID, nil)
}

// prune drops links and codes that are long over.
func (m *memory) prune(now time.Time) {
	for id, j := range m.journeys {
		if now.Sub(j.StartedAt) > 2*journeyLife {
			delete(m.journeys, id)
			m.touch(kindJourney, string(id), nil)
		}
	}
	for id, c := range m.codes {
		if now.Sub(c.IssuedAt) > journeyLife {
			delete(m.codes, id)
			m.touch(kindCode, string(id), nil)
		}
	}
}

// reset forgets connections, journeys and codes.
func (m *memory) reset() {
	for _, c := range m.connections {
		m.deleteConnection(c)
	}
	for id := range m.journeys {
		m.touch(kindJourney, string(id), nil)
	}
	for id := range m.codes {
		m.touch(kindCode, string(id), nil)
	}
	clear(m.journeys)
	clear(m.codes)
}
