#!/usr/bin/env bash
# Makes a release of all modules of this repository, under one version: a commit in which they require each
# other at that version, and a tag for each. What is below cmd is tagged one commit beside the branch, where its go.mod
# replaces nothing: go install refuses it otherwise. What holds nothing but tests has no tag, as nobody could use it. It pushes
# nothing, and prints the command that does.
#
#   scripts/release.sh version     v1.2.3, or v1.2.3-rc.1
#
# docs/releasing.md says when to call it, and what a release promises.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root="$PWD"
readonly root version="${1:-}"
readonly tests_only=(bench dash/browser idempotency/sqlstore/databases internal/deploy outbox/databases)

fail() {
	echo "release: $*" >&2
	exit 1
}

# tag_of prints the tag of the module in a folder: its version, below the folder's path.
tag_of() {
	local below="${1#"$root"}"
	echo "${below:+${below#/}/}$version"
}

# installable makes a commit on top of HEAD, on no branch, in which the go.mod of a folder has no replace, and prints
# it. The working tree stays as it is.
installable() {
	local file="${1#"$root"/}/go.mod" path drop=() blob tree
	for path in "${paths[@]}"; do
		drop+=("-dropreplace=$path")
	done
	blob="$(GOWORK=off go mod edit "${drop[@]}" -print "$file" | git hash-object -w --stdin)"
	tree="$(
		GIT_INDEX_FILE="$(mktemp -u)"
		export GIT_INDEX_FILE
		git read-tree HEAD
		git update-index --cacheinfo "100644,$blob,$file"
		git write-tree
		rm -f "$GIT_INDEX_FILE"
	)"
	git commit-tree -p HEAD -m "$file of $version, without replace" "$tree"
}

# Go wants another module path from v2 on.
[[ "$version" =~ ^v[01]\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-(alpha|beta|rc)\.[1-9][0-9]*)?$ ]] ||
	fail "the version is '$version', want v1.2.3 or v1.2.3-rc.1, with a major version of 0 or 1"
git rev-parse --git-dir >/dev/null 2>&1 ||
	fail "there is no Git repository"
[[ -z "$(git status --porcelain)" ]] ||
	fail "the working tree has changes; commit them, and run make check"
git symbolic-ref -q HEAD >/dev/null ||
	fail "no branch is checked out, so nothing could be pushed to one; check one out"
day="$(sed -nE "s/^## \[${version#v}\] - ([0-9]{4}-[0-9]{2}-[0-9]{2})\$/\1/p" CHANGELOG.md)"
[[ -n "$day" && "$(date -d "$day" +%F 2>/dev/null)" == "$day" ]] ||
	fail "CHANGELOG.md has no heading '## [${version#v}] - YYYY-MM-DD'; say there what changed, and commit it"
awk -v heading="## [${version#v}] - $day" '$0 == heading { inside = 1; next } /^## / { inside = 0 } inside && NF { found = 1 } END { exit !found }' CHANGELOG.md ||
	fail "CHANGELOG.md says nothing below the heading of ${version#v}; say what changed, and commit it"
last="$(git tag --list 'v*' --sort=-version:refname | head -n 1)"
[[ -z "$last" || "$(printf '%s\n' "$last" "$version" | sed 's/-/~/' | sort -V | tail -n 1 | sed 's/~/-/')" == "$version" ]] ||
	fail "the version $version is not above $last, the last one"

paths=() folders=() tags=()
modules="$(scripts/modules.sh)"
while read -r path folder; do
	paths+=("$path")
	folders+=("$folder")
	[[ " ${tests_only[*]} " == *" ${folder#"$root"/} "* ]] || tags[${#folders[@]} - 1]="$(tag_of "$folder")"
done <<<"$modules"
for tag in "${tags[@]}"; do
	! git rev-parse -q --verify "refs/tags/$tag" >/dev/null || fail "the tag $tag is there already"
done

trap 'git reset -q --hard && fail "nothing was committed"' ERR # the tree was clean
for folder in "${folders[@]}"; do
	for path in "${paths[@]}"; do
		! grep -Eq "^(require)?[[:space:]]+$path v" "$folder/go.mod" ||
			(cd "$folder" && GOWORK=off go mod edit -require="$path@$version")
	done
done
scripts/modules.sh go mod tidy
# Nothing to commit is no failure: somebody may have deleted the tags of a release to make it again.
if ! git diff --quiet; then
	git commit -q -a -m "Release $version"
fi
trap - ERR

for i in "${!tags[@]}"; do
	commit=HEAD
	case "${folders[i]}" in "$root"/cmd/*) commit="$(installable "${folders[i]}")" ;; esac
	git tag -a -m "${tags[i]}" "${tags[i]}" "$commit"
done

echo "$version is commit $(git rev-parse --short HEAD), with these tags: ${tags[*]}"
echo "To publish it, all at once:"
echo
echo "  git push --atomic origin HEAD ${tags[*]}"
