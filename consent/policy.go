package consent

import "time"

// RenewBy says how a consent is to be renewed where the provider knows more
// than one way.
type RenewBy string

// The ways.
const (
	RenewByReauth RenewBy = "reauth" // a trip to the bank
	RenewByExtend RenewBy = "extend" // the person reconfirms with us (UK, 90 days)
)

// Policy is an application's word on one provider's consents, used where the
// provider itself says nothing. Zero durations mean that the application does
// not know either.
type Policy struct {
	Validity      time.Duration `json:"validity"`
	RenewalWindow time.Duration `json:"renewal_window"` // how long after a lapse it can still be renewed
	RenewBy       RenewBy       `json:"renew_by"`
}

// Forecast returns a consent's expiry and whose word that is: the provider's,
// else the policy's, else nobody's.
func (p Policy) Forecast(providerSays, consentedAt time.Time) (time.Time, ExpirySource) {
	switch {
	case !providerSays.IsZero():
		return providerSays, FromProvider
	case p.Validity > 0:
		return consentedAt.Add(p.Validity), FromPolicy
	default:
		return time.Time{}, FromNobody
	}
}
