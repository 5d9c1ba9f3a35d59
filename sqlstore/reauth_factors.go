package sqlstore

import (
	"context"
	"slices"
	"strings"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var (
	factorColumns = strings.Fields(`application_id user_id id kind label address ref secret last_step created_at verified_at used_at`)
	selectFactor  = `SELECT ` + columns(factorColumns) + `, (SELECT count(*) FROM backup_codes b WHERE b.application_id = :app AND b.user_id = :user
			AND b.factor_id = f.id AND b.used_at IS NULL) AS unused
		FROM factors f WHERE application_id = :app AND user_id = :user AND `
	factorByID    = both(selectFactor + `id = :id`)
	factorsOfKind = both(selectFactor + `kind = :kind ORDER BY created_at, id`)
	insertFactor  = both(insert("factors", factorColumns))
	verifyFactor  = withBytes(`UPDATE factors SET verified_at = :at, used_at = :at, secret = COALESCE(CAST(:secret AS BYTEA), secret),
			last_step = CASE WHEN CAST(:last_step AS BIGINT) > last_step THEN :last_step ELSE last_step END
		WHERE application_id = :app AND user_id = :user AND id = :id AND verified_at IS NULL`)
	stepFactor = withBytes(`UPDATE factors SET used_at = :at, secret = COALESCE(CAST(:secret AS BYTEA), secret),
			last_step = CASE WHEN CAST(:last_step AS BIGINT) > 0 THEN :last_step ELSE last_step END
		WHERE application_id = :app AND user_id = :user AND id = :id AND verified_at IS NOT NULL
			AND (CAST(:last_step AS BIGINT) = 0 OR last_step < :last_step) AND (CAST(:secret AS BYTEA) IS NULL OR secret = :was)`)
	touchFactor = both(`UPDATE factors SET used_at = :at WHERE application_id = :app AND user_id = :user AND id = :id AND verified_at IS NOT NULL`)
	dropFactor  = both(`DELETE FROM factors WHERE application_id = :app AND user_id = :user AND id = :id RETURNING verified_at`)

	backupColumns = []string{"hash"}
	insertBackups = withTable(backupColumns, `INSERT INTO backup_codes (application_id, user_id, factor_id, hash)
		SELECT :app, :user, :id, hash FROM @r`)
	backupCodes = both(`SELECT factor_id, hash, used_at FROM backup_codes WHERE application_id = :app AND user_id = :user ORDER BY factor_id, hash`)
	useBackup   = both(`UPDATE backup_codes SET used_at = :at
		WHERE application_id = :app AND user_id = :user AND factor_id = :id AND hash = :hash AND used_at IS NULL`)
	dropBackups = both(`DELETE FROM backup_codes WHERE application_id = :app AND user_id = :user AND factor_id = :id`)
)

// withBytes declares a statement that names the type of bytes.
func withBytes(text string) *statement {
	return sideBySide(text, strings.ReplaceAll(text, "BYTEA", "BLOB"))
}

type factorRow struct {
	App        string `db:"application_id"`
	UserID     string `db:"user_id"`
	ID         string `db:"id"`
	Kind       string `db:"kind"`
	Label      string `db:"label"`
	Address    string `db:"address"`
	Ref        string `db:"ref"`
	Secret     blob   `db:"secret"`
	LastStep   int64  `db:"last_step"`
	CreatedAt  stamp  `db:"created_at"`
	VerifiedAt stamp  `db:"verified_at"`
	UsedAt     stamp  `db:"used_at"`
	Left       int    `db:"unused"`
}

func (r *factorRow) factor() stepup.FactorRecord {
	return stepup.FactorRecord{
		EnrolledFactor: stepup.EnrolledFactor{
			ID: r.ID, Kind: stepup.FactorKind(r.Kind), Label: r.Label, Address: r.Address, Ref: r.Ref,
			CreatedAt: r.CreatedAt.Time, VerifiedAt: r.VerifiedAt.Time, UsedAt: r.UsedAt.Time, Left: r.Left,
		},
		ApplicationID: r.App, UserID: r.UserID, Secret: consent.Sealed(r.Secret), LastStep: r.LastStep,
	}
}

// Factor implements stepup.FactorStore.
func (s *Store) Factor(ctx context.Context, applicationID, userID, id string) (stepup.FactorRecord, error) {
	var row factorRow
	err := s.query().get(ctx, factorByID, &row, args{"app": applicationID, "user": userID, "id": id})
	return row.factor(), err
}

// FactorRecords implements stepup.FactorStore.
func (s *Store) FactorRecords(ctx context.Context, applicationID, userID string, kind stepup.FactorKind) ([]stepup.FactorRecord, error) {
	var rows []factorRow
	err := s.query().list(ctx, factorsOfKind, &rows, args{"app": applicationID, "user": userID, "kind": string(kind)})
	out := make([]stepup.FactorRecord, len(rows))
	for i := range rows {
		out[i] = rows[i].factor()
	}
	return out, err
}

// BackupCodes implements stepup.FactorStore.
func (s *Store) BackupCodes(ctx context.Context, applicationID, userID string) ([]stepup.BackupUse, error) {
	var rows []struct {
		FactorID string `db:"factor_id"`
		Hash     blob   `db:"hash"`
		UsedAt   stamp  `db:"used_at"`
	}
	err := s.query().list(ctx, backupCodes, &rows, args{"app": applicationID, "user": userID})
	out := make([]stepup.BackupUse, len(rows))
	for i, r := range rows {
		out[i] = stepup.BackupUse{FactorID: r.FactorID, Hash: r.Hash, UsedAt: r.UsedAt.Time}
	}
	return out, err
}

// ChangeFactors implements stepup.FactorStore.
func (s *Store) ChangeFactors(ctx context.Context, c stepup.FactorChange) error {
	return s.atomic(ctx, func(q query) error {
		if err := q.lockAlone(ctx, c.Who); err != nil {
			return err
		}
		for _, part := range []func(context.Context, *stepup.FactorChange) error{q.forgetRefs, q.verifyFactor, q.addFactor} {
			if err := part(ctx, &c); err != nil {
				return err
			}
		}
		counted, err := q.removeFactors(ctx, &c)
		if err != nil {
			return err
		}
		if counted || changesWhatCounts(&c) {
			everywhere := c.Who
			everywhere.SessionID = ""
			if err := q.endLive(ctx, everywhere, c.At); err != nil {
				return err
			}
		}
		return q.record(ctx, c.Log...)
	})
}

// changesWhatCounts says whether what is live has to end, whatever is removed.
func changesWhatCounts(c *stepup.FactorChange) bool {
	return c.EndsOthers || c.Verify != "" || len(c.ForgetRefs) > 0 || c.Add != nil && !c.Add.VerifiedAt.IsZero()
}

// forgetRefs takes what was proven by some refs out of all sessions.
func (q query) forgetRefs(ctx context.Context, c *stepup.FactorChange) error {
	if len(c.ForgetRefs) == 0 {
		return nil
	}
	return q.forget(ctx, c.Who, func(p reauth.Proven) bool { return slices.Contains(c.ForgetRefs, p.Ref) })
}

// forget takes some of what was proven out of all of a user's sessions.
func (q query) forget(ctx context.Context, who stepup.Who, drop func(reauth.Proven) bool) error {
	var rows []struct {
		SessionID string `db:"session_id"`
		Proven    proven `db:"proven"`
	}
	arg := whose(who)
	if err := q.list(ctx, lockSessions, &rows, arg); err != nil {
		return err
	}
	for _, r := range rows {
		left := r.Proven.without(drop)
		if len(left) == len(r.Proven) {
			continue
		}
		arg["session"], arg["proven"] = r.SessionID, left
		if _, err := q.exec(ctx, writeSession, arg); err != nil {
			return err
		}
	}
	return nil
}

// verifyFactor uses the code up that proved a factor, which counts from now on.
func (q query) verifyFactor(ctx context.Context, c *stepup.FactorChange) error {
	if c.CodeID != "" {
		if err := q.useCode(ctx, c.Who, c.CodeID, c.At); err != nil {
			return err
		}
	}
	if c.Verify == "" {
		return nil
	}
	arg := whose(c.Who)
	arg["id"], arg["at"], arg["secret"], arg["last_step"] = c.Verify, stamp{c.At}, blob(c.Secret), c.LastStep
	return q.won(ctx, verifyFactor, arg)
}

// removeFactors reports whether one of them counted. One that is gone was
// removed by somebody else.
func (q query) removeFactors(ctx context.Context, c *stepup.FactorChange) (counted bool, err error) {
	for _, id := range c.Remove {
		arg := whose(c.Who)
		arg["id"] = id
		var verified stamp
		err := q.get(ctx, dropFactor, &verified, arg)
		if isNotFound(err) {
			return false, consent.ErrClaimLost
		}
		if err != nil {
			return false, err
		}
		counted = counted || !verified.IsZero()
		if _, err := q.exec(ctx, dropBackups, arg); err != nil {
			return false, err
		}
	}
	return counted, nil
}

func (q query) addFactor(ctx context.Context, c *stepup.FactorChange) error {
	f := c.Add
	if f == nil {
		return nil
	}
	if _, err := q.exec(ctx, insertFactor, factorRow{
		App: c.ApplicationID, UserID: c.UserID, ID: f.ID, Kind: string(f.Kind), Label: f.Label, Address: f.Address, Ref: f.Ref,
		Secret: blob(f.Secret), LastStep: f.LastStep, CreatedAt: stamp{f.CreatedAt}, VerifiedAt: stamp{f.VerifiedAt}, UsedAt: stamp{f.UsedAt},
	}); err != nil {
		return err
	}
	if len(c.BackupCodes) == 0 {
		return nil
	}
	t := table{columns: backupColumns}
	for _, hash := range c.BackupCodes {
		t.add(hexBytes(hash))
	}
	own := whose(c.Who)
	own["id"] = f.ID
	arg, err := t.args(q.s.dialect, own)
	if err != nil {
		return err
	}
	_, err = q.exec(ctx, insertBackups, arg)
	return err
}
