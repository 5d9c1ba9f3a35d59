#!/usr/bin/env bash
# Runs the tests in a browser, against the real binary:
#
#   scripts/test-browser.sh              all of them
#   scripts/test-browser.sh FILE...      some, for instance e2e/test/links.test.mjs
#
# Fails if one failed, skipped itself, or none ran.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$PWD/.test
mkdir -p "$out"

# Installed anew only where the lock file has changed: npm ci empties the directory first.
lock=e2e/package-lock.json installed=e2e/node_modules/.installed-by-this-lock
if ! cmp -s "$lock" "$installed"; then
	npm ci --prefix e2e --loglevel=error
	cp "$lock" "$installed"
fi

export RECONSENT_BIN=$out/reconsent
go build -o "$RECONSENT_BIN" ./cmd/reconsent
# A package that needs a real OpenID provider, which needs Node.js.
export RECONSENT_IDP_TEST=$out/idp.test
go test -c -o "$RECONSENT_IDP_TEST" ./reauth/idp

[ $# -gt 0 ] || set -- e2e/test/*.test.mjs
# A test bounds itself; the outer limit is for what hangs beside the tests.
# Two files at a time: each has a browser, and a server or two.
timeout --kill-after=10 10m node --test --test-concurrency=2 \
	--test-reporter=spec --test-reporter-destination=stdout \
	--test-reporter=tap --test-reporter-destination="$out/browser.tap" "$@"

count() { sed -nE "s/^# $1 ([0-9]+)\$/\1/p" "$out/browser.tap"; }
[ "$(count tests)" -gt 0 ] || {
	echo "test-browser: no test ran" >&2
	exit 1
}
# A file without tests is reported as a test that passed, under the file's name.
if empty=$(grep -E '^# Subtest: .*\.mjs$' "$out/browser.tap"); then
	printf 'test-browser: no test in these:\n%s\n' "$empty" >&2
	exit 1
fi
for kind in skipped todo cancelled; do
	[ "$(count $kind)" -eq 0 ] || {
		echo "test-browser: tests $kind: $(count $kind); make them run" >&2
		exit 1
	}
done
