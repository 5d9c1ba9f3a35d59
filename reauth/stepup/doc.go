// Package stepup is the use cases by which users prove again who they are: who
// is asking, reverifications and their factors, codes, CloudBase's chain, sudo
// tokens, signed proofs and their one use, enrolment, limits and the audit
// (reauth-wire sections 1 and 3 to 7). Package reauth says what is asked and
// whether it is met; the packages beside this one are the techniques, one each.
//
//	user's JWT ─► Caller ─► Check ──► fresh enough, or a Challenge
//	                     ├► Begin ─► Prepare ─► Attempt ──► proof ─► Use, once
//	                     └► SendVerification ─► VerifyCode ─► Sudo ► Use, once
//
// The package must never read a clock but by its configuration, send or store by
// itself, compare a secret in time that depends on it, take a try after it was
// compared, let anything of one application, user or session count for another,
// or put a code, password or token into an error, a line of audit or a log.
package stepup
