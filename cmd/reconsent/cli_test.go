package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBadUsageExits2WithOneClearLine(t *testing.T) {
	db := "sqlite:" + filepath.Join(t.TempDir(), "registry.db")
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"unknown command", []string{"renew"}, `unknown command "renew"`},
		{"unknown flag", []string{"dev", "--fast"}, "unknown flag: --fast"},
		{"a command that needs another", []string{"consent"}, "reconsent consent needs one of its commands"},
		{"too many arguments", []string{"version", "now"}, `unknown command "now"`},
		{"too few arguments", []string{"consent", "import", "--app", "acme"}, "accepts 1 arg(s), received 0"},
		{"nothing configured", []string{"serve"}, "--database-url (RECONSENT_DATABASE_URL): want postgres://... or sqlite:PATH; --keys (RECONSENT_KEYS): missing"},
		{"database of another kind", []string{"migrate", "up", "--database-url", "mysql://x"}, "want postgres://... or sqlite:PATH"},
		{"keys that are none", []string{"doctor", "--database-url", db, "--keys", "{}"}, "--keys (RECONSENT_KEYS): "},
		{"no address", []string{"serve", "--database-url", db, "--addr", "8080"}, "want host:port"},
		{"base URL with a path", []string{"serve", "--database-url", db, "--base-url", "https://a.example/x"}, "without path or query"},
		{"proxies", []string{"serve", "--database-url", db, "--trusted-proxies", "10.0.0.0/8, somewhere"}, `--trusted-proxies (RECONSENT_TRUSTED_PROXIES): "somewhere" is neither an address nor a network`},
		{"lines of audit", []string{"audit", "--database-url", db, "--since", "soon"}, "--"},
		{"log level", []string{"dev", "--log-level", "loud"}, "--log-level: want debug, info, warn or error"},
		{"database of dev", []string{"dev", "--database-url", "file.db"}, "--database-url: want postgres://... or sqlite:PATH"},
		{"configuration file that is not there", []string{"serve", "--config", "/nowhere/reconsent.yaml"}, "--config /nowhere/reconsent.yaml"},
		{"format", []string{"consent", "export", "--format", "xml"}, "--"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := reconsent(t, tt.args...)
			assert.Equal(t, exitUsage, r.code)
			assert.Contains(t, r.err, tt.want)
			assert.True(t, strings.HasPrefix(r.err, "reconsent: "), r.err)
			assert.Equal(t, 1, strings.Count(r.err, "\n"), r.err)
			assert.Empty(t, r.out)
		})
	}
}

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	keys := write("keys.json", succeeds(t, "keys", "new"))
	there, missing := "sqlite:"+filepath.Join(dir, "there.db"), "sqlite:"+filepath.Join(dir, "no", "such", "directory.db")
	file := write("reconsent.yaml", "database-url: "+missing+"\n")

	r := reconsent(t, "migrate", "up", "--config", file)
	assert.Equal(t, exitFailed, r.code, "the file is read")
	t.Setenv("RECONSENT_DATABASE_URL", there)
	assert.Contains(t, succeeds(t, "migrate", "up", "--config", file), "applied", "the environment wins over the file")
	t.Setenv("RECONSENT_DATABASE_URL", missing)
	assert.Contains(t, succeeds(t, "migrate", "status", "--config", file, "--database-url", there), "applied", "a flag wins over both")
	t.Setenv("RECONSENT_DATABASE_URL", "")
	t.Setenv("RECONSENT_DATABASE_URL_FILE", write("url", there+"\n"))
	assert.Contains(t, succeeds(t, "migrate", "status"), "applied", "any setting can come from a file of its own")

	t.Setenv("RECONSENT_KEYS_FILE", keys)
	assert.Contains(t, succeeds(t, "app", "list"), "SHORT NAME")
	t.Setenv("RECONSENT_KEYS_FILE", filepath.Join(dir, "gone.json"))
	r = reconsent(t, "app", "list")
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.err, "RECONSENT_KEYS_FILE")

	r = reconsent(t, "serve", "--config", write("odd.yaml", "data-base: x\naddr: y\nlog-level: z\n"))
	assert.Equal(t, exitUsage, r.code)
	for _, fault := range []string{"data-base: no such setting", "--addr", "--log-level", "RECONSENT_KEYS_FILE"} {
		assert.Contains(t, r.err, fault, "every fault is reported at once")
	}
}

func TestMigrateTellsWhatIsMissing(t *testing.T) {
	onEach(t, func(t *testing.T, databaseURL string) {
		assert.Contains(t, succeeds(t, "migrate", "status", "--database-url", databaseURL), "missing  00001_registry.sql")
		assert.Contains(t, succeeds(t, "migrate", "up", "--database-url", databaseURL), "applied  00001_registry.sql")
		assert.Contains(t, succeeds(t, "migrate", "up", "--database-url", databaseURL), "applied  00001_registry.sql", "twice is no harm")
	})
}

func TestServeRefusesASchemaThatIsNotThere(t *testing.T) {
	onEach(t, func(t *testing.T, databaseURL string) {
		keys := succeeds(t, "keys", "new")
		r := reconsent(t, "serve", "--database-url", databaseURL, "--keys", keys, "--addr", "127.0.0.1:0")
		assert.Equal(t, exitFailed, r.code)
		assert.Contains(t, r.err, "reconsent migrate up")
		assert.Equal(t, 1, strings.Count(r.err, "\n"), r.err)
	})
}

