#!/usr/bin/env bash
# Fails if a test skipped itself. Reads the log that `go test -json` wrote:
#
#   scripts/no-skips.sh LOG
#
# A package without test files is reported as skipped too, without a "Test".
set -euo pipefail

log=$1
[ -s "$log" ] || {
	echo "no-skips: $log is empty: no test ran" >&2
	exit 1
}
if skipped=$(grep '"Action":"skip"' "$log" | grep '"Test":'); then
	echo "no-skips: these tests skipped themselves; make them run (make setup?):" >&2
	sed -E 's/.*"Package":"([^"]*)".*"Test":"([^"]*)".*/  \1 \2/' <<<"$skipped" >&2
	exit 1
fi
