#!/usr/bin/env bash
# Who uses whom inside the workspace, one edge a line, to docs/dependencies.txt. `--check` fails on a difference, so that
# a new edge is a decision that somebody reads and not a side effect.
set -euo pipefail
cd "$(dirname "$0")/.."
FILE=docs/dependencies.txt

edges() {
  cargo metadata --format-version 1 --no-deps | jq -r '
    [.packages[].name] as $ours
    | .packages[]
    | .name as $from
    | .dependencies[]
    | select(.name as $to | $ours | index($to))
    | "\($from) -> \(.name)\(if .kind == null then "" else " (\(.kind))" end)"' | LC_ALL=C sort -u
}

case ${1:-} in
  --check)
    diff --unified "$FILE" <(edges) || { echo "error: the edges changed; make deps, and read the diff" >&2; exit 1; }
    ;;
  "") edges >"$FILE" ;;
  *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac
