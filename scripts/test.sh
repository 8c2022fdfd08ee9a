#!/usr/bin/env bash
# Runs the tests under the race detector against real brokers, and prints which brokers those were.
#
#   scripts/test.sh [arguments of go test ...]
#
# With RECORDS naming a folder, what the conformance runs have shown is in it afterwards, and nothing
# that was there before. With an empty DETECTOR there is no race detector.
#
# Where no Docker engine can be had, tests that need one are skipped, and the last lines say so. With
# CI=true that is a failure.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

if scripts/docker-engine.sh; then
	# All of them now, so that no test waits for them. If you test a single package, it makes what it needs.
	if [[ " $* " == *" work "* ]]; then
		scripts/broker-images.sh >/dev/null
		# The browser is there before its tests are, which come late. They look again, and report what failed.
		{
			scripts/chromium.sh
			scripts/axe.sh
		} </dev/null >/dev/null 2>&1 &
	fi
	# This also builds what starts the brokers, which the first test would wait for otherwise.
	GOWORK=off go run -C internal/brokers/launcher . -sweep
elif [[ "${CI:-}" == true ]]; then
	exit 1
else
	echo "test: no Docker engine: tests that need a broker will be skipped" >&2
fi

# A new name in every run: go test keeps results by the environment that a test reads, so packages that
# use brokers always run, and the others may come from its cache.
BATCH_TEST_REPORT="$(mktemp)"
export BATCH_TEST_REPORT
BATCH_CONFORMANCE_REPORT="$(mktemp -d)" # likewise a new name
export BATCH_CONFORMANCE_REPORT
log="$(mktemp)"
trap 'rm -rf "$BATCH_TEST_REPORT" "$BATCH_CONFORMANCE_REPORT" "$log"' EXIT

# A process with the race detector waits for a second before it ends, in case what its goroutines still do is
# a race. Where there are many, internal/leak has seen by then that none is left: a tenth will do.
export GORACE="atexit_sleep_ms=100 ${GORACE:-}"

# The suites measure delays and leases, which say nothing of a driver while another package compiles and tests
# on the same two cores, so drivers are tested one at a time. They mostly wait, in parallel. Those of
# files allow a slow disk more than that, and keep each other company. Two of the others run at a time.
arguments=()
for argument in "$@"; do
	[[ "$argument" == work ]] || arguments+=("$argument")
done
tests() { go test ${DETECTOR--race} "$@" </dev/null 2>&1 | tee -a "$log"; }
status=0
if ((${#arguments[@]} == $#)); then
	tests -p 1 "${arguments[@]}" || status=$?
else
	packages="$(go list work)"
	# Compiled beforehand, by all processors: -p 1 would leave the compiler one. What does not compile is told by the tests.
	go list ${DETECTOR--race} -test -export -f '' work >/dev/null 2>&1 || true
	drivers="$(grep -E '/(customdriver|driver)(/|$)' <<<"$packages")"
	tests -p 1 "${arguments[@]}" $(grep -vE '/(embedded|sqlite)$' <<<"$drivers") || status=$?
	tests -p 2 "${arguments[@]}" $(grep -E '/(embedded|sqlite)$' <<<"$drivers") || status=$?
	tests -p 2 "${arguments[@]}" $(grep -vxF "$drivers" <<<"$packages") || status=$?
fi

if ((status != 0)); then
	# Again at the end, where somebody looks first, and where a log that is cut keeps it: each test that
	# failed with the beginning of what it said.
	echo "what failed:"
	awk '/^ *--- FAIL:|^panic:|^FAIL.*\[/ { left = 8 } left-- > 0' "$log" | cut -c -300 | tail -n 100
fi
if [[ -n "${RECORDS:-}" ]]; then
	rm -rf "$RECORDS"
	cp -R "$BATCH_CONFORMANCE_REPORT" "$RECORDS"
fi

echo "brokers exercised:"
if [[ -s "$BATCH_TEST_REPORT" ]]; then
	LC_ALL=C sort -u "$BATCH_TEST_REPORT" | sed 's/^/  /'
else
	echo "  none"
fi
exit "$status"
