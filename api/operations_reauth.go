package api

import (
	"net/http"
	"slices"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// byToken are the codes of every call that a user makes.
var byToken = []consent.Code{
	stepup.CodeTokenMissing, stepup.CodeTokenInvalid, stepup.CodeApplicationUnknown, stepup.CodeSessionMissing, stepup.CodeUserUnknown,
	stepup.CodeIdentityUnavailable, consent.CodeRateLimited,
}

// guessing are the codes of every call by which a secret can be guessed at.
var guessing = []consent.Code{stepup.CodeFactorIncorrect, stepup.CodeCodeExpired, stepup.CodeLocked, stepup.CodeProofUsed}

// sending are the codes of every call that sends one.
var sending = []consent.Code{stepup.CodeSendLimited, stepup.CodeAddressMissing}

// underWay are the codes of every call about a reverification.
var underWay = []consent.Code{stepup.CodeReverificationNotFound, stepup.CodeReverificationEnded}

// ofLevel are the codes of every call that names a level or an operation.
var ofLevel = []consent.Code{reauth.CodeLevelInvalid, stepup.CodeOperationUnknown}

// forChange are the codes of every call that changes factors.
var forChange = []consent.Code{reauth.CodeReverificationRequired, stepup.CodeProofUsed}

// fresh is GET /reauthenticate, at one of its two addresses.
func fresh(path, id, summary string) operation {
	return operation{
		method: http.MethodGet, path: path, id: id, summary: summary,
		about: aboutReauthenticate, query: reauthenticateQuery{}, status: http.StatusOK, reply: Fresh{}, user: (*Server).reauthenticate,
		codes: slices.Concat(byToken, ofLevel, sending, []consent.Code{reauth.CodeReverificationRequired}),
	}
}

const aboutReauthenticate = `Says whether the user has proven enough, recently enough: 200 with valid_until, else 403 with what is missing (RFC 9457, RFC 9470, and the hint of Clerk's client in one). ` +
	`It never creates or uses up a proof. Ten calls in any five minutes for a user. With x-supabase-api-version a user who is not fresh is sent a code instead.`

const aboutBegin = `Begins a user on the way to a level. Prove the factors that the status asks for with prepare and attempt; the last one returns a signed proof. ` +
	`A backend may begin it for a user with its API key: for a payment it then says what is paid.`

// Operations of users who prove themselves again (reauth-wire.md).
var reauthOperations = []operation{
	fresh("/reauthenticate", "reauthenticate", "Has the user proven enough, recently enough?"),
	fresh(cloudBaseGet, "reauthenticateLong", "Has the user proven enough? (long address)"),
	{
		method: http.MethodPost, path: cloudBase + "user/reauthenticate", id: "sendReauthenticationCode", summary: "Send the user a code",
		about: "Six digits, good for 300 seconds and one use in POST /v1/proofs/verify.",
		body:  SendRequest{}, status: http.StatusOK, reply: Nothing{}, user: (*Server).sendReauthentication, vendor: true,
		codes: slices.Concat(byToken, sending),
	},
	{
		method: http.MethodPost, path: cloudBase + "verification", id: "sendVerificationCode", summary: "Send a code to an address of the user's",
		about: "An address that is not the user's gets the same answer, and no code.",
		body:  VerificationRequest{}, status: http.StatusOK, reply: VerificationSent{}, user: (*Server).sendVerification, vendor: true,
		codes: slices.Concat(byToken, []consent.Code{stepup.CodeSendLimited}),
	},
	{
		method: http.MethodPost, path: cloudBase + "verification/verify", id: "verifyCode", summary: "Turn a code into a verification token",
		about: "Needs no token of a user: the id is the capability.",
		body:  VerificationAnswer{}, status: http.StatusOK, reply: VerificationPassed{}, open: (*Server).verify, vendor: true,
		codes: slices.Concat(guessing, []consent.Code{stepup.CodeUserUnknown, stepup.CodeProofMismatch}),
	},
	{
		method: http.MethodPost, path: cloudBase + "user/sudo", id: "sudo", summary: "Turn a password or a verification token into a sudo token",
		about: "The sudo token is good for 900 seconds and one use in POST /v1/proofs/verify.",
		body:  SudoRequest{}, status: http.StatusOK, reply: SudoPassed{}, user: (*Server).sudo, vendor: true,
		codes: slices.Concat(byToken, guessing, []consent.Code{stepup.CodeProofInvalid}),
	},
	{
		method: http.MethodPost, path: "/v1/reverifications", id: "beginReverification", summary: "Begin a reverification",
		about: aboutBegin, body: NewReverification{}, status: http.StatusCreated, reply: Reverification{}, open: (*Server).beginReverification, eitherKey: true,
		codes: slices.Concat(byToken, ofLevel, []consent.Code{stepup.CodeNoFactorAvailable, consent.CodeUserNotFound}),
	},
	{
		method: http.MethodGet, path: "/v1/reverifications/{id}", id: "getReverification", summary: "Look at a reverification",
		about: "Once it is complete it carries the proof, while that is good.", status: http.StatusOK, reply: Reverification{}, user: (*Server).getReverification,
		codes: slices.Concat(byToken, underWay),
	},
	{
		method: http.MethodPost, path: "/v1/reverifications/{id}/prepare", id: "prepareReverification", summary: "Have a code sent, or a challenge made",
		body: PrepareRequest{}, status: http.StatusOK, reply: Reverification{}, user: (*Server).prepareReverification,
		codes: slices.Concat(byToken, underWay, []consent.Code{stepup.CodeStrategyUnavailable, stepup.CodeSendLimited, consent.CodeReturnToNotAllowed}),
	},
	{
		method: http.MethodPost, path: "/v1/reverifications/{id}/attempt", id: "attemptReverification", summary: "Prove a factor",
		about: "A wrong answer is 422 with attempts_left. Ten wrong answers in an hour, over everything, lock the user until the first of them is an hour old.",
		body:  AttemptRequest{}, status: http.StatusOK, reply: Reverification{}, user: (*Server).attemptReverification,
		codes: slices.Concat(byToken, underWay, guessing, []consent.Code{stepup.CodeStrategyUnavailable, stepup.CodeNotPrepared}),
	},
	{
		method: http.MethodGet, path: "/v1/factors", id: "listFactors", summary: "List the user's factors",
		status: http.StatusOK, reply: FactorList{}, user: (*Server).listFactors, codes: byToken,
	},
	{
		method: http.MethodPost, path: "/v1/factors/{id}", id: "enrolFactor", summary: "Begin to enrol a factor",
		about: "id is totp, passkey, phone or backup_codes. Needs a proof of strict_mfa in the header Reverification-Proof, which is used up. What is enrolled counts from its first verified use; backup codes count at once, and void the old.",
		body:  EnrolRequest{}, status: http.StatusCreated, reply: Enrolled{}, user: (*Server).enrolFactor,
		codes: slices.Concat(byToken, forChange, []consent.Code{stepup.CodeStrategyUnavailable, stepup.CodeFactorLimit, stepup.CodeSendLimited}),
	},
	{
		method: http.MethodPost, path: "/v1/factors/{id}/verify", id: "verifyFactor", summary: "A factor's first verified use",
		body: AttemptRequest{}, status: http.StatusOK, reply: Factor{}, user: (*Server).verifyFactor,
		codes: slices.Concat(byToken, guessing, []consent.Code{stepup.CodeFactorNotFound, stepup.CodeFactorLimit, stepup.CodeReverificationEnded}),
	},
	{
		method: http.MethodDelete, path: "/v1/factors/{id}", id: "removeFactor", summary: "Remove a factor",
		about:  "Needs a proof of strict_mfa in the header Reverification-Proof, which is used up.",
		status: http.StatusOK, reply: RemovedFactor{}, user: (*Server).removeFactor,
		codes: slices.Concat(byToken, forChange, []consent.Code{stepup.CodeFactorNotFound}),
	},
	{
		method: http.MethodPost, path: "/v1/proofs/verify", id: "verifyProof", summary: "Use up a proof, a code or a sudo token",
		about: "Of many at once one succeeds. What is for another operation, session, payment or device is refused, and not used up.",
		body:  VerifyRequest{}, status: http.StatusOK, reply: Verified{}, handle: (*Server).verifyProof,
		codes: slices.Concat(guessing, ofLevel, []consent.Code{
			stepup.CodeProofInvalid, stepup.CodeProofMismatch, reauth.CodeReverificationRequired, consent.CodeUserNotFound,
		}),
	},
	{
		method: http.MethodGet, path: "/.well-known/jwks.json", id: "getProofKeys", summary: "Get the keys that verify proofs",
		about:  "A JWK set (RFC 7517), to be kept as long as Cache-Control says. A key is published before the first proof that it signs, and for as long as one lives.",
		status: http.StatusOK, reply: KeySet{}, media: keySetMedia, open: (*Server).jwks,
	},
	{
		method: http.MethodPost, path: "/v1/sessions/end", id: "endSession", summary: "End what is live of a session",
		about: "Call it when a session ends or a password changes: codes, reverifications, proofs, sudo tokens and what was proven end with it.",
		body:  EndRequest{}, status: http.StatusOK, reply: Ended{}, handle: (*Server).endSession,
	},
	{
		method: http.MethodGet, path: "/v1/audit", id: "listAudit", summary: "Read the audit",
		about: "Newest first. Lines are never changed; erasing a person puts a pseudonym in the place of who it was.",
		query: auditQuery{}, status: http.StatusOK, reply: AuditPage{}, handle: (*Server).listAudit,
	},
}
