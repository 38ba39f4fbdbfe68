#!/usr/bin/env bash
# Who uses whom inside the workspace, one edge a line, to docs/dependencies.txt. `--check` fails on a difference, so that
# a new edge is a decision that somebody reads and not a side effect; and it fails when something is linked that must be
# absent (ARCHITECTURE.md, "What is not there").
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

# absent PACKAGE PATTERN WHY: no crate of that name is linked into the package's binary.
absent() {
  local found
  found=$(cargo tree --quiet --package "$1" --edges normal --prefix none | cut -d ' ' -f 1 | sort -u | grep -xE "$2" || true)
  [ -z "$found" ] || { echo "error: $1 links ${found//$'\n'/, }: $3" >&2; return 1; }
}

absences() {
  local package failed=0
  for package in sallyport-gateway sallyport-agent; do
    absent "$package" 'kube(-.*)?|k8s-openapi|sallyport-(api|plan|operator)' \
      "nothing in the DMZ or at a site has a Kubernetes client" || failed=1
  done
  for package in sallyport-operator sallyport-gateway sallyport-agent sallyport-ctl; do
    absent "$package" 'ring|openssl|openssl-sys|native-tls|rsa|protobuf' "one TLS, one provider of cryptography" || failed=1
    absent "$package" 'sallyport-testkit' "test code is not shipped" || failed=1
  done
  return "$failed"
}

case ${1:-} in
  --check)
    diff --unified "$FILE" <(edges) || { echo "error: the edges changed; make deps, and read the diff" >&2; exit 1; }
    absences
    ;;
  "") edges >"$FILE" ;;
  *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac
