package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
	"github.com/reconsent/reconsent/sqlstore"
)

// audited writes lines of audit, a minute apart, ids in their order.
func audited(t *testing.T, url, slug string, from int, lines ...stepup.Audit) {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	app, err := store.ApplicationBySlug(t.Context(), slug)
	require.NoError(t, err)
	for i := range lines {
		l := &lines[i]
		l.ApplicationID, l.ID, l.At = app.ID, fmt.Sprintf("%08d", from+i), time.Date(2026, 3, 1, 12, from+i, 0, 0, time.UTC)
	}
	for page := range slices.Chunk(lines, 100) {
		require.NoError(t, store.Record(t.Context(), page...))
	}
}

// auditOf reads the audit as JSON lines.
func auditOf(t *testing.T, in installation, args ...string) []auditJSON {
	t.Helper()
	var list []auditJSON
	for s := bufio.NewScanner(strings.NewReader(succeeds(t, in.with(append([]string{"audit", "--json"}, args...)...)...))); s.Scan(); {
		var l auditJSON
		require.NoError(t, json.Unmarshal(s.Bytes(), &l))
		list = append(list, l)
	}
	return list
}

func subjects(list []auditJSON) string {
	var all []string
	for _, l := range list {
		all = append(all, l.Subject)
	}
	return strings.Join(all, " ")
}

func TestAudit(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		in := install(t, url)
		succeeds(t, in.with("app", "create", "other")...)
		audited(t, url, "acme", 1,
			stepup.Audit{UserID: "ada", SessionID: "s1", Action: stepup.ActionCodeSent, Factor: reauth.EmailCode, Subject: "a1", IPPrefix: "192.0.2.0/24"},
			stepup.Audit{UserID: "ada", Action: stepup.ActionFailed, Reason: "wrong_code", Subject: "a2"},
			stepup.Audit{UserID: "bob\x1b[2J", Action: stepup.ActionLocked, Subject: "a3"})
		audited(t, url, "other", 3, stepup.Audit{UserID: "ada", Action: stepup.ActionFailed, Subject: "o3"}, stepup.Audit{UserID: "eve", Action: stepup.ActionProofUsed, Level: "sca", Operation: "pay", Subject: "o4"})

		assert.Equal(t, "o4 a3 o3 a2 a1", strings.Replace(subjects(auditOf(t, in)), "o3 a3", "a3 o3", 1), "newest first, over all applications")
		assert.Equal(t, "a3 a2 a1", subjects(auditOf(t, in, "--app", "acme")))
		assert.Equal(t, "o3 a2 a1", subjects(auditOf(t, in, "--user", "ada")))
		assert.Equal(t, "o3 a2", subjects(auditOf(t, in, "--action", "factor.failed")))
		assert.Equal(t, "o4 a3", subjects(auditOf(t, in, "--action", "locked,proof.used")))
		assert.Equal(t, "o4", subjects(auditOf(t, in, "--limit", "1")))
		assert.Equal(t, "a3 a2", subjects(auditOf(t, in, "--app", "acme", "--since", "2026-03-01T12:02:00Z")))
		assert.Equal(t, "a1", subjects(auditOf(t, in, "--app", "acme", "--until", "2026-03-01T12:02:00Z")))
		assert.Empty(t, auditOf(t, in, "--until", "2026-03-01"))
		assert.Equal(t, "other", auditOf(t, in)[0].Application)

		for _, bad := range []string{"factor.fail", "locked,proof.use", "LOCKED", " locked"} {
			r := reconsent(t, in.with("audit", "--action", bad)...)
			assert.Equal(t, exitUsage, r.code, bad)
			assert.Contains(t, r.err, "code.sent, code.unsent, ", "what there is")
		}

		table := succeeds(t, in.with("audit", "--app", "acme")...)
		assert.Regexp(t, `(?m)^AT +APPLICATION +USER +ACTION +REASON +ABOUT$`, table)
		assert.Regexp(t, `(?m)^2026-03-01T12:02:00Z +acme +ada +factor\.failed +wrong_code +-$`, table)
		assert.Regexp(t, `(?m)^2026-03-01T12:01:00Z +acme +ada +code\.sent +- +email_code$`, table)
		assert.NotContains(t, table, "\x1b", "what somebody sent does not reach the terminal")
	})
}

// TestAuditFitsALine: the table is read on a terminal; JSON keeps everything.
func TestAuditFitsALine(t *testing.T) {
	url := sqliteFile(t)
	in := install(t, url)
	slug := "a-" + strings.Repeat("long-", 5) + "name"
	succeeds(t, in.with("app", "create", slug)...)
	id := strings.Repeat("ü", 200)
	audited(t, url, slug, 1, stepup.Audit{
		UserID: id, SessionID: id, DeviceID: id, IPPrefix: "2001:db8:ffff::/48", Action: stepup.ActionCompleted, Reason: strings.Repeat("reason ", 9),
		Level: strings.Repeat("l", 40), Operation: strings.Repeat("o", 100), Subject: id,
	}, stepup.Audit{UserID: "ada", Action: stepup.ActionProofUsed, Level: "sca", Operation: "pay", Reason: "code"}, stepup.Audit{UserID: "ada\u202e", Action: stepup.ActionChallenged, Level: "strict"})
	table := succeeds(t, in.with("audit")...)
	widest := 0
	for line := range strings.SplitSeq(table, "\n") {
		widest = max(widest, utf8.RuneCountInString(line))
	}
	assert.Equal(t, 120, widest, "%s", table)
	assert.Contains(t, table, "üü…  reverification.completed  ", "what is cut shows it")
	assert.Regexp(t, `(?m) ada +proof\.used +code +pay$`, table)
	assert.Regexp(t, `(?m) ada\\u202e +challenged +- +strict$`, table)
	assert.Equal(t, id, auditOf(t, in)[2].UserID)
}

func TestAuditPagesThrough(t *testing.T) {
	url := sqliteFile(t)
	in := install(t, url)
	const lines = 2*auditPage + 7
	all := make([]stepup.Audit, lines)
	for i := range all {
		all[i] = stepup.Audit{UserID: "ada", Action: stepup.ActionChallenged, Subject: fmt.Sprint(i)}
	}
	audited(t, url, "acme", 1, all...)
	list := auditOf(t, in, "--limit", "0")
	require.Len(t, list, lines)
	for i, l := range list {
		require.Equal(t, fmt.Sprint(lines-1-i), l.Subject)
	}
	assert.Len(t, auditOf(t, in), 50)
	assert.Len(t, auditOf(t, in, "--limit", fmt.Sprint(auditPage+1)), auditPage+1)
	assert.Equal(t, lines+1, strings.Count(succeeds(t, in.with("audit", "--limit", "0")...), "\n"))
}

func TestMomentsAreReadAsPeopleWriteThem(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "24h": now.Add(-24 * time.Hour), "2026-03-01": time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), "2026-03-01T10:00:00Z": time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
	} {
		got, err := momentOf(text, now)
		require.NoError(t, err, text)
		assert.True(t, want.Equal(got), text)
	}
	for _, bad := range []string{"yesterday", "-1h", "12:00"} {
		_, err := momentOf(bad, now)
		assert.Error(t, err, bad)
	}
}
