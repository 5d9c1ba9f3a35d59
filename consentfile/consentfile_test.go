package consentfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/consentfile"
)

const header = "credentials_id,refresh_token,provider,provider_id,user_id,email,redirect_uri,scope,consented_at,expires_at,custody\n"

// read returns the rows as "line: credentials id" or "line! reason".
func read(t *testing.T, f consentfile.Format, text string) ([]string, error) {
	t.Helper()
	rows, fatal := consentfile.Read(strings.NewReader(text), f)
	var got []string
	for r := range rows {
		if r.Err != nil {
			got = append(got, fmt.Sprintf("%d! %v", r.Line, r.Err))
			continue
		}
		got = append(got, fmt.Sprintf("%d: %s", r.Line, r.Consent.CredentialsID))
	}
	return got, fatal()
}

func TestAGoodRowIsReadWhole(t *testing.T) {
	want := "credentials [cred-1] token [rt 1] truelayer/uk-ob-lloyds user [u,1] a@b.example https://app.example/cb?x=%2F [accounts balance] " +
		"2026-07-01T09:30:00.123456Z 2026-09-29T00:00:00Z backend"
	for name, text := range map[string]struct {
		format consentfile.Format
		text   string
	}{
		"CSV": {consentfile.CSV, header +
			`cred-1,rt 1,truelayer,uk-ob-lloyds,"u,1",a@b.example,https://app.example/cb?x=%2F,accounts balance,2026-07-01T11:30:00.123456+02:00,2026-09-29,Backend` + "\n"},
		"CSV as a spreadsheet writes it": {consentfile.CSV, "\xef\xbb\xbf" + strings.ReplaceAll(strings.TrimSpace(header), ",", ";") + "\r\n" +
			`cred-1;rt 1;truelayer;uk-ob-lloyds;u,1;a@b.example;https://app.example/cb?x=%2F;accounts,balance;2026-07-01T09:30:00.123456Z;2026-09-29;backend` + "\r\n"},
		"CSV with its columns in another order": {consentfile.CSV, "CONSENTED_AT, user_id,provider,credentials_id,expires_at,custody,scope,redirect_uri,email,provider_id,refresh_token\n" +
			`2026-07-01T09:30:00.123456Z,"u,1",truelayer, cred-1 ,2026-09-29,backend,accounts balance,https://app.example/cb?x=%2F,a@b.example,uk-ob-lloyds,rt 1`},
		"JSON Lines": {consentfile.JSONLines, `{"credentials_id":"cred-1","refresh_token":"rt 1","provider":"truelayer","provider_id":"uk-ob-lloyds","user_id":"u,1",` +
			`"email":"a@b.example","redirect_uri":"https://app.example/cb?x=%2F","scope":["accounts","balance"],"consented_at":"2026-07-01T09:30:00.123456Z",` +
			`"expires_at":"2026-09-29T02:00:00+02:00","custody":"backend"}`},
	} {
		t.Run(name, func(t *testing.T) {
			rows, fatal := consentfile.Read(strings.NewReader(text.text), text.format)
			n := 0
			for r := range rows {
				n++
				require.NoError(t, r.Err)
				c := r.Consent
				assert.Equal(t, want, fmt.Sprintf("credentials [%s] token [%s] %s/%s user [%s] %s %s %v %s %s %s", c.CredentialsID, c.RefreshToken, c.Provider,
					c.ProviderID, c.UserID, c.Email, c.RedirectURI, c.Scopes, c.ConsentedAt.Format(time.RFC3339Nano), c.ExpiresAt.Format(time.RFC3339Nano), c.Custody))
			}
			require.NoError(t, fatal())
			assert.Equal(t, 1, n)
		})
	}
}

