// Package reauth holds what is asked of a user who has to prove again who they
// are: levels, the judgement whether they are met, the challenge that says what
// is missing, the digest that binds a proof to a payment, and the sliding limit
// that guessing runs into.
//
// A level becomes a Requirement; what was proven, and when, becomes Ages; Has
// compares the two:
//
//	ParseLevel, CustomLevel ──► Requirement ──┐
//	                            Stricter      ├─► Has ──► true, or a Challenge
//	AgesOf, AgesOfFVA ────────► Ages ─────────┤
//	EnrolmentOf ──────────────► Enrolment ────┘
//
// Each of these is a pure function of its arguments, now among them, and the
// zero value of each type denies: a field that nobody filled in opens nothing.
//
// The package must never do I/O, read a clock, take what is missing or odd for
// proven, or import more of ours than package consent: the guards that other
// backends link in build on it. What is done with a judgement is package
// stepup's.
package reauth
