#!/usr/bin/env bash
# Runs make targets one after another, all of them even when one fails, and prints how long each took.
#
#   scripts/steps.sh target ...
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0
summary=()
for step in "$@"; do
	echo "==> $step"
	began=$SECONDS
	result=ok
	"${MAKE:-make}" --no-print-directory "$step" </dev/null || result=FAILED
	[[ "$result" == ok ]] || failed=1
	summary+=("$(printf '%-12s %-6s %4d s' "$step" "$result" "$((SECONDS - began))")")
done

echo "==> summary"
printf '  %s\n' "${summary[@]}"
exit "$failed"
