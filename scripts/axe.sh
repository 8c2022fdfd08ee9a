#!/usr/bin/env bash
# Makes sure that axe-core is there, which finds what keeps people from using a page, and prints the path of its script.
#
# It comes from npm's registry, in the version and with the checksum of dash/browser/axe/package-lock.json, and is kept in the
# user's cache. It is not in this repository: it is half a megabyte, under a licence of its own (MPL-2.0).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly lock=dash/browser/axe/package-lock.json
folder="${XDG_CACHE_HOME:-$HOME/.cache}/batch-test/axe-$(sha256sum "$lock" | cut -c1-12)"
script="$folder/node_modules/axe-core/axe.min.js"

# Two runs that start at once must not unpack over each other.
mkdir -p "$(dirname "$folder")"
if command -v flock >/dev/null; then
	exec 9>"$folder.lock"
	flock 9
fi
if [[ ! -f "$script" ]]; then
	scripts/install.sh npm npm 9>&-
	work="$(mktemp -d "$folder.XXXXXX")"
	trap 'rm -rf "$work"' EXIT
	cp dash/browser/axe/package.json "$lock" "$work"
	(cd "$work" && npm ci --ignore-scripts --no-audit --no-fund) </dev/null >"$work/log" 2>&1 || {
		tail -n 20 "$work/log" >&2
		echo "axe: npm could not install axe-core" >&2
		exit 1
	}
	rm -rf "$folder"
	mkdir "$folder"
	mv "$work/node_modules" "$folder"
fi
echo "$script"
