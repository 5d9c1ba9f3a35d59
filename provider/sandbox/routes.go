package sandbox

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

func (s *Server) routing() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page(s.dialog))
	for _, path := range []string{"/connect/{journey}", "/bank/{journey}"} {
		mux.HandleFunc("GET "+path, s.page(s.look))
		mux.HandleFunc("POST "+path, s.page(s.submit))
	}

	mux.HandleFunc("POST /v1/authuri", s.api(s.authURI))
	mux.HandleFunc("POST /v1/reauthuri", s.api(s.reauthURI))
	mux.HandleFunc("POST /connect/token", s.api(s.token))
	mux.HandleFunc("DELETE /api/delete", s.api(s.delete))
	mux.HandleFunc("GET /api/providers", s.api(s.providers))
	mux.HandleFunc("GET /data/v1/me", s.api(s.data("me", s.me)))
	mux.HandleFunc("GET /data/v1/info", s.api(s.data("info", s.info)))
	mux.HandleFunc("GET /data/v1/accounts", s.api(s.data("accounts", s.accounts)))
	mux.HandleFunc("GET /data/v1/accounts/{id}", s.api(s.data("account", s.oneAccount)))
	mux.HandleFunc("GET /data/v1/accounts/{id}/balance", s.api(s.data("balance", s.balance)))
	mux.HandleFunc("GET /data/v1/accounts/{id}/transactions", s.api(s.data("transactions", s.transactions)))
	mux.HandleFunc("POST /data/v1/connections/extend", s.api(s.extend))

	// No other site may press these from somebody's browser.
	control := http.NewServeMux()
	control.HandleFunc("GET /_control/clock", s.getClock)
	control.HandleFunc("POST /_control/clock", s.moveClock)
	control.HandleFunc("GET /_control/faults", s.getFaults)
	control.HandleFunc("POST /_control/faults", s.setFault)
	control.HandleFunc("POST /_control/reset", s.reset)
	control.HandleFunc("GET /_control/mail", messages(s.opt.Mail))
	control.HandleFunc("GET /_control/sms", messages(s.opt.SMS))
	mux.Handle("/_control/", http.NewCrossOriginProtection().Handler(control))

	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			s.show(w, http.StatusNotFound, "message.html", view{Title: "There is nothing here", Site: siteName, Message: "Go back to where you came from."})
			return
		}
		reply(w, http.StatusNotFound, refuse(0, "not_found", "There is no such endpoint."))
	})
	return mux
}

// refusal is an error in TrueLayer's shape (providers.md 1.10).
type refusal struct {
	status      int
	Code        string   `json:"error"`
	Description string   `json:"error_description"`
	Details     struct{} `json:"error_details"`
}

func (r *refusal) Error() string { return r.Code + ": " + r.Description }

func refuse(status int, code, description string) *refusal {
	return &refusal{status: status, Code: code, Description: description}
}

const (
	maxBody     = 1 << 20
	longestHang = time.Minute
)

// api wraps a call with the faults that any call may have, the lock, and the
// memory's flush. The body is read before the lock is taken.
func (s *Server) api(call func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-TL-Correlation-Id", randomToken()[:22])
		if !readAhead(w, r) {
			reply(w, http.StatusBadRequest, refuse(0, "validation_error", "The body cannot be read."))
			return
		}
		s.mu.Lock()
		if fault := s.transportFault(); fault != "" {
			s.mu.Unlock()
			misbehave(w, r, fault)
			return
		}
		var out any
		var err error
		if lost := s.mem.do(r.Context(), func() { out, err = call(r) }); lost != nil {
			err = lost
		}
		s.mu.Unlock()
		no, refused := errors.AsType[*refusal](err)
		switch {
		case refused:
			reply(w, no.status, no)
		case err != nil:
			s.log.Error("sandbox", "path", r.URL.Path, "error", err)
			reply(w, http.StatusInternalServerError, refuse(0, "internal_server_error", "The sandbox failed; see its log."))
		default:
			reply(w, http.StatusOK, out)
		}
	}
}

func (s *Server) transportFault() string {
	for _, name := range []string{"hang", "rate_limited", "internal_error"} {
		if s.faults.take(name) {
			return name
		}
	}
	return ""
}

func misbehave(w http.ResponseWriter, r *http.Request, fault string) {
	switch fault {
	case "hang":
		t := time.NewTimer(longestHang)
		defer t.Stop()
		select {
		case <-r.Context().Done():
		case <-t.C:
		}
		reply(w, http.StatusGatewayTimeout, refuse(0, "provider_timeout", "The provider took too long."))
	case "rate_limited":
		w.Header().Set("Retry-After", "60")
		reply(w, http.StatusTooManyRequests, refuse(0, "provider_too_many_requests", "Too many requests."))
	default:
		reply(w, http.StatusInternalServerError, refuse(0, "internal_server_error", "An internal error occurred."))
	}
}

// readAhead reads the body, so that a slow caller holds up nobody else.
func readAhead(w http.ResponseWriter, r *http.Request) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	r.Body = io.NopCloser(bytes.NewReader(body))
	return err == nil
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// isClient reports whether the client exists and proves itself.
func (s *Server) isClient(id, secret string) bool {
	c, ok := s.clients[id]
	return ok && subtle.ConstantTimeCompare([]byte(c.Secret), []byte(secret)) == 1
}

func invalidClient() *refusal {
	return refuse(http.StatusBadRequest, "invalid_client", "Invalid client_id or client_secret.")
}
