package idp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/reconsent/reconsent/reauth/idp"
)

// TestMain lets e2e/test/openid.test.mjs, which has a browser and a real OpenID
// provider, run this package line by line: a command in, an answer out. Then no
// test of Go runs.
func TestMain(m *testing.M) {
	if os.Getenv("RECONSENT_DRIVE_IDP") != "1" {
		os.Exit(m.Run())
	}
	if err := drive(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// command starts a trip, or finishes the one that was started as number Trip.
type command struct {
	Provider provider `json:"provider"`
	Trip     *int     `json:"trip"`
	Query    string   `json:"query"`
	Subject  string   `json:"subject"`
}

type provider struct {
	Issuer       string `json:"issuer"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RedirectURI  string `json:"redirect_uri"`
}

type reply struct {
	Error    string `json:"error,omitempty"`
	Why      string `json:"why,omitempty"`
	Trip     int    `json:"trip"`
	URL      string `json:"url,omitempty"`
	Subject  string `json:"subject,omitempty"`
	AuthTime int64  `json:"auth_time,omitempty"`
}

var names = map[error]string{
	idp.ErrDenied: "denied", idp.ErrState: "state", idp.ErrIdentityMismatch: "identity_mismatch",
	idp.ErrNotFresh: "not_fresh", idp.ErrRefused: "refused", idp.ErrUnavailable: "unavailable",
}

func failed(err error) reply {
	for e, name := range names {
		if errors.Is(err, e) {
			return reply{Error: name, Why: err.Error()}
		}
	}
	return reply{Error: "not one of the set", Why: err.Error()}
}

func drive(ctx context.Context, in io.Reader, out io.Writer) error {
	type underway struct {
		trip    idp.Trip
		started time.Time
	}
	var trips []underway
	client := idp.New(idp.Config{HTTP: &http.Client{}, Now: time.Now, Loopback: true})
	answers := json.NewEncoder(out)
	for commands := json.NewDecoder(in); ; {
		var c command
		if err := commands.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		p := &idp.Provider{Issuer: c.Provider.Issuer, ClientID: c.Provider.ClientID, ClientSecret: c.Provider.ClientSecret, RedirectURI: c.Provider.RedirectURI}
		var said reply
		if c.Trip == nil {
			now := time.Now()
			if trip, err := client.Start(ctx, p, "acme."); err != nil {
				said = failed(err)
			} else {
				said = reply{URL: trip.URL, Trip: len(trips)}
				trips = append(trips, underway{trip, now})
			}
		} else {
			query, err := url.ParseQuery(c.Query)
			if err != nil {
				return err
			}
			was := trips[*c.Trip]
			if got, err := client.Finish(ctx, p, was.trip, query, idp.Want{Subject: c.Subject, NotBefore: was.started}); err != nil {
				said = failed(err)
			} else {
				said = reply{Trip: *c.Trip, Subject: got.Subject, AuthTime: got.AuthTime.Unix()}
			}
		}
		if err := answers.Encode(said); err != nil {
			return err
		}
	}
}
