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
// and by direct links.
func TestTheContract(t *testing.T) {
	for name, direct := range map[string]bool{"dialog": false, "direct links": true} {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T) providertest.Bank {
				bank, err := sandbox.New(t.Context(), sandbox.Options{ClientID: "acme", ClientSecret: "s"})
				require.NoError(t, err)
				server := httptest.NewServer(bank)
				t.Cleanup(server.Close)
				p, err := truelayer.Open(provider.Config{ClientID: "acme", ClientSecret: "s", AuthURL: server.URL, DirectLinks: direct},
					provider.Deps{HTTP: &http.Client{Timeout: 10 * time.Second}, Now: bank.Clock().Now})
				require.NoError(t, err)
				return providertest.Bank{
					Provider: p, ProviderID: "mock", RedirectURI: "https://app.example/callback?of=the%20app",
					Visit: func(t *testing.T, link, person string) url.Values {
						who := bankbrowser.John()
						if person == "grace" {
							who = bankbrowser.Numbered(2)
						}
						v, err := who.Go(t.Context(), link)
						require.NoError(t, err)
						require.NotNil(t, v.Return, "%v", v.Pages)
						return v.Return.Query()
					},
				}
			})
		})
	}
}
