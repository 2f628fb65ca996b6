#!/usr/bin/env bash
# Tells whether the generated code is what the schema generates now. It generates beside the tree and compares, so that
# checking changes nothing.
set -euo pipefail

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
bin/buf generate --output "$fresh"

generated() { (cd "$1" && find proto -name '*.pb.go' | sort); }

for file in $(sort -u <(generated .) <(generated "$fresh")); do
	diff -u "$file" "$fresh/$file" || { echo "$file is not what the schema generates: run make generate" >&2; exit 1; }
done
