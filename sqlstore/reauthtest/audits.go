package reauthtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var auditTests = []test{
	{"Audit/newest first, page by page", func(w *world) {
		app := w.who.ApplicationID
		var want []stepup.Audit
		for i := range 7 {
			l := line(w.who)
			l.At = at(time.Duration(i) * time.Minute)
			want = append([]stepup.Audit{l}, want...)
		}
		require.NoError(w, w.s.Record(w.Context(), want[3:]...))
		require.NoError(w, w.s.Record(w.Context(), want[:3]...))
		require.NoError(w, w.s.Record(w.Context()), "nothing to tell")
		assert.Equal(w, want, w.audit(app))
		var got []stepup.Audit
		before := ""
		for {
			page, err := w.s.ListAudit(w.Context(), app, stepup.AuditFilter{Limit: 3, Before: before})
			require.NoError(w, err)
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			before = page[len(page)-1].ID
		}
		assert.Equal(w, want, got)
	}},
	{"Audit/by user, action and time", func(w *world) {
		app, other := w.who.ApplicationID, w.user(w.who.ApplicationID)
		var all []stepup.Audit
		for i, who := range []stepup.Who{w.who, other, w.who, other} {
			for j, action := range []stepup.Action{stepup.ActionFailed, stepup.ActionLocked} {
				l := line(who)
				l.At, l.Action = at(time.Duration(2*i+j)*time.Minute), action
				all = append(all, l)
			}
		}
		require.NoError(w, w.s.Record(w.Context(), all...))
		pick := func(f stepup.AuditFilter, want ...int) {
			w.Helper()
			f.Limit = 100
			got, err := w.s.ListAudit(w.Context(), app, f)
			require.NoError(w, err)
			ids, wanted := []string{}, []string{}
			for _, l := range got {
				ids = append(ids, l.ID)
			}
			for _, i := range want {
				wanted = append(wanted, all[i].ID)
			}
			assert.Equal(w, wanted, ids)
		}
		pick(stepup.AuditFilter{}, 7, 6, 5, 4, 3, 2, 1, 0)
		pick(stepup.AuditFilter{UserID: other.UserID}, 7, 6, 3, 2)
		pick(stepup.AuditFilter{UserID: "nobody"})
		pick(stepup.AuditFilter{Actions: []stepup.Action{stepup.ActionLocked}}, 7, 5, 3, 1)
		pick(stepup.AuditFilter{Actions: []stepup.Action{stepup.ActionLocked, stepup.ActionFailed}}, 7, 6, 5, 4, 3, 2, 1, 0)
		pick(stepup.AuditFilter{Actions: []stepup.Action{"nothing"}})
		pick(stepup.AuditFilter{Since: at(2 * time.Minute), Until: at(5 * time.Minute)}, 4, 3, 2)
		pick(stepup.AuditFilter{UserID: w.who.UserID, Actions: []stepup.Action{stepup.ActionFailed}, Since: at(time.Minute), Before: all[7].ID}, 4)
	}},
	{"Audit/a line is there, for its application", func(w *world) {
		l := line(w.who)
		require.NoError(w, w.s.Record(w.Context(), l))
		for want, key := range map[bool][][2]string{
			true: {{l.ApplicationID, l.ID}}, false: {{l.ApplicationID, "nothing"}, {"app_other", l.ID}, {l.ApplicationID, ""}, {l.ApplicationID, "nul \x00"}, {l.ApplicationID, "\xff"}},
		} {
			for _, k := range key {
				there, err := w.s.HasAudit(w.Context(), k[0], k[1])
				require.NoError(w, err)
				assert.Equal(w, want, there, "%q", k)
			}
		}
	}},
	{"Audit/an id is used once, and lines come together or not at all", func(w *world) {
		l := line(w.who)
		require.NoError(w, w.s.Record(w.Context(), l))
		require.ErrorIs(w, w.s.Record(w.Context(), line(w.who), l), consent.ErrExists)
		assert.Equal(w, []stepup.Audit{l}, w.audit(w.who.ApplicationID))
	}},
	{"Audit/of a user, while there is one", func(w *world) {
		app := w.who.ApplicationID
		l := line(w.who)
		require.NoError(w, w.s.RecordOfUser(w.Context(), app, w.who.UserID, l))
		require.ErrorIs(w, w.s.RecordOfUser(w.Context(), app, "nobody", line(w.who)), consent.ErrNotFound)
		require.ErrorIs(w, w.s.RecordOfUser(w.Context(), "app_other", w.who.UserID, line(w.who)), consent.ErrNotFound)
		assert.Equal(w, []stepup.Audit{l}, w.audit(app))
	}},
	{"Audit/is not lost for what somebody sent", func(w *world) {
		l := line(w.who)
		l.DeviceID, l.Operation = "nul \x00 inside", "bad \xff utf8"
		require.NoError(w, w.s.Record(w.Context(), l))
		l.DeviceID, l.Operation = "nul \uFFFD inside", "bad \uFFFD utf8"
		assert.Equal(w, []stepup.Audit{l}, w.audit(w.who.ApplicationID))
	}},
}
