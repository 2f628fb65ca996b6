#!/usr/bin/env bash
# Runs every fuzz target of the given packages for FUZZTIME each, all of them even if one fails. Without a bound on
# minimising, most of the time goes into making interesting inputs smaller.
set -euo pipefail

targets=$(go test -list '^Fuzz' "$@" | awk '/^Fuzz/ {name[n++] = $1} $1 == "ok" {while (n) print $2, name[--n]}')
[[ -n $targets ]] || { echo "no fuzz targets in $*" >&2; exit 1; }

failed=()
while read -r package target; do
	echo "== $package $target"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" -fuzzminimizetime 100x "$package" </dev/null || failed+=("$package.$target")
done <<<"$targets"

if ((${#failed[@]})); then
	printf 'failed: %s\n' "${failed[@]}" >&2
	echo 'the inputs are under testdata/fuzz: commit them with the fix' >&2
	exit 1
fi
