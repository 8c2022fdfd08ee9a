#!/usr/bin/env bash
# Makes sure that a command is there: where it is missing, as root on Debian or Ubuntu, it installs the packages that
# bring it. Anywhere else it says what to install.
#
#   scripts/install.sh command package [package ...]
set -euo pipefail

readonly command="$1" packages=("${@:2}")

fail() {
	echo "install: $*" >&2
	exit 1
}

# Two runs that start at once must not both ask for apt's lists, whose lock waits for nobody.
if command -v flock >/dev/null; then
	exec 9>"${TMPDIR:-/tmp}/batch-test-install.lock"
	flock 9
fi
command -v "$command" >/dev/null && exit
[[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null ||
	fail "there is no $command; install it: on Debian by apt-get install ${packages[*]}"
echo "install: installing ${packages[*]}" >&2
log="$(mktemp)"
{
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq &&
		apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends "${packages[@]}"
} </dev/null >"$log" 2>&1 9>&- || {
	tail -n 20 "$log" >&2
	fail "apt-get could not install ${packages[*]}; the whole log is in $log"
}
rm -f "$log"
command -v "$command" >/dev/null || fail "${packages[*]} brought no $command"
