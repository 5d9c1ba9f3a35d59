package idp_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/reconsent/reconsent/reauth/idp"
)

// FuzzFinishQuery: no query makes Finish panic, and one succeeds only as the
// single answer to this trip: its state, its code, its issuer and no error.
func FuzzFinishQuery(f *testing.F) {
	for _, seed := range []string{
		"", "state=STATE", "state=STATE&code=CODE&iss=ISS", "code=CODE&iss=ISS", "state=STATE&state=STATE&code=CODE&iss=ISS", "state=STATE&code=CODE",
		"state=STATE&code=CODE&iss=ISS&error=access_denied", "state=STATE&error=access_denied&iss=ISS", "state=STATE&code=CODE&code=x&iss=ISS",
		"state=STATE&code=&iss=ISS", "%zz", "state[]=STATE&code=CODE&iss=ISS", "state=STATE;code=CODE", "state=STATE&code=CODE&iss=ISS&iss=ISS&x=%00",
	} {
		f.Add(seed)
	}
	op := newOpenID(f)
	here := roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		op.ServeHTTP(w, r)
		return w.Result(), nil
	})
	client := newClient(f, here)
	f.Fuzz(func(t *testing.T, raw string) {
		trip, err := client.Start(t.Context(), op.provider(), "")
		if err != nil {
			t.Fatal(err)
		}
		good := op.visit(trip)
		query, _ := url.ParseQuery(raw) // what can be read of it, as net/http does
		for _, values := range query {
			for i, v := range values {
				switch v {
				case "STATE":
					values[i] = good.Get("state")
				case "CODE":
					values[i] = good.Get("code")
				case "ISS":
					values[i] = good.Get("iss")
				}
			}
		}
		got, err := client.Finish(t.Context(), op.provider(), trip, query, idp.Want{Subject: "ada", NotBefore: start})
		mayPass := !query.Has("error")
		for _, name := range []string{"state", "code", "iss"} {
			mayPass = mayPass && len(query[name]) == 1 && query.Get(name) == good.Get(name)
		}
		if (err == nil) != mayPass {
			t.Errorf("%q: %v", raw, err)
		}
		if (err == nil) != (got.Subject == "ada") {
			t.Errorf("%q: %v with error %v", raw, got, err)
		}
	})
}
