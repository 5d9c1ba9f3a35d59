package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const examplesFile = "../../examples/consents.csv"

func TestImportOfTheExamples(t *testing.T) {
	onEach(t, func(t *testing.T, databaseURL string) {
		in := install(t, databaseURL)
		imported := in.with("consent", "import", examplesFile, "--app", "acme")

		r := reconsent(t, append(imported, "--strict")...)
		assert.Equal(t, exitFailed, r.code)
		assert.Contains(t, r.err, "12 of 301 rows are bad; none was kept (--strict)")
		assert.Equal(t, 0, count(t, in), "--strict keeps none")

		r = reconsent(t, imported...)
		assert.Equal(t, exitFailed, r.code, "bad rows are a failure that scripts see")
		assert.Equal(t, "301 rows: 288 added, 1 registered already, 12 bad\n", r.out)
		assert.Len(t, regexp.MustCompile(`(?m)^line \d+: \S`).FindAllString(r.err, -1), 12, "%s", r.err)
		assert.Equal(t, 288, count(t, in))
		before := succeeds(t, in.with("consent", "list", "--app", "acme", "--limit", "1000")...)

		r = reconsent(t, imported...)
		assert.Equal(t, "301 rows: 0 added, 289 registered already, 12 bad\n", r.out)
		assert.Equal(t, before, succeeds(t, in.with("consent", "list", "--app", "acme", "--limit", "1000")...), "twice changes nothing")
	})
}

func count(t *testing.T, in installation) int {
	t.Helper()
	return strings.Count(succeeds(t, in.with("consent", "list", "--app", "acme", "--limit", "1000")...), "\n") - 1
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const csvHeader = "credentials_id,refresh_token,provider,provider_id,user_id,email,redirect_uri,scope,consented_at,expires_at,custody\n"

func TestImportNamesWhatIsWrongWithARow(t *testing.T) {
	in := install(t, sqliteFile(t))
	row := func(field, value string) string {
		fields := map[string]string{
			"credentials_id": "cred", "refresh_token": "rt", "provider": "truelayer", "provider_id": "mock", "user_id": "u", "email": "u@a.example",
			"redirect_uri": "https://app.example/callback", "scope": "accounts", "consented_at": "2026-07-01", "expires_at": "2026-09-29", "custody": "ours",
		}
		fields[field] = value
		var cells []string
		for name := range strings.SplitSeq(strings.TrimSpace(csvHeader), ",") {
			cells = append(cells, fields[name])
		}
		return strings.Join(cells, ",") + "\n"
	}
	for _, tt := range []struct{ field, value, want string }{
		{"credentials_id", "", "credentials_id is missing"},
		{"user_id", "", "user_id is missing"},
		{"provider", "yapily", `"yapily"`},
		{"email", "not an address", "email"},
		{"redirect_uri", "https://app.example/callback/", "not on the application's list"},
		{"consented_at", "", "consented_at is missing"},
		{"consented_at", "9998-01-01", "lies in the future"},
		{"consented_at", "01.07.2026", "no RFC 3339 time"},
		{"expires_at", "2026-06-30", "not later than consented_at"},
		{"expires_at", "99999-01-01", "no RFC 3339 time"},
		{"custody", "mine", `neither "ours" nor "backend"`},
		{"user_id", strings.Repeat("x", 5000), "longer than 256 bytes"},
		{"user_id", "a\x00b", "not valid UTF-8 text"},
		{"user_id", "a\xffb", "not valid UTF-8 text"},
	} {
		t.Run(tt.field+" "+fmt.Sprintf("%.20q", tt.value), func(t *testing.T) {
			r := reconsent(t, in.with("consent", "import", write(t, "bad.csv", csvHeader+row(tt.field, tt.value)), "--app", "acme")...)
			assert.Equal(t, exitFailed, r.code)
			assert.True(t, strings.HasPrefix(r.err, "line 2: "), r.err)
			assert.Contains(t, r.err, tt.want)
			assert.Equal(t, "1 rows: 0 added, 0 registered already, 1 bad\n", r.out)
			assert.NotContains(t, r.err, "rt,", "no token in a message")
		})
	}
	r := reconsent(t, in.with("consent", "import", "/nowhere.csv", "--app", "acme")...)
	assert.NotZero(t, r.code)
	r = reconsent(t, in.with("consent", "import", write(t, "x.xlsx", ""), "--app", "acme")...)
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.err, "--format")
	r = reconsent(t, in.with("consent", "import", "-", "--format", "csv", "--strict", "--app", "acme")...)
	assert.Equal(t, exitUsage, r.code)
}

