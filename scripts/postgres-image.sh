#!/usr/bin/env bash
# Makes an image with PostgreSQL available, for a peer of the comparison, and prints its name: the official one
# where it is present or can be pulled, and else one built from Debian's packages on the stand-in of Redis.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly official=postgres:17
readonly folder=bench/performance/postgres

present() { docker image inspect "$1" >/dev/null 2>&1; }

if present "$official" || timeout 300 docker pull -q "$official" >/dev/null 2>&1 </dev/null; then
	echo "$official"
	exit
fi
base="$(scripts/broker-images.sh redis-8 | cut -d' ' -f2)"
image="batch-test/postgres:$({
	echo "$base"
	cat "$folder/Dockerfile"
} | sha256sum | cut -c1-12)"
if ! present "$image"; then
	echo "postgres-image: building $image" >&2
	log="$(mktemp)"
	docker build -q --network=host --build-arg BASE="$base" -t "$image" "$folder" >"$log" 2>&1 </dev/null || {
		tail -n 20 "$log" >&2
		exit 1
	}
	rm -f "$log"
fi
echo "$image"
