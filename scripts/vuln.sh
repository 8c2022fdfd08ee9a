#!/usr/bin/env bash
# Runs govulncheck in every module: it builds the module's call graph, and fails when that reaches a function
# with a known vulnerability.
#
#   scripts/vuln.sh package@version     of govulncheck
#
# Where the database of vulnerabilities cannot be reached, one with a single made-up entry stands in. It
# finds nothing, but everything is still loaded and analysed, so that what is wrong with that is seen here
# and not where releases are made. All modules go through it at once, as the workspace has them: with
# nothing to find, which versions each module alone would have does not matter, and what they share, which
# is most of it, is analysed once and not ten times. Each module alone is loaded by vet.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly govulncheck="$1"

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

# stand_in makes the database. Its entry is of the standard library and of a function that does not exist:
# without an entry for a package that is imported, govulncheck would not build the call graph.
stand_in() {
	local id=GO-0000-0000 date=2000-01-01T00:00:00Z
	mkdir "$folder/index" "$folder/ID"
	echo "{\"modified\":\"$date\"}" >"$folder/index/db.json"
	echo "[{\"path\":\"stdlib\",\"vulns\":[{\"id\":\"$id\",\"modified\":\"$date\"}]}]" >"$folder/index/modules.json"
	echo "[{\"id\":\"$id\",\"modified\":\"$date\"}]" >"$folder/index/vulns.json"
	cat >"$folder/ID/$id.json" <<-ENTRY
		{
		  "schema_version": "1.3.1", "id": "$id", "modified": "$date", "published": "$date",
		  "details": "A function that does not exist.",
		  "affected": [{
		    "package": {"name": "stdlib", "ecosystem": "Go"},
		    "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
		    "ecosystem_specific": {"imports": [{"path": "context", "symbols": ["NoSuchFunction"]}]}
		  }]
		}
	ENTRY
}

# Its own words on where it looks end with a date if the database answers.
if timeout 60 go run "$govulncheck" -version </dev/null 2>/dev/null | grep -q '^DB updated'; then
	scripts/modules.sh go run "$govulncheck" ./...
	exit
fi

stand_in
export GOWORK="$PWD/go.work"
if ! go run "$govulncheck" -db "file://$folder" work >"$folder/log" 2>&1 </dev/null; then
	cat "$folder/log"
	exit 1
fi
echo "vuln: NO ADVISORIES LOOKED UP: the database cannot be reached. All modules were loaded and analysed."
