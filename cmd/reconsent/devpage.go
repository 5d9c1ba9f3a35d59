package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/reconsent/reconsent/provider/sandbox"
	"github.com/reconsent/reconsent/reauth"
)

//go:embed devpage
var devFiles embed.FS

var factorsPage = template.Must(template.ParseFS(devFiles, "devpage/page.html"))

// tokenLife is how long a token of the demo is good, by the bank's clock.
const tokenLife = 24 * time.Hour

// demoSession is the session of the token that dev prints.
const demoSession = "terminal"

// factorsAt is where the page to try every factor lies.
const factorsAt = "/dev/factors"

// handler is what dev serves beside the API, on its origin. It signs tokens for
// whoever asks, and shows what users were sent: 'serve' has nothing of it.
func (d *development) handler(api http.Handler) (http.Handler, error) {
	page, policy, err := d.factorsPage()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/dev/", api)
	mux.HandleFunc("GET "+factorsAt, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		hardened(w)
		_, _ = w.Write(page)
	})
	mux.HandleFunc("POST /dev/token", d.signToken)
	mux.HandleFunc("GET /dev/messages", d.messages)
	// What is the API's goes by as 'serve' would get it: a mux redirects paths that
	// it has cleaned, and a client would send its token, or its body, once more.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/dev/") {
			mux.ServeHTTP(w, r)
		} else {
			api.ServeHTTP(w, r)
		}
	}), nil
}

func hardened(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
}

// factorsPage returns the page, and the policy that lets it run its own script
// and style, and nothing else.
func (d *development) factorsPage() (page []byte, policy string, err error) {
	style, err := devFiles.ReadFile("devpage/style.css")
	if err != nil {
		return nil, "", err
	}
	script, err := devFiles.ReadFile("devpage/page.js")
	if err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	err = factorsPage.Execute(&b, struct {
		Application, ID, Password, Sandbox string
		Users, Levels                      []string
		Style                              template.CSS
		Script                             template.JS
	}{
		demoName, d.ready.ApplicationID, demoPassword, d.ready.Sandbox, exampleUsers(), reauth.LevelNames(),
		template.CSS(style), template.JS(script), //nolint:gosec // both are our own files
	})
	policy = "default-src 'none'; style-src " + hashOf(style) + "; script-src " + hashOf(script) +
		"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return b.Bytes(), policy, err
}

// hashOf names an inline text in a policy (CSP Level 3, 2.3.1).
func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// userToken is a token as the demo's identity provider would sign one.
func (d *development) userToken(user, session string) (string, error) {
	now := d.bank.Clock().Now()
	claims := jwt.MapClaims{"sub": user, "sid": session, "iat": now.Unix(), "exp": now.Add(tokenLife).Unix()}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(d.memo.UserJWTSecret))
}

func (d *development) signToken(w http.ResponseWriter, r *http.Request) {
	hardened(w)
	var ask struct {
		User    string `json:"user"`
		Session string `json:"session"`
	}
	// A page of another site can post a form here, but no JSON.
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") ||
		json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<12)).Decode(&ask) != nil || ask.User == "" || ask.Session == "" {
		answer(w, http.StatusBadRequest, map[string]string{"detail": `Send {"user": "ada", "session": "browser"} as JSON.`})
		return
	}
	token, err := d.userToken(ask.User, ask.Session)
	if err != nil {
		answer(w, http.StatusInternalServerError, map[string]string{"detail": "The token could not be signed."})
		return
	}
	answer(w, http.StatusOK, map[string]string{"token": token})
}

// devMessage is what a user was sent.
type devMessage struct {
	Channel string `json:"channel"`
	sandbox.Message
}

// messagesShown is how many of a user's messages the page shows.
const messagesShown = 6

// messages lists what a user was sent, newest first.
func (d *development) messages(w http.ResponseWriter, r *http.Request) {
	hardened(w)
	email, phone := d.addresses(r.Context(), r.URL.Query().Get("user"))
	list := []devMessage{}
	for _, m := range d.mail.list() {
		if m.To == email && email != "" {
			list = append(list, devMessage{"email", m})
		}
	}
	for _, m := range d.sms.list() {
		if m.To == phone && phone != "" {
			list = append(list, devMessage{"sms", m})
		}
	}
	slices.SortStableFunc(list, func(a, b devMessage) int { return b.SentAt.Compare(a.SentAt) })
	answer(w, http.StatusOK, map[string]any{"messages": list[:min(len(list), messagesShown)]})
}

// addresses are a user's; empty where there is no such user.
func (d *development) addresses(ctx context.Context, user string) (email, phone string) {
	u, err := d.sys.store.User(ctx, d.ready.ApplicationID, user)
	if err != nil {
		return "", ""
	}
	return u.Email, u.Phone
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
