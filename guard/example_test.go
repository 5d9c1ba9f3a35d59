package guard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/reconsent/reconsent/guard"
	"github.com/reconsent/reconsent/guard/guardtest"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/proof"
)

func noon() time.Time { return time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC) }

// exampleGuard is a guard, and the installation that it trusts. In production it
// is guard.New with the address of yours, and time.Now.
func exampleGuard() (*guard.Guard, *guardtest.Installation) {
	installation := guardtest.New(noon)
	g, err := guard.New(installation.Config())
	if err != nil {
		panic(err)
	}
	return g, installation
}

// send is a client: the user's JWT, the proof, and what comes back.
func send(h http.Handler, userToken, proofToken string) {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/transfer", strings.NewReader(`{"payee":"Acme Ltd","amount":"10.50","currency":"EUR"}`))
	r.Header.Set("Authorization", "Bearer "+userToken)
	if proofToken != "" {
		r.Header.Set(guard.ProofHeader, proofToken)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var answer struct {
		Code     string          `json:"code"`
		Required reauth.Required `json:"required"`
	}
	if json.Unmarshal(w.Body.Bytes(), &answer) == nil {
		fmt.Println(w.Code, answer.Code, answer.Required.Missing)
		return
	}
	fmt.Println(w.Code, w.Body)
}

// One line protects a route.
func ExampleGuard_RequireReverification() {
	g, installation := exampleGuard()
	defer installation.Close()
	defer g.Close()

	transfer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, _ := guard.FromContext(r.Context())
		_, _ = fmt.Fprintf(w, "sent for %s", v.User)
	})

	mux := http.NewServeMux()
	mux.Handle("POST /transfer", g.RequireReverification("strict")(transfer))

	user := installation.UserToken("ada", "session-1")
	send(mux, user, "")
	send(mux, user, installation.Proof("ada", "session-2", "strict")) // of another session
	send(mux, user, installation.Proof("ada", "session-1", "strict"))
	// Output:
	// 403 reverification_required [second_factor]
	// 403 reverification_required [second_factor]
	// 200 sent for ada
}

// Where only some of what a handler does is sensitive, it asks for itself.
func ExampleGuard_NeedsReverification() {
	g, installation := exampleGuard()
	defer installation.Close()
	defer g.Close()

	transfer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.NeedsReverification(r, "strict") {
			g.WriteReverificationRequired(w, "strict")
			return
		}
		_, _ = io.WriteString(w, "sent")
	})

	user := installation.UserToken("ada", "session-1")
	send(transfer, user, "")
	send(transfer, user, installation.Proof("ada", "session-1", "strict"))
	// Output:
	// 403 reverification_required [second_factor]
	// 200 sent
}

// A payment needs strong customer authentication. Its proof is bound to payee,
// amount and currency, and is used up.
func ExampleDetailsFrom() {
	g, installation := exampleGuard()
	defer installation.Close()
	defer g.Close()

	transfer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "sent") })
	fromBody := func(r *http.Request) (d reauth.Details, err error) {
		err = json.NewDecoder(r.Body).Decode(&d)
		return d, err
	}
	h := g.RequireReverification("sca", guard.Operation("transfer"), guard.DetailsFrom(fromBody))(transfer)

	user := installation.UserToken("ada", "session-1")
	token := installation.Proof("ada", "session-1", "sca", func(c *proof.Claims) {
		digest, err := reauth.Details{Payee: "Acme Ltd", Amount: "10.50", Currency: "EUR"}.Digest()
		if err != nil {
			panic(err)
		}
		c.Operation = &proof.Operation{Name: "transfer", Digest: digest}
	})
	send(h, user, token)
	send(h, user, token) // a proof of this level counts once
	// Output:
	// 200 sent
	// 403 reverification_required [two_categories]
}
