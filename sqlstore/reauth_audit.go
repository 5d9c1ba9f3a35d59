package sqlstore

import (
	"context"
	"errors"
	"strings"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var (
	auditColumns = strings.Fields(`application_id id at user_id session_id device_id ip_prefix action reason factor level operation subject`)
	insertAudit  = withTable(auditColumns, `INSERT INTO audit (`+columns(auditColumns)+`) SELECT `+columns(auditColumns)+` FROM @r WHERE TRUE`)
	listAudit    = sideBySide(auditPage("", onePostgresAction), auditPage("", oneSQLiteAction))
	auditOfUser  = sideBySide(auditPage("user_id = :user AND ", onePostgresAction), auditPage("user_id = :user AND ", oneSQLiteAction))

	auditLine = both(`SELECT id FROM audit WHERE application_id = :app AND id = :id`)

	// The triggers let this pass.
	pseudonymAudit = both(`UPDATE audit SET user_id = :pseudonym, session_id = '', device_id = '', ip_prefix = ''
		WHERE application_id = :app AND user_id = :id`)
)

const (
	onePostgresAction = `action = ANY(CAST(:ids AS TEXT[]))`
	oneSQLiteAction   = `action IN (SELECT value FROM json_each(:ids))`
)

func auditPage(whose, oneAction string) string {
	return `SELECT ` + columns(auditColumns) + ` FROM audit WHERE application_id = :app AND ` + whose + `id < :before
		AND at >= :since AND at < :until AND (CAST(:any AS INTEGER) = 1 OR ` + oneAction + `) ORDER BY id DESC LIMIT :limit`
}

// lastID comes after every id.
const lastID = "\U0010FFFF"

type auditRow struct {
	App       string `db:"application_id"`
	ID        string `db:"id"`
	At        stamp  `db:"at"`
	UserID    string `db:"user_id"`
	SessionID string `db:"session_id"`
	DeviceID  string `db:"device_id"`
	IPPrefix  string `db:"ip_prefix"`
	Action    string `db:"action"`
	Reason    string `db:"reason"`
	Factor    string `db:"factor"`
	Level     string `db:"level"`
	Operation string `db:"operation"`
	Subject   string `db:"subject"`
}

// legible is text as every database keeps it: a line is not lost because of what
// somebody sent.
func legible(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// record writes lines of audit, in the transaction of what they tell of.
func (q query) record(ctx context.Context, lines ...stepup.Audit) error {
	if len(lines) == 0 {
		return nil
	}
	t := table{columns: auditColumns}
	for i := range lines {
		l := &lines[i]
		t.add(l.ApplicationID, l.ID, stamp{l.At}.micros(), legible(l.UserID), legible(l.SessionID), legible(l.DeviceID), legible(l.IPPrefix),
			string(l.Action), legible(l.Reason), legible(string(l.Factor)), legible(l.Level), legible(l.Operation), legible(l.Subject))
	}
	arg, err := t.args(q.s.dialect, args{})
	if err != nil {
		return err
	}
	_, err = q.exec(ctx, insertAudit, arg)
	return err
}

// Record implements stepup.AuditLog.
func (s *Store) Record(ctx context.Context, lines ...stepup.Audit) error {
	return s.query().record(ctx, lines...)
}

// RecordOfUser implements stepup.AuditLog.
func (s *Store) RecordOfUser(ctx context.Context, applicationID, userID string, lines ...stepup.Audit) error {
	return s.atomic(ctx, func(q query) error {
		if err := q.hold(ctx, stepup.Who{ApplicationID: applicationID, UserID: userID}); err != nil {
			return err
		}
		return q.record(ctx, lines...)
	})
}

// HasAudit implements stepup.AuditLog.
func (s *Store) HasAudit(ctx context.Context, applicationID, id string) (bool, error) {
	var found string
	err := s.query().get(ctx, auditLine, &found, args{"app": applicationID, "id": id})
	if errors.Is(err, consent.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// ListAudit implements stepup.AuditLog.
func (s *Store) ListAudit(ctx context.Context, applicationID string, f stepup.AuditFilter) ([]stepup.Audit, error) {
	actions := make([]string, len(f.Actions))
	for i, a := range f.Actions {
		actions[i] = string(a)
	}
	arg := args{
		"app": applicationID, "user": f.UserID, "before": f.Before, "since": int64(minMicros), "until": int64(afterAll),
		"ids": keys(s.dialect, actions), "any": 0, "limit": f.Limit,
	}
	if len(actions) == 0 {
		arg["any"] = 1
	}
	if f.Before == "" {
		arg["before"] = lastID
	}
	if !f.Since.IsZero() {
		arg["since"] = f.Since.UnixMicro()
	}
	if !f.Until.IsZero() {
		arg["until"] = f.Until.UnixMicro()
	}
	st := listAudit
	if f.UserID != "" {
		st = auditOfUser
	}
	var rows []auditRow
	err := s.query().list(ctx, st, &rows, arg)
	out := make([]stepup.Audit, len(rows))
	for i, r := range rows {
		out[i] = stepup.Audit{
			ApplicationID: r.App, ID: r.ID, At: r.At.Time, UserID: r.UserID, SessionID: r.SessionID, DeviceID: r.DeviceID, IPPrefix: r.IPPrefix,
			Action: stepup.Action(r.Action), Reason: r.Reason, Factor: reauth.Factor(r.Factor), Level: r.Level, Operation: r.Operation, Subject: r.Subject,
		}
	}
	return out, err
}
