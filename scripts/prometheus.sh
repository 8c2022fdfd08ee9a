#!/usr/bin/env bash
# Makes sure that there is a Prometheus server to test with, and prints the path of its program. Beside it is promtool.
#
# One in the PATH wins. Otherwise, on Debian or Ubuntu, the program is taken out of Debian's package, which is fetched from
# the mirror that this machine uses, checked as apt checks it, and not installed: that would start a service. It is kept in
# the user's cache. Anywhere else it says what to do.
set -euo pipefail

fail() {
	echo "prometheus: $*" >&2
	exit 1
}

work=""
trap '[[ -z "$work" ]] || rm -rf "$work"' EXIT

main() {
	local folder program
	if command -v prometheus; then
		return
	fi
	folder="${XDG_CACHE_HOME:-$HOME/.cache}/batch-test/prometheus"
	program="$folder/prometheus"
	mkdir -p "$folder"
	# Two runs that start at once must not unpack over each other.
	exec 9>"$folder.lock"
	if command -v flock >/dev/null; then flock 9; fi
	if [[ ! -x "$program" || ! -x "$folder/promtool" ]]; then
		command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
			fail "there is no prometheus in the PATH; install it, from https://prometheus.io/download for example"
		echo "prometheus: fetching Debian's package" >&2
		work="$(mktemp -d "$folder.XXXXXX")"
		# scripts/install.sh renews apt's lists too, and apt does not wait for itself there.
		exec 8>"${TMPDIR:-/tmp}/batch-test-install.lock"
		if command -v flock >/dev/null; then flock 8; fi
		{
			cd "$work"
			if ! apt-cache show prometheus && [[ "$(id -u)" == 0 ]]; then apt-get update -qq; fi
			# As root, apt would hand the download to a user of its own, who may not write here.
			apt-get -q -o APT::Sandbox::User=root download prometheus &&
				dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x -C "$work" ./usr/bin/prometheus ./usr/bin/promtool &&
				mv usr/bin/prometheus usr/bin/promtool "$folder"
		} </dev/null >"$work/log" 2>&1 || {
			tail -n 20 "$work/log" >&2
			fail "apt-get could not download prometheus; install it, or run apt-get update"
		}
	fi
	[[ -x "$program" ]] || fail "$program is not there, although the package was unpacked"
	echo "$program"
}

main "$@"
