// Package scheduler wakes work up and carries it out once: schedules, which the
// replica that leads turns into jobs, and jobs that others put into a
// transaction of theirs. Both live in the database, on River, so that a job
// survives the process that was to do it, and is done by whichever replica
// takes it.
//
// What is due is decided by rows of whoever gives the work, never by a timer
// here: a tick that is missed costs nothing but time, and a job may be done
// twice. River keeps wall time (its executor, rescuer and cleaner), so a job is
// always for now; there are no jobs for later.
//
// It must never know a word of the domain, or import another package of ours.
package scheduler
