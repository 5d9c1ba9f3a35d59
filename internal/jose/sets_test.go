package jose

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// publisher answers as it is told, and counts.
type publisher struct {
	mu     sync.Mutex
	status int
	body   string
	err    error
	asked  atomic.Int32
	block  chan struct{} // where set, an answer waits for it
}

// RoundTrip implements http.RoundTripper.
func (p *publisher) RoundTrip(req *http.Request) (*http.Response, error) {
	p.asked.Add(1)
	p.mu.Lock()
	status, body, err, block := p.status, p.body, p.err, p.block
	p.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: req, Header: http.Header{}}, nil
}

func (p *publisher) says(status int, body string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.body, p.err = status, body, err
}

func edKey(n byte) ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)).Public().(ed25519.PublicKey)
}

func edJWK(kid string, n byte) string {
	return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q,"kid":%q}`, base64.RawURLEncoding.EncodeToString(edKey(n)), kid)
}

func jwks(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func newSets(t *testing.T, p *publisher) *Sets {
	t.Helper()
	s := NewSets(SetsConfig{HTTP: &http.Client{Transport: p}, Now: time.Now})
	t.Cleanup(s.Close)
	return s
}

const keysURL = "https://idp.example/keys"

func header(kid string) Header { return Header{Algorithm: "EdDSA", KeyID: kid} }

// The clock of these tests moves by itself when nothing else can.
func TestASetIsKeptRefreshedAndTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		p.says(200, jwks(edJWK("a", 1)), nil)
		s := newSets(t, p)
		a := []any{edKey(1)}

		for range 3 {
			keys, err := s.Keys(t.Context(), keysURL, header("a"))
			require.NoError(t, err)
			assert.Equal(t, a, keys)
		}
		assert.EqualValues(t, 1, p.asked.Load(), "one fetch serves all")

		// Older than FreshFor: used as it is, and fetched beside.
		p.says(200, jwks(edJWK("b", 2)), nil)
		time.Sleep(FreshFor)
		keys, err := s.Keys(t.Context(), keysURL, header("a"))
		require.NoError(t, err)
		assert.Equal(t, a, keys, "it is not waited for")
		synctest.Wait()
		assert.EqualValues(t, 2, p.asked.Load())
		keys, err = s.Keys(t.Context(), keysURL, header("b"))
		require.NoError(t, err)
		assert.Equal(t, []any{edKey(2)}, keys)

		// Older than WaitFrom: what was taken back is not used once more.
		p.says(200, jwks(edJWK("c", 3)), nil)
		time.Sleep(WaitFrom)
		keys, err = s.Keys(t.Context(), keysURL, header("b"))
		require.NoError(t, err)
		assert.Empty(t, keys)
		assert.EqualValues(t, 3, p.asked.Load())
	})
}

func TestAnUnknownKeyIsAskedForNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		p.says(200, jwks(edJWK("a", 1)), nil)
		s := newSets(t, p)
		_, err := s.Keys(t.Context(), keysURL, header("a"))
		require.NoError(t, err)

		p.says(200, jwks(edJWK("a", 1), edJWK("b", 2)), nil)
		for i := range 50 {
			keys, err := s.Keys(t.Context(), keysURL, header(fmt.Sprint("made up ", i)))
			require.NoError(t, err)
			assert.Empty(t, keys)
		}
		assert.EqualValues(t, 1, p.asked.Load(), "a stranger who makes up ids has nothing fetched")
		time.Sleep(Between)
		keys, err := s.Keys(t.Context(), keysURL, header("b"))
		require.NoError(t, err)
		assert.Equal(t, []any{edKey(2)}, keys, "a new key is there after Between at the latest")
		for i := range 50 {
			_, err := s.Keys(t.Context(), keysURL, header(fmt.Sprint("made up ", i)))
			require.NoError(t, err)
		}
		assert.EqualValues(t, 2, p.asked.Load())
	})
}

func TestAPublisherThatDoesNotAnswer(t *testing.T) {
	big := jwks(edJWK("a", 1)) + strings.Repeat(" ", MaxSet)
	many := jwks(strings.Split(strings.TrimSuffix(strings.Repeat(edJWK("a", 1)+"|", maxKeys+1), "|"), "|")...)
	for name, fail := range map[string]func(*publisher){
		"no connection": func(p *publisher) { p.says(0, "", io.ErrUnexpectedEOF) },
		"an error page": func(p *publisher) { p.says(500, jwks(edJWK("a", 1)), nil) },
		"a redirect":    func(p *publisher) { p.says(302, jwks(edJWK("a", 1)), nil) },
		"no JSON":       func(p *publisher) { p.says(200, "<html>", nil) },
		"no key set":    func(p *publisher) { p.says(200, "{}", nil) },
		"a long answer": func(p *publisher) { p.says(200, big, nil) },
		"too many keys": func(p *publisher) { p.says(200, many, nil) },
		"text behind":   func(p *publisher) { p.says(200, jwks(edJWK("a", 1))+"x", nil) },
		"no answer at all": func(p *publisher) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.block = make(chan struct{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &publisher{}
				fail(p)
				s := newSets(t, p)
				for range 3 {
					_, err := s.Keys(t.Context(), keysURL, header("a"))
					require.ErrorIs(t, err, ErrKeysUnavailable)
				}
				assert.EqualValues(t, 1, p.asked.Load(), "it is left alone for a while")

				// It comes back, and goes away again.
				p.mu.Lock()
				p.block = nil
				p.mu.Unlock()
				p.says(200, jwks(edJWK("a", 1)), nil)
				time.Sleep(Between)
				_, err := s.Keys(t.Context(), keysURL, header("a"))
				require.NoError(t, err)
				fail(p)
				time.Sleep(KeepFor - time.Minute)
				keys, err := s.Keys(t.Context(), keysURL, header("a"))
				require.NoError(t, err, "the last good keys serve for a while")
				assert.NotEmpty(t, keys)
				_, err = s.Keys(t.Context(), keysURL, header("b"))
				require.ErrorIs(t, err, ErrKeysUnavailable, "who does not answer may know it")
				time.Sleep(time.Minute)
				_, err = s.Keys(t.Context(), keysURL, header("a"))
				require.ErrorIs(t, err, ErrKeysUnavailable, "but not for ever")
			})
		})
	}
}

func TestASlowPublisherKeepsNobodyElseWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, quick := &publisher{block: make(chan struct{})}, &publisher{}
		slow.says(200, jwks(edJWK("a", 1)), nil)
		quick.says(200, jwks(edJWK("a", 2)), nil)
		s := NewSets(SetsConfig{Now: time.Now, HTTP: &http.Client{Transport: route{"slow.example": slow, "quick.example": quick}}})
		defer s.Close()
		var waiting sync.WaitGroup
		for range 20 {
			waiting.Go(func() {
				keys, err := s.Keys(t.Context(), "https://slow.example/", header("a"))
				assert.NoError(t, err)
				assert.Equal(t, []any{edKey(1)}, keys)
			})
		}
		impatient, cancel := context.WithCancel(t.Context())
		waiting.Go(func() {
			_, err := s.Keys(impatient, "https://slow.example/", header("a"))
			assert.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait() // all of them wait
		began := time.Now()
		keys, err := s.Keys(t.Context(), "https://quick.example/", header("a"))
		require.NoError(t, err)
		assert.Equal(t, []any{edKey(2)}, keys)
		assert.Zero(t, time.Since(began))
		cancel()
		synctest.Wait()
		close(slow.block)
		waiting.Wait()
		assert.EqualValues(t, 1, slow.asked.Load(), "twenty wait for one fetch, which outlasts who gave up")
	})
}

type route map[string]*publisher

// RoundTrip implements http.RoundTripper.
func (r route) RoundTrip(req *http.Request) (*http.Response, error) {
	return r[req.URL.Host].RoundTrip(req)
}

func TestCloseEndsAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{block: make(chan struct{})}
		s := newSets(t, p)
		done := make(chan error)
		go func() {
			_, err := s.Keys(t.Context(), keysURL, header("a"))
			done <- err
		}()
		synctest.Wait()
		began := time.Now()
		s.Close()
		require.ErrorIs(t, <-done, ErrKeysUnavailable)
		assert.Zero(t, time.Since(began))
		_, err := s.Keys(t.Context(), "https://other.example/", header("a"))
		require.ErrorIs(t, err, ErrKeysUnavailable)
		assert.EqualValues(t, 1, p.asked.Load(), "nothing is fetched after it")
	})
}

func TestAsManySetsAsThereIsRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		p.says(200, jwks(edJWK("a", 1)), nil)
		s := newSets(t, p)
		url := func(i int) string { return fmt.Sprint("https://idp.example/", i) }
		for i := range maxSets {
			s.entry(url(i))
			time.Sleep(time.Millisecond)
		}
		s.entry(url(0)) // used again
		for i := range 10 {
			s.entry(url(maxSets + i))
		}
		assert.Len(t, s.sets, maxSets)
		assert.Contains(t, s.sets, url(0))
		assert.NotContains(t, s.sets, url(1), "what was not used for longest goes")
	})
}

func TestAClockThatIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		p.says(200, jwks(edJWK("a", 1)), nil)
		var shift atomic.Int64
		s := NewSets(SetsConfig{HTTP: &http.Client{Transport: p}, Now: func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }})
		defer s.Close()
		for i, at := range []time.Duration{0, 90 * 24 * time.Hour, 0} {
			shift.Store(int64(at))
			_, err := s.Keys(t.Context(), keysURL, header("a"))
			require.NoError(t, err)
			assert.EqualValues(t, i+1, p.asked.Load(), "the set is fetched again")
		}
	})
}

func TestWhatIsLoggedOfAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p := &publisher{}
		p.says(200, `{"keys":"hunter2"}`, nil)
		s := NewSets(SetsConfig{HTTP: &http.Client{Transport: p}, Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
		_, err := s.Keys(t.Context(), keysURL, header("a"))
		require.ErrorIs(t, err, ErrKeysUnavailable)
		s.Close()
		assert.Contains(t, log.String(), keysURL)
		assert.NotContains(t, log.String(), "hunter2")
	})
}
