package truelayer_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/provider/providertest"
	"github.com/reconsent/reconsent/provider/sandbox"
	"github.com/reconsent/reconsent/provider/sandbox/bankbrowser"
	"github.com/reconsent/reconsent/provider/truelayer"
)

// The adapter and the sandbox hold the contract between them, by the dialog
// and by direct links, for a login whose extensions lead to the bank and for
// one whose do not.
func TestTheContract(t *testing.T) {
	for name, ada := range map[string]bankbrowser.Person{"dialog": bankbrowser.John(), "direct links": {User: "john", Password: "eternal"}} {
		direct := name == "direct links"
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T) providertest.Bank {
				const secret = "secret-of-the-acme-client"
				bank, err := sandbox.New(t.Context(), sandbox.Options{ClientID: "acme", ClientSecret: secret})
				require.NoError(t, err)
				server := httptest.NewServer(bank)
				t.Cleanup(server.Close)
				p, err := truelayer.Open(provider.Config{ClientID: "acme", ClientSecret: secret, AuthURL: server.URL, DirectLinks: direct},
					provider.Deps{HTTP: &http.Client{Timeout: 10 * time.Second}, Now: bank.Clock().Now})
				require.NoError(t, err)
				follow := func(t *testing.T, who bankbrowser.Person, link string) *url.URL {
					v, err := who.Go(t.Context(), link)
					require.NoError(t, err)
					require.NotNil(t, v.Return, "%v", v.Pages)
					return v.Return
				}
				fault := func(name string) func(*testing.T) {
					return func(t *testing.T) { require.NoError(t, bank.SetFault(name, 1)) }
				}
				return providertest.Bank{
					Provider: p, ProviderID: "mock", RedirectURI: "https://app.example/a%2Fb/call%20back?of=the%20app&plus=a+b&slash=%2F", Secrets: []string{secret},
					Visit: func(t *testing.T, link, person string) *url.URL {
						who := ada
						if person == "grace" {
							who = bankbrowser.Numbered(2)
						}
						return follow(t, who, link)
					},
					Refuse: func(t *testing.T, link string) *url.URL {
						who := ada
						who.Deny = true
						return follow(t, who, link)
					},
					Rotate: fault("refresh_token_rotates"), Omit: fault("refresh_token_omitted"),
				}
			})
		})
	}
}
