#!/usr/bin/env bash
# Runs a command in the folder of each module of this repository, with the workspace switched off: each module
# then gets what its own go.mod says, as it does where it is used.
#
#   scripts/modules.sh command [argument ...]
#   scripts/modules.sh                           prints each module: its path and its folder
#
# The command runs in all of them, even when it fails in one. The list of modules is go.work.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root

# The user's flags, but not -mod=mod, which a workspace refuses.
GOFLAGS="$(go env GOFLAGS | tr ' ' '\n' | sed '/^-mod=/d; /^-modfile=/d' | paste -sd ' ' -) -mod=readonly"
export GOFLAGS

list() {
	(cd "$root" && GOWORK="$root/go.work" go list -m -f '{{.Path}} {{.Dir}}')
}

modules="$(list)"
if (($# == 0)); then
	echo "$modules"
	exit
fi

export GOWORK=off
failed=0
while read -r path folder; do
	(cd "$folder" && "$@") </dev/null || {
		echo "this was in the module $path" >&2
		failed=1
	}
done <<<"$modules"
exit "$failed"