func TestABadRowIsNamedAndTheRestGoesOn(t *testing.T) {
	row := func(id string) string { return id + ",rt,truelayer,mock,u1,,,,2026-07-01,," }
	for _, tt := range []struct {
		name   string
		format consentfile.Format
		text   string
		want   []string
	}{
		{"CSV", consentfile.CSV, header + strings.Join([]string{
			row("a"), "too,short", row("b") + ",more", `bare " quote,rt,truelayer,mock,u1,,,,2026-07-01,,`, "",
			strings.Replace(row("c"), "2026-07-01", "01/07/2026", 1), strings.Replace(row("d"), "2026-07-01", "2026-02-30", 1), row("e"),
		}, "\n"), []string{
			"2: a", "3! has 2 fields, the header has 11", "4! has 12 fields, the header has 11", `5! not CSV at column 6: bare " in non-quoted-field`,
			"7! consented_at: is no RFC 3339 time, like 2026-07-01T09:30:00Z, and no date, like 2026-07-01",
			"8! consented_at: is no RFC 3339 time, like 2026-07-01T09:30:00Z, and no date, like 2026-07-01", "9: e",
		}},
		{"a quoted field over several lines", consentfile.CSV, header + strings.Replace(row("a"), "u1", "\"u\n1\"", 1) + "\n" + row("b"), []string{"2: a", "4: b"}},
		{"a quote that nobody closes", consentfile.CSV, header + row("a") + "\n" + `b,"rt,truelayer` + "\n" + row("c"), []string{
			"2: a", `3! not CSV at column 39: extraneous or missing " in quoted-field`,
		}},
		{"JSON Lines", consentfile.JSONLines, strings.Join([]string{
			`{"credentials_id":"a"}`, ``, `{"credentials_id":"b"`, `[]`, `null`, `{"credentials_id":7}`, `{"credential_id":"x"}`, `{"scope":["a",1]}`,
			`{"user_id":["a"]}`, "{\"user_id\":\"\xff\"}", `{"credentials_id":"` + strings.Repeat("x", 1<<20) + `"}`, `{"credentials_id":"z","email":null}`,
		}, "\n"), []string{
			"1: a", "3! is not a JSON object", "4! is not a JSON object", "5! is not a JSON object", "6! credentials_id: is not a string",
			"7! credential_id: is not a field of a consent", "8! scope: is not a string", "9! user_id: is not a string", "10! is not a JSON object",
			"11! is longer than 1048576 bytes", "12: z",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(t, tt.format, tt.text)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestAFileThatIsNotOneIsRefusedWhole(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "the file is empty"},
		{"no header", "cred-1,rt,truelayer,mock,u1,,,,2026-07-01,,\n", `line 1: the header names a column "cred-1"`},
		{"a column twice", strings.TrimSpace(header) + ",email\n", "names email twice"},
		{"a column missing", "credentials_id,provider,user_id\n", "has no column consented_at"},
		{"a binary", "\x00\x01\"\x02\n", "line 1: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(t, consentfile.CSV, tt.text)
			require.ErrorContains(t, err, tt.want)
			assert.Empty(t, got)
		})
	}
}

func TestAReadThatFailsIsToldOfAfterTheRowsBefore(t *testing.T) {
	away := errors.New("the disk is away")
	for _, f := range []consentfile.Format{consentfile.CSV, consentfile.JSONLines} {
		good := header + "a,rt,truelayer,mock,u1,,,,2026-07-01,,\n"
		if f == consentfile.JSONLines {
			good = `{"credentials_id":"a"}` + "\n"
		}
		half := good + good[len(good)-20:len(good)-1] // and no more of the second row
		rows, fatal := consentfile.Read(&failing{text: half, err: away}, f)
		n := 0
		for range rows {
			n++
		}
		require.ErrorIs(t, fatal(), away)
		assert.Equal(t, 1, n)
	}
}

// failing is a reader that fails after its text.
type failing struct {
	text string
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.text == "" {
		return 0, f.err
	}
	n := copy(p, f.text)
	f.text = f.text[n:]
	return n, nil
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]consentfile.Format{"a.csv": consentfile.CSV, "b.c/x.jsonl": consentfile.JSONLines, "x.ndjson": consentfile.JSONLines} {
		got, err := consentfile.FormatOf(name)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err := consentfile.FormatOf("consents.xlsx")
	assert.ErrorContains(t, err, "--format")
}

// What is written reads back the same, whatever stands in it.
func FuzzRoundTrip(f *testing.F) {
	f.Add("cred", "rt", "u,1", "a b", "https://x.example/?a=\"b\"")
	f.Add("é\n", "\"", "\\", "", "\r\n")
	f.Fuzz(func(t *testing.T, credentials, token, user, scope, redirect string) {
		for _, format := range []consentfile.Format{consentfile.CSV, consentfile.JSONLines} {
			e := consentfile.Exported{RefreshToken: token, Email: "a@b.example", Consent: consent.Consent{
				CredentialsID: credentials, Provider: "truelayer", UserID: user, Scopes: strings.Fields(scope), RedirectURI: redirect,
				ConsentedAt: time.Date(2027, 1, 2, 3, 4, 5, 6000, time.UTC), Custody: consent.CustodyOurs,
			}}
			var b bytes.Buffer
			w, err := consentfile.NewWriter(&b, format)
			require.NoError(t, err)
			require.NoError(t, w.Write(e))
			require.NoError(t, w.Close())
			rows, fatal := consentfile.Read(&b, format)
			n := 0
			for r := range rows {
				n++
				require.NoError(t, r.Err)
				if plain(credentials, token, user, redirect) {
					assert.Equal(t, []string{credentials, token, user, redirect}, []string{r.Consent.CredentialsID, r.Consent.RefreshToken, r.Consent.UserID, r.Consent.RedirectURI})
				}
				assert.Equal(t, e.Consent.ConsentedAt, r.Consent.ConsentedAt)
			}
			require.NoError(t, fatal())
			assert.Equal(t, 1, n)
		}
	})
}

// plain tells what no format changes: CSV trims fields and knows one end of a
// line, JSON has no bytes that are not UTF-8.
func plain(fields ...string) bool {
	for _, s := range fields {
		if s != strings.TrimSpace(s) || strings.Contains(s, "\r") || strings.ToValidUTF8(s, "") != s {
			return false
		}
	}
	return true
}

// Any bytes at all give rows and perhaps an error, never a panic, and lines
// that only rise.
func FuzzRead(f *testing.F) {
	f.Add([]byte(header+"a,rt,truelayer,mock,u1,,,,2026-07-01,,\n\"x"), true)
	f.Add([]byte(`{"credentials_id":"a"}`), false)
	f.Fuzz(func(t *testing.T, text []byte, asCSV bool) {
		format := consentfile.JSONLines
		if asCSV {
			format = consentfile.CSV
		}
		rows, fatal := consentfile.Read(bytes.NewReader(text), format)
		last := 0
		for r := range rows {
			assert.Greater(t, r.Line, last)
			last = r.Line
		}
		if err := fatal(); err != nil {
			assert.NotEmpty(t, err.Error())
		}
	})
}
