#!/usr/bin/env bash
# Makes the images of the test brokers available and prints, one line each, "name image".
#
#   scripts/broker-images.sh [name ...]            all rows of the table when no name is given
#   scripts/broker-images.sh --stand-in name       only the name that a row's stand-in image has
#
# An official image that is present or can be pulled wins. Where no registry can be reached, the image
# is built from Debian's packages, signed and fetched from the mirror that this machine uses itself,
# and for a broker that is no Debian package from npm's, checked against the lock file, or from a Go
# module, checked as every module is. Only the images of the rows asked for are built, and rows of the
# same release share one.
# Rows, versions and packages are in internal/brokers/images.txt.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root
readonly brokers="$root/internal/brokers"
readonly table="$brokers/images.txt"
readonly postgresql_init="$brokers/launcher/postgresql/init.sh"
readonly npm_files=(Dockerfile package.json package-lock.json)
readonly repository=batch-test
# What no test needs of Debian's packages. Most of it is a compiler that PostgreSQL has for long queries: a server
# that does not find its library goes without.
readonly unneeded=(
	'/usr/share/doc/*' '/usr/share/man/*' '/usr/share/locale/*' '/usr/share/info/*'
	'/usr/lib/llvm-*' '/usr/lib/*/libLLVM*' '/usr/lib/*/libz3*'
	'/usr/lib/postgresql/*/lib/llvmjit*' '/usr/lib/postgresql/*/lib/bitcode/*'
)

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
	rows | awk -F'|' -v suite="$1" '$4 == suite { print $5 }' | tr -s ' ' '\n' | sed '/^npm:/d; /^go:/d' | LC_ALL=C sort -u
}

# npm_folder prints the folder of a row's npm packages, or nothing when it wants none.
npm_folder() {
	rows | awk -F'|' -v name="$1" '$1 == name { print $5 }' | tr -s ' ' '\n' | sed -n 's/^npm://p'
}

# go_program prints a row's Go package with its version, or nothing when it wants none.
go_program() {
	rows | awk -F'|' -v name="$1" '$1 == name { print $5 }' | tr -s ' ' '\n' | sed -n 's/^go://p'
}

# suite_of prints the suite of a row.
suite_of() {
	rows | awk -F'|' -v name="$1" '$1 == name { print $4 }'
}

# debian_image names the image of a suite after its packages, so that a changed list makes a new
# image. internal/brokers/version.go computes the same name, and those of stand_in.
debian_image() {
	local digest
	digest="$({
		echo "$1"
		suite_packages "$1"
	} | sha256sum | cut -c1-12)"
	echo "$repository/debian-$1:$digest"
}

# stand_in names the image that stands in for a row's official one. One with npm packages is named
# after the image below it and the files that say what goes into it, one with a Go program after the
# image below it and the program.
stand_in() {
	local base folder program digest file
	base="$(debian_image "$(suite_of "$1")")"
	program="$(go_program "$1")"
	if [[ -n "$program" ]]; then
		digest="$(printf '%s\n' "$base" "$program" | sha256sum | cut -c1-12)"
		echo "$repository/go-$1:$digest"
		return
	fi
	folder="$(npm_folder "$1")"
	if [[ -z "$folder" ]]; then
		echo "$base"
		return
	fi
	digest="$({
		echo "$base"
		for file in "${npm_files[@]}"; do cat "$brokers/$folder/$file"; done
	} | sha256sum | cut -c1-12)"
	echo "$repository/npm-$folder:$digest"
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

# ensure makes sure that a command is there that building an image needs.
ensure() {
	"$root/scripts/install.sh" "$@" 9>&- ||
		fail "images can be pulled from no registry here, and building them needs $1"
}

# make_database makes the database with which each PostgreSQL of an image starts, if there is one in the root file
# system $1, by the script $2. Its name is that which the launcher looks for: where this has failed, that makes one.
make_database() {
	[ -d "$1/usr/lib/postgresql" ] || return 0
	data="/var/lib/postgresql/batch-$(sha256sum "$2" | cut -c1-12)"
	chroot "$1" setpriv --reuid=postgres --regid=postgres --clear-groups \
		env "PGDATA=$data" sh -c "$(cat "$2")" || rm -rf "$1$data"
}

