#!/usr/bin/env bash
# Refuses breaking changes of the schema, compared with where this branch left main or, on main itself, with the commit
# before. A clone that holds no such commit (shallow, or the first one) has nothing to compare with: skipped, and said so.
# A break that is wanted says why in the trailer "Schema-Break: REASON" of its commit.
set -euo pipefail

skip() { echo "buf breaking: skipped, $1"; exit 0; }

git rev-parse --verify --quiet HEAD &>/dev/null || skip 'not a git checkout'
base=
for main in origin/main main; do
	base=$(git merge-base HEAD "$main" 2>/dev/null) && break
done
if [[ -z $base || $base == "$(git rev-parse HEAD)" ]]; then
	base=$(git rev-parse --verify --quiet 'HEAD~1^{commit}') || skip 'no earlier commit in this clone'
fi
git cat-file -e "$base:proto" 2>/dev/null || skip "no schema in ${base:0:12}"

reason=$(git log --format='%(trailers:key=Schema-Break,valueonly,separator=%x2C )' "$base..HEAD" | tr -d '\n')
[[ -z $reason ]] || skip "a break is wanted: $reason"

# Piped, because buf's own git input wants to clone, which linked worktrees and shallow clones do not allow.
git archive --format tar "$base" buf.yaml proto | bin/buf breaking --against '-#format=tar'
echo "buf breaking: none since ${base:0:12}"
