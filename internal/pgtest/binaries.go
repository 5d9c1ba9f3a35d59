package pgtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Debian keeps the server's programs out of PATH, one directory a version.
const debianBins = "/usr/lib/postgresql/*/bin"

var programs = []string{"initdb", "pg_ctl", "postgres", "pg_dump"}

var errNoBinaries = errors.New("the server's programs (initdb, pg_ctl, postgres, pg_dump) are neither in PATH nor in " +
	debianBins + ": run `make setup`, or install PostgreSQL by hand, or set TEST_DATABASE_URL")

// binaries returns the directory that holds the programs of one version: the
// one in PATH, else the newest of those that glob matches.
func binaries(glob string) (string, error) {
	var dirs []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		// What is in PATH may be a link; its neighbours are where it points.
		if target, err := filepath.EvalSymlinks(initdb); err == nil {
			dirs = append(dirs, filepath.Dir(target))
		}
	}
	outside, err := filepath.Glob(glob)
	if err != nil {
		return "", err
	}
	slices.SortFunc(outside, func(a, b string) int { return version(b) - version(a) })
	for _, dir := range append(dirs, outside...) {
		if complete(dir) {
			return dir, nil
		}
	}
	return "", errNoBinaries
}

// complete says whether dir holds all that is needed; a client-only
// installation leaves a directory with pg_dump alone.
func complete(dir string) bool {
	for _, program := range programs {
		if info, err := os.Stat(filepath.Join(dir, program)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

// version reads the 15 in /usr/lib/postgresql/15/bin; 9.6 and what cannot be
// read count as oldest.
func version(dir string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	if err != nil {
		return 0
	}
	return n
}

// environ is ours without what would turn PostgreSQL's programs elsewhere
// (PGHOST, PGDATA, PGOPTIONS ...) or translate their messages.
func environ() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "PG") || strings.HasPrefix(kv, "LC_")
	})
	return append(env, "LC_ALL=C")
}