build() {
	local suite="$1" image="$2" packages archive log id path excluded=()
	packages="$(suite_packages "$suite" | paste -sd, -)"
	archive="$(mirror)"
	log="$(mktemp)"
	for path in "${unneeded[@]}"; do excluded+=("--dpkgopt=path-exclude=$path"); done
	say "building $image ($packages)"
	# Half a root file system imports as well as a whole one, so the image gets its name last.
	# Mirrors may keep a release that is still in the making past the date that its index names. Its
	# signature is still checked. What is built here is thrown away when a build fails, so
	# nothing is gained by flushing each file to disk. Debian's PostgreSQL would make a database of its own.
	if ! id="$(mmdebstrap --quiet --variant=minbase --components=main --include="$packages" \
		--aptopt='Acquire::Check-Valid-Until "false"' --dpkgopt='force-unsafe-io' "${excluded[@]}" \
		--essential-hook='mkdir -p "$1/etc/postgresql-common/createcluster.d"' \
		--essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.d/batch.conf"' \
		--customize-hook="$(declare -f make_database); make_database \"\$1\" $(printf %q "$postgresql_init")" \
		"$suite" - "$archive" 2>"$log" </dev/null | docker import -)"; then
		[[ -z "$id" ]] || docker image rm "$id" >/dev/null 2>&1 || true
		tail -n 20 "$log" >&2
		fail "mmdebstrap could not build $image; the whole log is in $log"
	fi
	docker tag "$id" "$image"
	rm -f "$log"
}

# build_npm builds an image with npm packages. They are installed here and copied in: a build has no
# certificates that a registry may need, and no cache.
build_npm() (
	local folder="$1" base="$2" image="$3" context
	ensure npm npm
	context="$(mktemp -d)"
	trap 'rm -rf "$context"' EXIT
	for file in "${npm_files[@]}"; do cp "$brokers/$folder/$file" "$context"; done
	say "building $image (npm packages of $folder)"
	# The packages run in the image and not here, so their demands on this machine's Node do not count.
	if ! (cd "$context" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --engine-strict=false &&
		docker build -q --build-arg BASE="$base" -t "$image" .) </dev/null >"$context/log" 2>&1; then
		tail -n 20 "$context/log" >&2
		fail "could not build $image"
	fi
)

# build_go builds an image with a Go program, compiled here.
build_go() (
	local program="$1" base="$2" image="$3" context
	context="$(mktemp -d)"
	trap 'rm -rf "$context"' EXIT
	say "building $image ($program)"
	if ! {
		GOBIN="$context" GOFLAGS=-trimpath CGO_ENABLED=0 go install "$program" &&
			printf 'FROM %s\nCOPY . /usr/local/bin/\n' "$base" >"$context.dockerfile" &&
			docker build -q -f "$context.dockerfile" -t "$image" "$context"
	} </dev/null >"$context.log" 2>&1; then
		tail -n 20 "$context.log" >&2
		fail "could not build $image"
	fi
	rm -f "$context.dockerfile" "$context.log"
)

# build_suites builds the Debian images that the rows of the names want and that are missing, at the same
# time: each mostly waits for the mirror or for one dpkg.
build_suites() {
	local name official suite base pid wanted=() pids=()
	while IFS='|' read -r name _ official suite _ _; do
		(($# == 0)) || [[ " $* " == *" $name "* ]] || continue
		! { present "$official" || pull "$official" || present "$(stand_in "$name")"; } || continue
		base="$(debian_image "$suite")"
		present "$base" || [[ " ${wanted[*]} " == *" $suite "* ]] || wanted+=("$suite")
	done < <(rows)
	((${#wanted[@]} > 0)) || return 0
	grep -qs '^ID=debian$' /etc/os-release ||
		fail "images can be pulled from no registry here, and built only on Debian; pull them, or set BATCH_TEST_<FAMILY>_IMAGE or _URL"
	ensure mmdebstrap mmdebstrap
	for suite in "${wanted[@]}"; do
		build "$suite" "$(debian_image "$suite")" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || fail "not all images could be built"
	done
}

provide() {
	local name="$1" official="$2" suite="$3" folder program base image
	if present "$official" || pull "$official"; then
		echo "$name $official"
		return
	fi
	image="$(stand_in "$name")"
	if ! present "$image"; then
		base="$(debian_image "$suite")"
		folder="$(npm_folder "$name")"
		[[ -z "$folder" ]] || build_npm "$folder" "$base" "$image"
		program="$(go_program "$name")"
		[[ -z "$program" ]] || build_go "$program" "$base" "$image"
	fi
	echo "$name $image"
}

main() {
	local name official suite wanted
	if [[ "${1:-}" == --stand-in ]]; then
		stand_in "$2"
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
	build_suites "$@"
	while IFS='|' read -r name _ official suite _ _; do
		if (($# == 0)) || [[ " $* " == *" $name "* ]]; then
			provide "$name" "$official" "$suite"
		fi
	done < <(rows)
}

main "$@"
