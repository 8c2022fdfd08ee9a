#!/usr/bin/env bash
# Fuzzes what reads bytes that others wrote: every function Fuzz... of every module, each for FUZZTIME.
#
#   scripts/fuzz.sh                    the short form: all targets together take about FUZZTOTAL seconds
#   FUZZTIME=10m scripts/fuzz.sh       ten minutes for each target
#   scripts/fuzz.sh Meta Answer        only targets whose names contain one of the words
#
# The packages are built first, then two targets run at a time, each on one processor. In the short form each gets
# an equal part of what is left of FUZZTOTAL (110 s) then, thirty seconds at most and three at least: with
# twenty-eight targets that is five seconds after a build of thirty. What new code breaks is mostly found by the
# seeds, within the first of them; for what is rare there is FUZZTIME.
#
# The seeds are in the tests. An input that fails is printed, and left in the package's testdata/fuzz: committed
# there, it is a seed of every later run, and of `go test` too. What is only new is kept in go's cache.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root="$PWD"
readonly root
readonly total="${FUZZTOTAL:-110}"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# Each line is a package's folder and the name of a target.
while read -r _ folder; do
	cd "$folder"
	# A module's own files: those of a module below it are found with that one.
	find . -name go.mod -not -path ./go.mod | sed 's|go.mod$||' >"$work/below"
	find . -name '*_test.go' -not -path '*/testdata/*' | { grep -vFf "$work/below" || true; } |
		{ xargs -r grep -HoE '^func Fuzz[A-Z][A-Za-z0-9_]*' || true; } |
		sed -E "s|^\./|$folder/|; s|/[^/]*:func | |"
done < <(scripts/modules.sh) | sort -u >"$work/all"

if (($# > 0)); then
	grep -E " Fuzz.*($(IFS='|' && echo "$*"))" "$work/all" >"$work/chosen" || true
else
	cp "$work/all" "$work/chosen"
fi
count="$(wc -l <"$work/chosen")"
if ((count == 0)); then
	echo "fuzz: no target" >&2
	exit 1
fi

# build makes the test binary of a package, with the instruments.
build() {
	local folder="$1" name="${1//\//_}"
	(cd "$folder" && go test -c -fuzz . -o "$2/$name.test" . && go list . >"$2/$name.path") </dev/null
}

# fuzz runs one target, and prints what it found with the input.
fuzz() {
	local folder="$1" target="$2" name="${1//\//_}" began=$SECONDS
	local log="$3/$name.$target" label=".${1#"$root"}"
	touch "$log.began"
	if (cd "$folder" && "$3/$name.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$FUZZTIME" \
		-test.fuzzminimizetime 5s -test.fuzzcachedir "$cache/$(cat "$3/$name.path")" -test.parallel 1 </dev/null) >"$log" 2>&1; then
		printf '  ok      %4d s  %s %s, %s\n' "$((SECONDS - began))" "$label" "$target" "$(grep -oE 'execs: [0-9]+' "$log" | tail -n 1)"
		return
	fi
	{
		printf '  FAILED  %4d s  %s %s\n' "$((SECONDS - began))" "$label" "$target"
		tail -n 60 "$log"
		find "$folder/testdata/fuzz/$target" -type f -newer "$log.began" 2>/dev/null | while read -r input; do
			echo "the input, ${input#"$root"/}:"
			head -c 2000 "$input"
			echo
		done
	} >"$log.report"
	cat "$log.report" # at once: the other target prints meanwhile
	return 1
}
export -f build fuzz
export root
cache="$(go env GOCACHE)/fuzz"
export cache

began=$SECONDS
cut -d ' ' -f 1 "$work/chosen" | sort -u | xargs -P 2 -I '{}' bash -c 'build "$1" "$0"' "$work" '{}' || {
	echo "fuzz: a package does not build" >&2
	exit 1
}
built=$((SECONDS - began))
if [[ -z "${FUZZTIME:-}" ]]; then
	seconds=$((2 * (total - built) / count))
	FUZZTIME="$((seconds < 3 ? 3 : seconds > 30 ? 30 : seconds))s"
fi
export FUZZTIME GOMAXPROCS=1
echo "$count targets, built in $built s, $FUZZTIME each"

xargs -P 2 -L 1 bash -c 'fuzz "$1" "$2" "$0"' "$work" <"$work/chosen" || {
	echo "fuzz: a target failed" >&2
	exit 1
}