func TestServeAnswersAndDrains(t *testing.T) {
	onEach(t, func(t *testing.T, databaseURL string) {
		in := install(t, databaseURL)
		p := start(t, in.with("serve", "--addr", "127.0.0.1:0")...)
		var said struct {
			Addr string `json:"addr"`
		}
		require.Eventually(t, func() bool { return json.Unmarshal([]byte(p.errs.String()), &said) == nil && said.Addr != "" }, waitLong, waitStep)
		ask(t, http.MethodGet, "http://"+said.Addr+"/readyz", "", "", http.StatusOK, nil)
		ask(t, http.MethodGet, "http://"+said.Addr+"/v1/consents", in.key, "", http.StatusOK, nil)
		ask(t, http.MethodGet, "http://"+said.Addr+"/v1/consents", "", "", http.StatusUnauthorized, nil)
		p.stop()
		assert.NotContains(t, p.errs.String(), in.key)
	})
}

func TestAPIKeysAreListedMadeAndRevoked(t *testing.T) {
	in := install(t, sqliteFile(t))
	var made struct {
		ID     string `json:"id"`
		APIKey string `json:"api_key"`
	}
	require.NoError(t, json.Unmarshal([]byte(succeeds(t, in.with("app", "keys", "new", "ci", "--app", "acme")...)), &made))
	list := succeeds(t, in.with("app", "keys", "list", "--app", "acme")...)
	assert.Contains(t, list, made.ID)
	assert.NotContains(t, list, made.APIKey, "a key is shown once")

	p := start(t, in.with("serve", "--addr", "127.0.0.1:0")...)
	var said struct {
		Addr string `json:"addr"`
	}
	require.Eventually(t, func() bool { return json.Unmarshal([]byte(p.errs.String()), &said) == nil && said.Addr != "" }, waitLong, waitStep)
	url := "http://" + said.Addr + "/v1/consents"
	ask(t, http.MethodGet, url, made.APIKey, "", http.StatusOK, nil)
	succeeds(t, in.with("app", "keys", "revoke", made.ID, "--app", "acme")...)
	ask(t, http.MethodGet, url, made.APIKey, "", http.StatusUnauthorized, nil)
	ask(t, http.MethodGet, url, in.key, "", http.StatusOK, nil)

	r := reconsent(t, in.with("app", "keys", "revoke", "key_none", "--app", "acme")...)
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.err, `has no API key "key_none"`)
	r = reconsent(t, in.with("consent", "list", "--app", "nobody")...)
	assert.Equal(t, exitUsage, r.code)
	assert.Contains(t, r.err, `no application "nobody"`)
}

func TestKeysRotateKeepsWhatIsSealedReadable(t *testing.T) {
	in := install(t, sqliteFile(t))
	assert.Contains(t, succeeds(t, in.with("doctor")...), "provider truelayer: settings can be opened")
	rotated := filepath.Join(t.TempDir(), "rotated.json")
	require.NoError(t, os.WriteFile(rotated, []byte(succeeds(t, in.with("keys", "rotate")...)), 0o600))
	t.Setenv("RECONSENT_KEYS_FILE", rotated)
	assert.Contains(t, succeeds(t, in.with("doctor")...), "provider truelayer: settings can be opened")

	t.Setenv("RECONSENT_KEYS_FILE", "")
	r := reconsent(t, in.with("doctor", "--keys", succeeds(t, "keys", "new"))...)
	assert.Equal(t, exitFailed, r.code, "other keys are found out")
	assert.Contains(t, r.out, "FAIL  application acme, provider truelayer")
}

func TestDoctorNamesWhatIsRisky(t *testing.T) {
	in := install(t, sqliteFile(t))
	succeeds(t, in.with("app", "create", "loose", "--no-confirm-links")...)
	out := succeeds(t, in.with("doctor", "--base-url", "http://consents.example")...)
	for _, want := range []string{
		"WARN  base URL http://consents.example: not https", "WARN  database: SQLite serves one process",
		"WARN  application loose: confirm_links is off", "application loose: no provider", "application loose: allows no redirect_uri",
	} {
		assert.Contains(t, out, want)
	}
	assert.NotContains(t, out, "application acme: confirm_links")

	r := reconsent(t, in.with("doctor", "--database-url", sqliteFile(t))...)
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.out, "migrations are missing; run 'reconsent migrate up'")
}

func TestEveryApplicationFaultAtOnce(t *testing.T) {
	in := install(t, sqliteFile(t))
	r := reconsent(t, in.with("app", "create", "Not A Slug", "--name", "x\x00y", "--redirect-uri", "//evil.example", "--return-to", "https://u@h.example")...)
	assert.Equal(t, exitUsage, r.code)
	for _, want := range []string{"short name", "name:", "//evil.example", "https://u@h.example"} {
		assert.Contains(t, r.err, want)
	}
	assert.Equal(t, 1, strings.Count(r.err, "\n"))
	r = reconsent(t, in.with("app", "create", "half", "--provider", "truelayer")...)
	assert.Equal(t, exitUsage, r.code)
	assert.Equal(t, 1, strings.Count(r.err, "\n"), r.err)
	assert.NotContains(t, succeeds(t, in.with("app", "list")...), "half", "all or nothing")
	succeeds(t, in.with("app", "create", "half")...)
	assert.Contains(t, succeeds(t, in.with("app", "provider", "truelayer", "--app", "half", "--client-id", "a", "--client-secret", "b")...), "stored")
	r = reconsent(t, in.with("app", "provider", "nobody", "--app", "half")...)
	assert.Equal(t, exitUsage, r.code)
	r = reconsent(t, in.with("app", "create", "acme")...)
	assert.Equal(t, exitUsage, r.code, "a short name that is taken")
}

func TestVersionAndHelp(t *testing.T) {
	assert.Equal(t, "dev\n", succeeds(t, "version"))
	assert.Contains(t, succeeds(t), "keeps a registry of bank consents")
	assert.Contains(t, succeeds(t, "consent", "import", "--help"), "Bad rows are named by line and reason")
}
