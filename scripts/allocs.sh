#!/usr/bin/env bash
# Runs the tests that the race detector would upset: all of the files with the constraint !race. scripts/test.sh does
# not compile them otherwise, so whatever stands in such a file is run here, and nothing of it is forgotten.
#
#   scripts/allocs.sh [arguments of go test ...]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

files="$(grep -rlE --include='*_test.go' '^//go:build .*!race' .)"
names="$(grep -hoE '^func Test[A-Z][A-Za-z0-9_]*' $files | sed 's/^func //' | sort -u | paste -sd '|')"
packages="$(xargs -n 1 dirname <<<"$files" | sort -u)"
# Never from the cache: what a broker answers is a part of it.
DETECTOR='' exec scripts/test.sh -count=1 -run "^($names)\$" "$@" $packages
