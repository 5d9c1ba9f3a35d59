#!/usr/bin/env bash
# Installs what the tests need besides Go: a C compiler for the race detector,
# PostgreSQL's programs, and for the tests that look at pages Chromium and
# Node.js. `make run` needs none of it.
#
#   scripts/setup.sh            for `make test`
#   scripts/setup.sh browser    only what the tests in a browser need
#
# Does nothing, quickly, where everything is there. Starts no service: each test
# binary runs a PostgreSQL of its own (internal/pgtest).
set -euo pipefail

say() { printf 'setup: %s\n' "$*"; }
die() {
	printf 'setup: %s\n' "$@" >&2
	exit 1
}

# as_root runs a command as root, through sudo where we are somebody else.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "not root, and there is no sudo. As root, run: $*"
	fi
}

# install_packages WHAT PACKAGE... installs Debian packages, or says what to do.
install_packages() {
	local what=$1
	shift
	command -v apt-get >/dev/null ||
		die "$what is missing, and there is no apt-get here to install it with." \
			"Install it by hand (Debian calls it: $*), then run this again."
	say "installing $what ($*)"
	as_root apt-get update -q
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

has_go() { command -v go >/dev/null; }

# The race detector links with C, so a compiler alone is not enough.
has_c_compiler() {
	local out
	command -v "${CC:-cc}" >/dev/null || return 1
	out=$(mktemp)
	echo 'int main(void) { return 0; }' | "${CC:-cc}" -x c -o "$out" - 2>/dev/null || { rm -f "$out"; return 1; }
	rm -f "$out"
}

# Where internal/pgtest looks: PATH, then Debian's directories.
has_postgres() {
	local initdb dir
	for initdb in "$(command -v initdb || true)" /usr/lib/postgresql/*/bin/initdb; do
		[ -x "$initdb" ] || continue
		dir=$(dirname "$(readlink -f "$initdb")")
		[ -x "$dir/postgres" ] && [ -x "$dir/pg_ctl" ] && [ -x "$dir/pg_dump" ] && return 0
	done
	return 1
}

has_chromium() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }

# What e2e/package.json asks for.
has_node() { command -v node >/dev/null && [ "$(node --print 'process.versions.node.split(".")[0] >= 20')" = true ]; }

has_npm() { command -v npm >/dev/null; }

# Debian's package makes a cluster and starts it when it is installed. Nobody
# here asked for one: a lasting change to the machine that no test uses.
install_postgres() {
	local conf=/etc/postgresql-common/createcluster.conf made=no
	if command -v apt-get >/dev/null && [ ! -e "$conf" ]; then
		as_root mkdir -p "$(dirname "$conf")"
		echo 'create_main_cluster = false' | as_root tee "$conf" >/dev/null
		made=yes
	fi
	install_packages "PostgreSQL" postgresql
	[ "$made" = no ] || say "no system cluster was made ($conf says so)"
}

setup_tests() {
	has_go || die "Go is missing. Install the version that go.mod names, then run this again."
	has_c_compiler || install_packages "a C compiler" gcc libc6-dev
	if [ -n "${TEST_DATABASE_URL:-}" ]; then
		say "TEST_DATABASE_URL is set: the tests use that server"
	fi
	# Also where a server is given: pg_dump is needed, and pgtest tests itself.
	has_postgres || install_postgres
	has_postgres || die "PostgreSQL is installed, but initdb, pg_ctl, postgres and pg_dump are not found together."
	say "everything the tests need is here"
}

setup_browser() {
	has_go || die "Go is missing. Install the version that go.mod names, then run this again."
	has_chromium || install_packages "Chromium" chromium
	# One after the other: some packages of Node.js bring npm, and clash with Debian's.
	has_node || install_packages "Node.js" nodejs
	has_node || die "Node.js is here, but older than 20. Install a newer one, then run this again."
	has_npm || install_packages "npm" npm
	say "a browser is here, and what drives it"
}

case ${1:-tests} in
tests)
	setup_tests
	setup_browser
	;;
browser) setup_browser ;;
*) die "unknown: $1 (say nothing, or: browser)" ;;
esac
