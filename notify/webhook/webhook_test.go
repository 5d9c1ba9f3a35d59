package webhook

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/reconsent/reconsent/internal/outbound"
	"github.com/reconsent/reconsent/notify"
)

func secret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}

func sender(t *testing.T, change ...func(*Config)) *Sender {
	t.Helper()
	cfg := Config{Targets: outbound.NewTargets(true), Now: time.Now, Version: "test"}
	for _, f := range change {
		f(&cfg)
	}
	s := New(cfg)
	t.Cleanup(s.Close)
	return s
}

// receiver is an endpoint that answers as it is told, and keeps what came.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	header []http.Header
	bodies []string
}

func receive(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		assert.NoError(t, err)
		r.mu.Lock()
		r.header, r.bodies = append(r.header, req.Header), append(r.bodies, string(body))
		r.mu.Unlock()
		answer(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func (r *receiver) post(secrets ...string) notify.Post {
	if len(secrets) == 0 {
		secrets = []string{secret()}
	}
	return notify.Post{URL: r.URL + "/hook?x=1", ID: "evt_1", Secrets: secrets, Body: []byte(`{"type":"consent.renewed","n":"é"}`)}
}

func TestAReceiverVerifiesWithTheStandardLibrary(t *testing.T) {
	r := receive(t, status(http.StatusNoContent))
	s := sender(t)
	was, is := secret(), secret()
	p := r.post(is, was)
	assert.Equal(t, notify.Answer{Status: 204}, s.Post(t.Context(), p))
	require.Len(t, r.bodies, 1)
	assert.Equal(t, string(p.Body), r.bodies[0], "byte for byte")
	assert.Equal(t, "evt_1", r.header[0].Get("webhook-id"))
	assert.Equal(t, "application/json", r.header[0].Get("Content-Type"))
	assert.Len(t, strings.Fields(r.header[0].Get("webhook-signature")), 2, "while one secret replaces another there are two")
	for _, key := range []string{was, is} {
		wh, err := standardwebhooks.NewWebhook(key)
		require.NoError(t, err)
		require.NoError(t, wh.Verify([]byte(r.bodies[0]), r.header[0]), "by either")
		require.Error(t, wh.Verify([]byte(r.bodies[0]+" "), r.header[0]))
	}
	stranger, err := standardwebhooks.NewWebhook(secret())
	require.NoError(t, err)
	require.Error(t, stranger.Verify([]byte(r.bodies[0]), r.header[0]))
}

func TestWhatAnAnswerSays(t *testing.T) {
	s := sender(t)
	for code, delivered := range map[int]bool{200: true, 202: true, 299: true, 300: false, 304: false, 400: false, 404: false, 410: false, 429: false, 500: false, 503: false} {
		r := receive(t, status(code))
		a := s.Post(t.Context(), r.post())
		assert.Equal(t, code, a.Status)
		assert.Empty(t, a.Error)
		assert.Equal(t, delivered, a.Delivered(), code)
	}
	closed := receive(t, status(200))
	p := closed.post()
	closed.Close()
	assert.Equal(t, notify.Answer{Error: "connection_failed"}, s.Post(t.Context(), p))
	hangsUp := receive(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	assert.Equal(t, notify.Answer{Error: "connection_failed"}, s.Post(t.Context(), hangsUp.post()))
}

func TestASecretThatIsNoneIsNotPrinted(t *testing.T) {
	r := receive(t, status(200))
	p := r.post("whsec_%%%")
	assert.Equal(t, notify.Answer{Error: "not_signed"}, sender(t).Post(t.Context(), p))
	assert.Empty(t, r.bodies)
	assert.NotContains(t, p.String()+p.GoString(), "%%%")
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2027, 3, 28, 1, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, " 7 ": 7 * time.Second, "-5": 0, "1.5": 0, "soon": 0,
		"999999999": 24 * time.Hour, "99999999999999999999999": 0,
		now.Add(time.Hour).Format(http.TimeFormat): time.Hour, now.Add(-time.Hour).Format(http.TimeFormat): 0,
		now.AddDate(1, 0, 0).Format(http.TimeFormat): 24 * time.Hour,
	} {
		assert.Equal(t, want, retryAfter(value, now), value)
	}
	for code, want := range map[int]time.Duration{429: time.Minute, 503: time.Minute, 500: 0, 200: 0} {
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "60"); w.WriteHeader(code) })
		assert.Equal(t, want, sender(t).Post(t.Context(), r.post()).RetryAfter, code)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	inside := receive(t, status(200))
	for _, code := range []int{301, 302, 303, 307, 308} {
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", inside.URL)
			w.WriteHeader(code)
		})
		a := sender(t).Post(t.Context(), r.post())
		assert.Equal(t, notify.Answer{Status: code}, a)
		assert.False(t, a.Delivered())
	}
	assert.Empty(t, inside.bodies)
}

