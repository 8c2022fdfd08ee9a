#!/usr/bin/env bash
# Makes the images of the test brokers available and prints, one line each, "name image".
#
#   scripts/broker-images.sh [name ...]            all rows of the table when no name is given
#   scripts/broker-images.sh --debian-image SUITE  only the name that a suite's image has
#
# An official image that is present or can be pulled wins. Where no registry can be reached, the image
# is built from Debian's packages, signed and fetched from the mirror that this machine uses itself.
# Rows, versions and packages are in internal/brokers/images.txt.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root
readonly table="$root/internal/brokers/images.txt"
readonly repository=batch-test/debian

fail() {
	echo "broker-images: $*" >&2
	exit 1
}

say() {
	echo "broker-images: $*" >&2
}

# rows prints the table without comments as name|family|image|suite|packages|command, trimmed.
rows() {
	sed -e '/^[[:space:]]*#/d' -e '/^[[:space:]]*$/d' \
		-e 's/[[:space:]]*|[[:space:]]*/|/g' -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' "$table"
}

# suite_packages prints every package that any row wants of a suite, sorted, one a line.
suite_packages() {
	rows | awk -F'|' -v suite="$1" '$4 == suite { print $5 }' | tr -s ' ' '\n' | LC_ALL=C sort -u
}

# debian_image names the image of a suite after its packages, so that a changed list makes a new
# image. internal/brokers/images.go computes the same name.
debian_image() {
	local digest
	digest="$({
		echo "$1"
		suite_packages "$1"
	} | sha256sum | cut -c1-12)"
	echo "$repository-$1:$digest"
}

present() {
	docker image inspect "$1" >/dev/null 2>&1
}

# registry_reachable asks once whether images can be pulled at all, so that a machine without a
# registry loses seconds and not minutes.
registry=unknown
registry_reachable() {
	if [[ "$registry" == unknown ]]; then
		if timeout 10 docker manifest inspect "$1" >/dev/null 2>&1 </dev/null; then
			registry=yes
		else
			registry=no
			say "no registry answers for $1; using Debian's packages"
		fi
	fi
	[[ "$registry" == yes ]]
}

pull() {
	registry_reachable "$1" && timeout 600 docker pull -q "$1" >&2 </dev/null
}

# mirror prints the first archive that this machine's apt uses, from deb822 files or one-line ones.
mirror() {
	local found
	found="$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk '/^URIs:/ { print $2; exit }')"
	if [[ -z "$found" ]]; then
		found="$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
			sed -n 's/^deb[[:space:]]\+\(\[[^]]*\][[:space:]]*\)\?\([^[:space:]]\+\).*/\2/p' | head -n 1)"
	fi
	[[ -n "$found" ]] || fail "no archive in /etc/apt to build an image from"
	echo "$found"
}

ensure_mmdebstrap() {
	grep -qs '^ID=debian$' /etc/os-release ||
		fail "images can be pulled from no registry here, and built only on Debian; pull them, or set BATCH_TEST_<FAMILY>_IMAGE or _URL"
	command -v mmdebstrap >/dev/null && return
	[[ "$(id -u)" == 0 ]] ||
		fail "images can be pulled from no registry here, and building them needs mmdebstrap: apt-get install mmdebstrap"
	say "installing mmdebstrap"
	local log
	log="$(mktemp)"
	{
		export DEBIAN_FRONTEND=noninteractive
		apt-get update -qq &&
			apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends mmdebstrap
	} </dev/null >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		fail "apt-get could not install mmdebstrap; the whole log is in $log"
	}
	rm -f "$log"
}

build() {
	local suite="$1" image="$2" packages archive log id
	ensure_mmdebstrap
	packages="$(suite_packages "$suite" | paste -sd, -)"
	archive="$(mirror)"
	log="$(mktemp)"
	say "building $image ($packages)"
	# Half a root file system imports as well as a whole one, so the image gets its name last.
	if ! id="$(mmdebstrap --quiet --variant=minbase --components=main --include="$packages" \
		"$suite" - "$archive" 2>"$log" </dev/null | docker import -)"; then
		[[ -z "$id" ]] || docker image rm "$id" >/dev/null 2>&1 || true
		tail -n 20 "$log" >&2
		fail "mmdebstrap could not build $image; the whole log is in $log"
	fi
	docker tag "$id" "$image"
	rm -f "$log"
}

provide() {
	local name="$1" official="$2" suite="$3" local_image
	if present "$official" || pull "$official"; then
		echo "$name $official"
		return
	fi
	local_image="$(debian_image "$suite")"
	present "$local_image" || build "$suite" "$local_image"
	echo "$name $local_image"
}

main() {
	local name official suite wanted
	if [[ "${1:-}" == --debian-image ]]; then
		debian_image "$2"
		return
	fi
	for wanted in "$@"; do
		rows | cut -d'|' -f1 | grep -Fxq -- "$wanted" || fail "no row $wanted in $table"
	done
	docker info >/dev/null 2>&1 || fail "no Docker engine answers; run scripts/docker-engine.sh"
	# Packages under test run at the same time, and each may find its image missing.
	if command -v flock >/dev/null; then
		exec 9>"${TMPDIR:-/tmp}/batch-test-images.lock"
		flock 9
	fi
	while IFS='|' read -r name _ official suite _ _; do
		if (($# == 0)) || [[ " $* " == *" $name "* ]]; then
			provide "$name" "$official" "$suite"
		fi
	done < <(rows)
}

main "$@"
