package truelayer

import (
	"slices"
	"strings"

	"github.com/reconsent/reconsent/provider"
)

// Where the facts on extra inputs were published. The first names the banks,
// as those that reauthuri can not renew; the second says per country what a
// bank may ask for, and was written for Payments: that it holds for Data is
// unverified (providers.md 1.9).
const (
	fromReauthArticle = "support.truelayer.com/hc/en-us/articles/360017594238"
	fromEUPage        = "docs.truelayer.com/docs/additional-requirements-for-eu-providers"
	fromSandbox       = "the sandbox bank of this project"
)

// inputTable lists the banks that need more than a login, by what their
// provider id holds.
var inputTable = []struct {
	exact  string   // the whole id
	parts  []string // or all of these, hyphens left out
	inputs []provider.Input
}{
	{exact: "mock-fr", inputs: []provider.Input{
		{Name: "branch", Label: "Branch", Source: fromSandbox},
	}},
	{exact: "mock-de", inputs: []provider.Input{
		{Name: "iban", Label: "IBAN", Source: fromSandbox},
		{Name: "branch_code", Label: "Branch code (Bankleitzahl)", Source: fromSandbox},
	}},
	// Caisse d'Epargne, France. Its provider id is unverified, so every way to
	// write the name is taken.
	{parts: []string{"caisse", "epargne"}, inputs: []provider.Input{
		{Name: "branch", Label: "Branch", Source: fromEUPage + " (France); the bank: " + fromReauthArticle},
	}},
	// Sparkasse, Germany: "xs2a-sparkasse" in clients of TrueLayer's Payments.
	// The page lists account number and sub-account number too, as what a
	// German bank may ask for; both are parts of the IBAN and are not asked for
	// here. Austria's Erste und Sparkasse has another id, and is not meant.
	{parts: []string{"xs2asparkasse"}, inputs: []provider.Input{
		{Name: "iban", Label: "IBAN", Source: fromEUPage + " (Germany); the bank: " + fromReauthArticle},
		{Name: "branch_code", Label: "Branch code (Bankleitzahl)", Source: fromEUPage + " (Germany); the bank: " + fromReauthArticle},
	}},
}

// Inputs implements provider.InputAsker.
func (c *Client) Inputs(providerID string) []provider.Input {
	plain := strings.ReplaceAll(strings.ToLower(providerID), "-", "")
	for _, row := range inputTable {
		lacks := func(part string) bool { return !strings.Contains(plain, part) }
		if row.parts == nil && providerID != row.exact || slices.ContainsFunc(row.parts, lacks) {
			continue
		}
		return slices.Clone(row.inputs)
	}
	return nil
}