func TestAnAnswerOfAnyLengthCostsNothing(t *testing.T) {
	var wrote atomic.Int64
	r := receive(t, func(w http.ResponseWriter, req *http.Request) {
		chunk := make([]byte, 64<<10)
		for req.Context().Err() == nil {
			n, err := w.Write(chunk)
			wrote.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	assert.Equal(t, notify.Answer{Status: 200}, sender(t).Post(t.Context(), r.post()))
	r.CloseClientConnections()
	assert.Less(t, wrote.Load(), int64(64<<20), "it is hung up on")
	headers := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X", strings.Repeat("x", outbound.MaxHeader+1))
	})
	assert.Equal(t, "connection_failed", sender(t).Post(t.Context(), headers.post()).Error)
}

// The clock of the test moves when nothing else can: fifteen seconds take none.
func TestAReceiverThatTakesItsTimeIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Targets: outbound.NewTargets(true), Now: time.Now, Version: "test"})
		transport := s.client.Transport.(*http.Transport)
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far) }() // reads, and never answers
			return near, nil
		}
		began := time.Now()
		a := s.Post(t.Context(), notify.Post{URL: "http://127.0.0.1/", ID: "evt_1", Secrets: []string{secret()}, Body: []byte("{}")})
		assert.Equal(t, notify.Answer{Error: "timeout"}, a)
		assert.Equal(t, timeout, time.Since(began))
		transport.CloseIdleConnections()
		synctest.Wait()
	})
}

// names is a DNS server that gives each question the next of its answers, and
// the last one for ever.
type names struct {
	mu      sync.Mutex
	answers [][4]byte
	asked   int
}

// resolver asks the server over pipes.
func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go n.serve(far)
		return near, nil
	}}
}

// serve answers one question as over TCP, which a pipe is taken for: a length
// of two bytes before each message.
func (n *names) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	size := make([]byte, 2)
	if _, err := io.ReadFull(conn, size); err != nil {
		return
	}
	raw := make([]byte, int(size[0])<<8|int(size[1]))
	if _, err := io.ReadFull(conn, raw); err != nil {
		return
	}
	var q dnsmessage.Message
	if q.Unpack(raw) != nil || len(q.Questions) == 0 {
		return
	}
	a := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RecursionAvailable: true}, Questions: q.Questions}
	if q.Questions[0].Type == dnsmessage.TypeA {
		n.mu.Lock()
		answer := n.answers[min(n.asked, len(n.answers)-1)]
		n.asked++
		n.mu.Unlock()
		a.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.AResource{A: answer},
		}}
	}
	raw, err := a.Pack()
	if err != nil {
		return
	}
	_, _ = conn.Write(append([]byte{byte(len(raw) >> 8), byte(len(raw))}, raw...))
}

func TestASecondDNSAnswerDoesNotLeadInside(t *testing.T) {
	r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusNoContent)
	})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(r.URL, "http://"))
	require.NoError(t, err)
	p := r.post()
	p.URL = "http://hooks.localhost:" + port + "/" // in development, the address that may be reached is this machine's

	dns := &names{answers: [][4]byte{{127, 0, 0, 1}, {10, 0, 0, 1}}}
	s := sender(t, func(c *Config) { c.Resolver = dns.resolver() })
	assert.Equal(t, notify.Answer{Status: 204}, s.Post(t.Context(), p), "the first answer is allowed")
	assert.Equal(t, notify.Answer{Error: "address_refused"}, s.Post(t.Context(), p), "the second is not, and nothing was dialled")
	assert.Len(t, r.bodies, 1)

	// In a deployment the receiver on this machine is inside itself.
	dns = &names{answers: [][4]byte{{127, 0, 0, 1}}}
	s = sender(t, func(c *Config) { c.Targets, c.Resolver = outbound.NewTargets(false), dns.resolver() })
	p.URL = "https://hooks.example:" + port + "/"
	assert.Equal(t, notify.Answer{Error: "address_refused"}, s.Post(t.Context(), p))
	assert.Positive(t, dns.asked, "its name was asked for, and what it leads to refused")
	assert.Len(t, r.bodies, 1)
}

func TestNoProxyOfTheEnvironment(t *testing.T) {
	proxy := receive(t, status(200))
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	r := receive(t, status(201))
	assert.Equal(t, 201, sender(t).Post(t.Context(), r.post()).Status)
	assert.Empty(t, proxy.bodies)
}

func TestAnAddressThatIsNoLongerAllowedIsNotSentTo(t *testing.T) {
	r := receive(t, status(200))
	s := sender(t, func(c *Config) { c.Targets = outbound.NewTargets(false) })
	assert.Equal(t, notify.Answer{Error: "address_refused"}, s.Post(t.Context(), r.post()))
	assert.Empty(t, r.bodies)
}

func TestACertificateIsLookedAt(t *testing.T) {
	server := httptest.NewTLSServer(status(204))
	t.Cleanup(server.Close)
	server.Config.ErrorLog = nil
	p := notify.Post{URL: server.URL, ID: "evt_1", Secrets: []string{secret()}, Body: []byte("{}")}
	assert.Equal(t, "certificate_refused", sender(t).Post(t.Context(), p).Error)
	trusting := sender(t, func(c *Config) { c.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs })
	assert.Equal(t, 204, trusting.Post(t.Context(), p).Status)
}

// FuzzRetryAfter: whatever a stranger writes, the pause is bounded.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "120", "-1", "Sun, 28 Mar 2027 01:00:00 GMT", "1e9"} {
		f.Add(seed)
	}
	now := time.Date(2027, 3, 28, 1, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		d := retryAfter(value, now)
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, maxRetryAfter)
	})
}
