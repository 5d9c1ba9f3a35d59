package sqlstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

var (
	proofColumns = strings.Fields(`application_id id user_id session_id level operation digest created_at expires_at used_at ended_at`)
	insertProof  = both(insert("proofs", proofColumns))
	proofByID    = both(`SELECT ` + columns(proofColumns) + ` FROM proofs WHERE application_id = :app AND id = :id`)
	useProof     = both(`UPDATE proofs SET used_at = :at WHERE application_id = :app AND id = :id
		AND used_at IS NULL AND ended_at IS NULL AND expires_at > :at`)

	stepTokenColumns = strings.Fields(`application_id hash kind user_id session_id device_id factor ref proven_at created_at expires_at used_at ended_at`)
	insertStepToken  = both(insert("step_tokens", stepTokenColumns))
	stepTokenByHash  = both(`SELECT ` + columns(stepTokenColumns) + ` FROM step_tokens WHERE application_id = :app AND hash = :hash AND kind = :kind`)
	useStepToken     = both(`UPDATE step_tokens SET used_at = :at WHERE application_id = :app AND hash = :hash
		AND user_id = :user AND session_id = :session AND used_at IS NULL AND ended_at IS NULL AND expires_at > :at`)

	// An answer that nobody may be given any more makes room.
	keepAnswer = both(`INSERT INTO proof_answers (application_id, key, request, answer, at) VALUES (:application_id, :key, :request, :answer, :at)
		ON CONFLICT (application_id, key) DO UPDATE SET request = excluded.request, answer = excluded.answer, at = excluded.at
		WHERE proof_answers.at <= :old`)
	answered = both(`SELECT application_id, key, request, answer, at FROM proof_answers WHERE application_id = :app AND key = :key AND at > :since`)
)

type proofRow struct {
	App       string `db:"application_id"`
	ID        string `db:"id"`
	UserID    string `db:"user_id"`
	SessionID string `db:"session_id"`
	Level     string `db:"level"`
	Operation string `db:"operation"`
	Digest    string `db:"digest"`
	CreatedAt stamp  `db:"created_at"`
	ExpiresAt stamp  `db:"expires_at"`
	UsedAt    stamp  `db:"used_at"`
	EndedAt   stamp  `db:"ended_at"`
}

func proofRowOf(p *stepup.ProofRecord) proofRow {
	return proofRow{
		App: p.ApplicationID, ID: p.ID, UserID: p.UserID, SessionID: p.SessionID, Level: p.Level, Operation: p.Operation, Digest: p.Digest,
		CreatedAt: stamp{p.CreatedAt}, ExpiresAt: stamp{p.ExpiresAt}, UsedAt: stamp{p.UsedAt}, EndedAt: stamp{p.EndedAt},
	}
}

// Proof implements stepup.Proofs.
func (s *Store) Proof(ctx context.Context, applicationID, id string) (stepup.ProofRecord, error) {
	var r proofRow
	err := s.query().get(ctx, proofByID, &r, args{"app": applicationID, "id": id})
	return stepup.ProofRecord{
		Who: stepup.Who{ApplicationID: r.App, UserID: r.UserID, SessionID: r.SessionID}, ID: r.ID, Level: r.Level, Operation: r.Operation, Digest: r.Digest,
		CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time, UsedAt: r.UsedAt.Time, EndedAt: r.EndedAt.Time,
	}, err
}

// UseProof implements stepup.Proofs.
func (s *Store) UseProof(ctx context.Context, applicationID, id string, at time.Time, a stepup.Answer, log ...stepup.Audit) error {
	err := s.atomic(ctx, func(q query) error {
		if err := q.won(ctx, useProof, args{"app": applicationID, "id": id, "at": stamp{at}}); err != nil {
			return err
		}
		if a.Key != "" {
			if err := q.keepAnswer(ctx, &a); err != nil {
				return err
			}
		}
		return q.record(ctx, log...)
	})
	if errors.Is(err, consent.ErrClaimLost) {
		if _, err := s.Proof(ctx, applicationID, id); err != nil {
			return err
		}
	}
	return err
}

type stepTokenRow struct {
	App       string `db:"application_id"`
	Hash      blob   `db:"hash"`
	Kind      string `db:"kind"`
	UserID    string `db:"user_id"`
	SessionID string `db:"session_id"`
	DeviceID  string `db:"device_id"`
	Factor    string `db:"factor"`
	Ref       string `db:"ref"`
	ProvenAt  stamp  `db:"proven_at"`
	CreatedAt stamp  `db:"created_at"`
	ExpiresAt stamp  `db:"expires_at"`
	UsedAt    stamp  `db:"used_at"`
	EndedAt   stamp  `db:"ended_at"`
}

func stepTokenRowOf(t *stepup.StepToken) stepTokenRow {
	return stepTokenRow{
		App: t.ApplicationID, Hash: t.Hash, Kind: string(t.Kind), UserID: t.UserID, SessionID: t.SessionID, DeviceID: t.DeviceID,
		Factor: string(t.Factor), Ref: t.Ref, ProvenAt: stamp{t.ProvenAt}, CreatedAt: stamp{t.CreatedAt}, ExpiresAt: stamp{t.ExpiresAt},
		UsedAt: stamp{t.UsedAt}, EndedAt: stamp{t.EndedAt},
	}
}

// StepToken implements stepup.Proofs.
func (s *Store) StepToken(ctx context.Context, applicationID string, kind stepup.StepKind, hash []byte) (stepup.StepToken, error) {
	var r stepTokenRow
	err := s.query().get(ctx, stepTokenByHash, &r, args{"app": applicationID, "kind": string(kind), "hash": blob(hash)})
	return stepup.StepToken{
		Who: stepup.Who{ApplicationID: r.App, UserID: r.UserID, SessionID: r.SessionID}, Hash: r.Hash, Kind: stepup.StepKind(r.Kind), DeviceID: r.DeviceID,
		Factor: reauth.Factor(r.Factor), Ref: r.Ref, ProvenAt: r.ProvenAt.Time, CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time,
		UsedAt: r.UsedAt.Time, EndedAt: r.EndedAt.Time,
	}, err
}

type answerRow struct {
	App     string `db:"application_id"`
	Key     string `db:"key"`
	Request blob   `db:"request"`
	Answer  string `db:"answer"`
	At      stamp  `db:"at"`
}

// keepAnswer keeps an answer for its key, or answers ErrClaimLost where another
// is there that still counts.
func (q query) keepAnswer(ctx context.Context, a *stepup.Answer) error {
	n, err := q.exec(ctx, keepAnswer, struct {
		answerRow
		Old stamp `db:"old"`
	}{answerRow{a.ApplicationID, a.Key, a.Request, a.Text, stamp{a.At}}, stamp{a.At.Add(-stepup.AnswerFor)}})
	if err == nil && n == 0 {
		return consent.ErrClaimLost
	}
	return err
}

// Answered implements stepup.Proofs.
func (s *Store) Answered(ctx context.Context, applicationID, key string, since time.Time) (stepup.Answer, error) {
	var r answerRow
	err := s.query().get(ctx, answered, &r, args{"app": applicationID, "key": key, "since": stamp{since}})
	return stepup.Answer{ApplicationID: r.App, Key: r.Key, Request: r.Request, Text: r.Answer, At: r.At.Time}, err
}
