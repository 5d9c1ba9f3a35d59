package consentfile

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
)

// Exported is one consent on its way out. RefreshToken is empty unless the
// operator asked for tokens.
type Exported struct {
	Consent      consent.Consent
	Email        string
	RefreshToken string
}

// Writer writes a file that Read takes.
type Writer struct {
	csv  *csv.Writer
	json *json.Encoder
}

// NewWriter begins a file.
func NewWriter(w io.Writer, f Format) (*Writer, error) {
	if f == JSONLines {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return &Writer{json: e}, nil
	}
	out := &Writer{csv: csv.NewWriter(w)}
	return out, out.csv.Write(Columns)
}

// Write adds one consent.
func (w *Writer) Write(e Exported) error {
	c := &e.Consent
	values := []string{
		c.CredentialsID, e.RefreshToken, c.Provider, c.ProviderID, c.UserID, e.Email, c.RedirectURI, strings.Join(c.Scopes, " "),
		written(c.ConsentedAt), written(c.ExpiresAt), string(c.Custody),
	}
	if w.csv != nil {
		return w.csv.Write(values)
	}
	fields := make(map[string]string, len(values))
	for i, name := range Columns {
		if values[i] != "" {
			fields[name] = values[i]
		}
	}
	return w.json.Encode(fields)
}

// Close ends the file; it does not close what is below.
func (w *Writer) Close() error {
	if w.csv == nil {
		return nil
	}
	w.csv.Flush()
	return w.csv.Error()
}

func written(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