// Stages that are past at the import are history: nobody is written to of
// them. With --announce the latest of them stays due.
func TestImportTellsNobodyOfWhatIsPastUnlessAskedTo(t *testing.T) {
	for _, announce := range []bool{false, true} {
		in := install(t, sqliteFile(t))
		file := write(t, "lapsed.csv", csvHeader+"cred,rt,truelayer,mock,u,,,,2020-01-01,2020-03-31,\n")
		args := in.with("consent", "import", file, "--app", "acme")
		if announce {
			args = append(args, "--announce")
		}
		assert.Contains(t, succeeds(t, args...), "1 added")
		list := succeeds(t, in.with("consent", "list", "--app", "acme")...)
		assert.Contains(t, list, "unrenewable")
		history := succeeds(t, in.with("consent", "show", regexp.MustCompile(`con_\w+`).FindString(list), "--app", "acme")...)
		skipped := 8 // every stage of the default cadence
		if announce {
			skipped = 7
		}
		assert.Equal(t, skipped, strings.Count(history, `"skipped":true`), "%s", history)
		assert.Equal(t, !announce, strings.Contains(history, "window_end"), "the most urgent one is left to the sweep")
	}
}

// An export is what import reads: a registry can move.
func TestExportMovesARegistry(t *testing.T) {
	onEach(t, func(t *testing.T, databaseURL string) {
		in := install(t, databaseURL)
		reconsent(t, in.with("consent", "import", examplesFile, "--app", "acme")...)
		for _, format := range []string{"csv", "jsonl"} {
			out := succeeds(t, in.with("consent", "export", "--app", "acme", "--format", format, "--with-tokens")...)
			other := install(t, sqliteFile(t))
			assert.Equal(t, "288 rows: 288 added, 0 registered already, 0 bad\n",
				succeeds(t, other.with("consent", "import", write(t, "moved."+format, out), "--app", "acme")...))
			again := succeeds(t, other.with("consent", "export", "--app", "acme", "--format", format, "--with-tokens")...)
			assert.ElementsMatch(t, strings.Split(out, "\n"), strings.Split(again, "\n"))
			without := succeeds(t, other.with("consent", "export", "--app", "acme", "--format", format)...)
			token := strings.Split(strings.Split(out, "\n")[2], ",")[1]
			if format == "csv" {
				require.Greater(t, len(token), 20)
				assert.NotContains(t, without, token, "tokens stay in, unless asked for")
			}
		}
	})
}

// BenchmarkImport stores 100,000 rows. The figures stand in
// docs/performance.md.
func BenchmarkImport(b *testing.B) {
	const rows = 100_000
	var file strings.Builder
	file.WriteString(csvHeader)
	for i := range rows {
		fmt.Fprintf(&file, "cred-%d,refresh-token-%040d,truelayer,mock,user-%d,user-%d@example.org,https://app.example/callback,info accounts balance offline_access,2026-07-18T18:17:00Z,2026-10-16T18:17:00Z,\n", i, i, i/2, i/2)
	}
	path := filepath.Join(b.TempDir(), "consents.csv")
	require.NoError(b, os.WriteFile(path, []byte(file.String()), 0o600))
	for _, db := range databases {
		b.Run(db.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				in := install(b, db.url(b))
				b.StartTimer()
				require.Contains(b, succeeds(b, in.with("consent", "import", path, "--app", "acme")...), "100000 added")
			}
			b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
