#!/usr/bin/env bash
# docs/compliance.md has one row for each requirement, R1 to R141, and names only tests that exist.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
say() { echo "error: docs/compliance.md: $*" >&2; failed=1; }

diff <(grep -oE '^\| R[0-9]+ ' docs/compliance.md | tr -d '| ') <(seq -f 'R%.0f' 141) >/dev/null ||
  say "the rows are not R1 to R141, in order and once each"

functions=$(git grep -hoE 'fn [a-z0-9_]+' -- '*.rs' | cut -d ' ' -f 2 | sort -u)
# shellcheck disable=SC2016 # The backquotes are those of the page.
while read -r test; do
  grep -qx "$test" <<<"$functions" || say "there is no test $test"
done < <(grep -E '^\| R' docs/compliance.md | sed 's/.*| \(.*\) |$/\1/' | grep -oE '`[a-z0-9_]+`' | tr -d '`' | sort -u)

exit "$failed"
