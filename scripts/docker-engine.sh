#!/usr/bin/env bash
# Makes sure that a Docker engine answers, for the tests that run real brokers.
#
# Does nothing where one does. Otherwise, as root on Debian or Ubuntu, it installs Docker's packages
# and starts the daemon in the background, where it stays. Anywhere else it says what to do.
set -euo pipefail

readonly wait_seconds=60
readonly log="${TMPDIR:-/tmp}/batch-test-dockerd.log"

fail() {
	echo "docker-engine: $*" >&2
	exit 1
}

engine_answers() {
	timeout 10 docker info >/dev/null 2>&1
}

is_debian_like() {
	[[ -r /etc/os-release ]] && grep -Eq '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release
}

install_engine() {
	echo "docker-engine: installing docker.io" >&2
	export DEBIAN_FRONTEND=noninteractive
	# The daemon is started below, by us: an image of a machine often has no init to start it.
	local packages=(docker.io iptables)
	{
		apt-get update -qq &&
			# Newer releases have the client in a package of its own.
			if ! command -v docker && apt-cache show docker-cli; then packages+=(docker-cli); fi &&
			apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends "${packages[@]}"
	} </dev/null >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		fail "apt-get could not install ${packages[*]}; the whole log is in $log"
	}
}

# start_daemon leaves dockerd running with no tie to this shell: its own session, and none of our
# descriptors, since a caller that waits for the end of a pipe would wait for the daemon.
start_daemon() {
	echo "docker-engine: starting dockerd, log in $log" >&2
	setsid nohup dockerd </dev/null >"$log" 2>&1 &
	local daemon=$! waited=0
	until engine_answers; do
		if ((waited >= wait_seconds)) || ! kill -0 "$daemon" 2>/dev/null; then
			tail -n 20 "$log" >&2
			fail "dockerd does not answer after ${waited} s; the whole log is in $log"
		fi
		sleep 1
		waited=$((waited + 1))
	done
}

main() {
	if engine_answers; then
		return
	fi
	if [[ -n "${DOCKER_HOST:-}" ]]; then
		fail "no engine answers at DOCKER_HOST=$DOCKER_HOST; start it, or unset DOCKER_HOST"
	fi
	if [[ "$(id -u)" != 0 ]] || ! is_debian_like; then
		fail "no Docker engine answers; start one (Docker Desktop, or 'systemctl start docker') and try again"
	fi
	if ! command -v docker >/dev/null || ! command -v dockerd >/dev/null || ! command -v iptables >/dev/null; then
		install_engine
	fi
	# Two runs that start at once must not start two daemons: the second finds the first one's.
	exec 9>"${TMPDIR:-/tmp}/batch-test-dockerd.lock"
	flock 9
	if ! engine_answers; then
		start_daemon 9>&-
	fi
	engine_answers || fail "dockerd started and stopped answering; its log is in $log"
}

main "$@"
