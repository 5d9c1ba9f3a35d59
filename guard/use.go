package guard

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/reconsent/reconsent/reauth"
)

// errProofRefused: the installation says that the proof does not count, or not
// any more.
var errProofRefused = errors.New("the proof was used already, or is refused")

// busyError is 429: this application has asked too often.
type busyError struct{ retryAfter time.Duration }

func (*busyError) Error() string { return "the installation asks to wait" }

const (
	// maxAnswer is how much of an answer is read, in bytes.
	maxAnswer = 64 << 10
	// tries is how often a use is sent where no answer came. The idempotency key
	// makes all of them one.
	tries = 2
	// maxRetryAfter bounds what is passed on of Retry-After.
	maxRetryAfter = time.Hour
)

// use is the body of POST /v1/proofs/verify (reauth-wire section 6).
type use struct {
	Proof          string          `json:"proof"`
	UserID         string          `json:"user_id"`
	SessionID      string          `json:"session_id"`
	Operation      string          `json:"operation"`
	Level          string          `json:"level"`
	AfterMinutes   int             `json:"after_minutes,omitempty"`
	Details        *reauth.Details `json:"details,omitempty"`
	IdempotencyKey string          `json:"idempotency_key"`
}

// use uses a proof up. The error is errProofRefused where it does not count; any
// other says that nobody knows.
func (g *Guard) use(ctx context.Context, u use, level string) error {
	switch {
	case g.apiKey == "":
		return fmt.Errorf("%w: it counts once, and there is no API key to use it up", errProofRefused)
	case u.Operation == "":
		return fmt.Errorf("%w: it counts once, and the route names no operation to use it up for", errProofRefused)
	}
	// Ours, never the request's: a caller who could choose it would be answered
	// again, and pass twice.
	u.IdempotencyKey = rand.Text()
	body, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("write the use: %w", err)
	}
	var resp *http.Response
	for range tries {
		if resp, err = g.post(ctx, body); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		g.log.Warn("a proof could not be used up", "error", err)
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return g.used(resp, level)
}

func (g *Guard) post(ctx context.Context, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.base+"/v1/proofs/verify", bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the base URL makes no request")
	}
	req.Header.Set("Authorization", "Bearer "+g.apiKey)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	return g.http.Do(req)
}

// used reads the answer. Only one that says valid, of the level that was signed,
// lets anything through.
func (g *Guard) used(resp *http.Response, level string) error {
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusForbidden, http.StatusConflict, http.StatusUnprocessableEntity:
		return errProofRefused
	case http.StatusTooManyRequests:
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil || seconds < 0 {
			seconds = 0
		}
		return &busyError{min(time.Duration(seconds)*time.Second, maxRetryAfter)}
	default:
		g.log.Error("proofs are not used up: look at the API key and the base URL", "status", resp.StatusCode)
		return fmt.Errorf("the installation answers %d", resp.StatusCode)
	}
	var answer struct {
		Valid bool   `json:"valid"`
		Level string `json:"level"`
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil || json.Unmarshal(raw, &answer) != nil {
		return errors.New("the installation's answer cannot be read")
	}
	if !answer.Valid || answer.Level != level {
		return errProofRefused
	}
	return nil
}
