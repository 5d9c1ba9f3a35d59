package sandbox

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

type account struct {
	ID, Name, Type, Currency string
	IBAN, SortCode, Number   string
	BIC                      string
	Balance                  float64
}

// identifier is what the bank itself calls the account.
func (a account) identifier() string { return a.IBAN }

// accountsOf are a login's own accounts, always the same ones. A variant is
// another choice of accounts under the same login.
func accountsOf(bankID, name string, variant int) []account {
	b, _ := bankByID(bankID)
	out := make([]account, 0, 2)
	for i, kind := range []struct{ name, typ string }{{"Current account", "TRANSACTION"}, {"Savings", "SAVINGS"}} {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%d", bankID, name, variant, i))
		n := binary.BigEndian.Uint64(sum[:8])
		a := account{
			ID: fmt.Sprintf("%x", sum[8:24]), Name: kind.name, Type: kind.typ, Currency: "EUR",
			Balance: float64(n%1_000_000) / 100,
		}
		switch b.Country {
		case "fr":
			a.Number = fmt.Sprintf("%011d", n%100_000_000_000)
			a.IBAN, a.BIC = iban("FR", "9999900001"+a.Number+ribKey(99999, 1, a.Number)), "MOCKFRPP"
		case "de":
			a.Number = fmt.Sprintf("%010d", n%10_000_000_000)
			a.IBAN, a.BIC = iban("DE", "99999999"+a.Number), "MOCKDEFF"
		default:
			a.Currency, a.SortCode, a.BIC = "GBP", "01-21-31", "MOCKGB2L"
			a.Number = fmt.Sprintf("%08d", n%100_000_000)
			a.IBAN = iban("GB", "MOCK012131"+a.Number)
		}
		out = append(out, a)
	}
	return out
}

// iban adds the check digits (ISO 13616) to a national account number.
func iban(country, bban string) string {
	var digits strings.Builder
	for _, r := range bban + country + "00" {
		if r >= 'A' {
			fmt.Fprintf(&digits, "%d", r-'A'+10)
		} else {
			digits.WriteRune(r)
		}
	}
	n, _ := new(big.Int).SetString(digits.String(), 10)
	check := 98 - new(big.Int).Mod(n, big.NewInt(97)).Int64()
	return fmt.Sprintf("%s%02d%s", country, check, bban)
}

// ribKey is the two check digits inside a French account number.
func ribKey(bank, branch int64, number string) string {
	n, _ := strconv.ParseInt(number, 10, 64)
	return fmt.Sprintf("%02d", 97-(89*bank+15*branch+3*n)%97)
}

// transaction is one line of an account.
type transaction struct {
	ID          string
	At          time.Time
	Description string
	Amount      float64
}

var shops = []string{"Corner Shop", "Railway", "Bakery", "Bookshop", "Electricity", "Pharmacy"}

// transactionsOf are one for every third day of the last thirty; a day's is
// always the same one.
func transactionsOf(a account, now time.Time) []transaction {
	out := make([]transaction, 0, 10)
	today := now.Unix() / 86400
	for day := today - 30; day < today; day++ {
		if day%3 != 0 {
			continue
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", a.ID, day))
		out = append(out, transaction{
			ID: fmt.Sprintf("%x", sum[:16]), At: time.Unix(day*86400+43200, 0).UTC(),
			Description: shops[int(sum[16])%len(shops)], Amount: -float64(binary.BigEndian.Uint16(sum[17:19])%9000+100) / 100,
		})
	}
	return out
}
