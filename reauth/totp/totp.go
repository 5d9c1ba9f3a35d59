package totp

import (
	"crypto/subtle"
	"encoding/base32"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/reconsent/reconsent/reauth/code"
)

const (
	period = 30 // seconds, RFC 6238 4.1's X
	skew   = 1  // steps either way (reauth-wire 7)

	secretSize = 20 // bytes: 160 bits, as RFC 4226 4 recommends
	leastSize  = 16 // bytes: 128 bits, which RFC 4226 4 demands
)

var base32Plain = base32.StdEncoding.WithPadding(base32.NoPadding)

// Verify says whether a code, as it was typed, is the secret's at a time. The
// clock that made it may be one step of 30 seconds behind or ahead. A step is
// good once: at lastStep or before it, no code is right any more (RFC 6238
// 5.2). lastStep is 0 where none was used yet.
//
// The step that is returned with true is the next lastStep. The caller stores
// it only where the stored one is still lower, in one statement: of two uses of
// a code at once, one finds nothing to raise, and is refused.
//
// A secret that cannot be read, or of less than 128 bits, makes every code
// wrong.
func Verify(secret, typed string, now time.Time, lastStep int64) (step int64, ok bool) {
	digits, ok := code.Digits(typed, code.Length)
	if !ok {
		return 0, false
	}
	if raw, err := base32Plain.DecodeString(secret); err != nil || len(raw) < leastSize {
		return 0, false
	}
	current := now.Unix() / period
	// Every step is looked at, whichever is right, so that time does not tell.
	// Where two have one code the later counts, which ends both.
	for s := current - skew; s <= current+skew; s++ {
		want, err := at(secret, s)
		if err != nil {
			return 0, false
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(digits)) == 1 && s > lastStep {
			step = s
		}
	}
	return step, step > 0
}

// at is the secret's code of a step.
func at(secret string, step int64) (string, error) {
	return hotp.GenerateCodeCustom(secret, uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
}
