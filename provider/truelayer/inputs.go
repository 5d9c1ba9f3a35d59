package truelayer

import (
	"strings"

	"github.com/reconsent/reconsent/provider"
)

// Where the facts on extra inputs were published. TrueLayer wrote the second
// for Payments; that it holds for Data is unverified (providers.md 1.9).
const (
	fromReauthArticle = "support.truelayer.com/hc/en-us/articles/360017594238"
	fromEUPage        = "docs.truelayer.com/docs/additional-requirements-for-eu-providers"
	fromSandbox       = "the sandbox bank of this project"
)

var (
	branch     = provider.Input{Name: "branch", Label: "Branch", Source: fromEUPage}
	iban       = provider.Input{Name: "iban", Label: "IBAN", Source: fromEUPage}
	branchCode = provider.Input{Name: "branch_code", Label: "Branch code (Bankleitzahl)", Source: fromEUPage}
)

// inputTable lists the banks that need more than a login, by exact provider id
// or, where it ends in "*", by its beginning. The ids of real banks follow
// TrueLayer's pattern (country, scheme, bank); the article names the banks, not
// their ids, so these are unverified.
var inputTable = []struct {
	bank   string
	inputs []provider.Input
}{
	{"mock-fr", sourced(fromSandbox, branch)},
	{"mock-de", sourced(fromSandbox, iban, branchCode)},
	{"fr-stet-caisse-d-epargne*", sourced(fromReauthArticle, branch)},
	{"fr-stet-caisse-depargne*", sourced(fromReauthArticle, branch)},
	{"xs2a-sparkasse*", sourced(fromReauthArticle, iban, branchCode)},
	{"de-ob-sparkasse*", sourced(fromReauthArticle, iban, branchCode)},
}

func sourced(source string, inputs ...provider.Input) []provider.Input {
	for i := range inputs {
		inputs[i].Source = source
	}
	return inputs
}

// Inputs implements provider.InputAsker.
func (c *Client) Inputs(providerID string) []provider.Input {
	for _, row := range inputTable {
		prefix, open := strings.CutSuffix(row.bank, "*")
		if providerID == row.bank || (open && strings.HasPrefix(providerID, prefix)) {
			return row.inputs
		}
	}
	return nil
}
