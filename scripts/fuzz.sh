#!/usr/bin/env bash
# Runs every fuzz test for a while, one after the other:
#
#   scripts/fuzz.sh 30s
#
# The inputs that fail are kept by go in the package's testdata: commit them.
set -euo pipefail

for_each=${1:-10s}
found=0
for package in $(go list ./...); do
	# -list prints an "ok" line after the names.
	for test in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		found=$((found + 1))
		printf '\n== %s %s, %s\n' "$package" "$test" "$for_each"
		go test -run '^$' -fuzz "^$test\$" -fuzztime "$for_each" "$package"
	done
done
echo "$found fuzz tests ran"
