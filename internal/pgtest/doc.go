// Package pgtest gives tests a real PostgreSQL: an empty database per call of
// DSN, dropped when the test ends.
//
// With TEST_DATABASE_URL set, the databases are made on that server. Without
// it, the first DSN of a test binary starts a private cluster from the
// installed binaries, which all later calls share:
//
//	test binary ──stdin──► supervise.sh ──► initdb, pg_ctl start
//	     │                      │
//	     └── ends, however ────►└── pg_ctl stop, directory removed
//
// The kernel closes the supervisor's standard input when the test binary ends,
// be it by return, panic, Ctrl-C or SIGKILL, so nothing has to be caught to
// clean up. Main only waits until it is done. The cluster listens on a Unix
// socket in a directory of its own, so there is no port to race for and nobody
// else on the machine can connect. PostgreSQL refuses to run as root; there the
// cluster belongs to the user postgres, or nobody.
//
// The server's time zone and collation are chosen to be unlike a developer's:
// code that leans on either fails here and not at somebody's installation.
//
// The package must never skip a test because PostgreSQL is missing, touch a
// database that it did not make, or be imported by code that ships.
package pgtest
