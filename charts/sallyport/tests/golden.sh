#!/usr/bin/env bash
# Renders the chart with each file of tests/values to tests/golden; `--check` fails on a difference and shows it. Also
# that a chart with mistakes in its values is refused, and that helm's own linter has nothing to say.
set -euo pipefail
cd "$(dirname "$0")/.."
check=${1:-}

helm=$(command -v helm || echo "${SALLYPORT_CACHE:-$HOME/.cache/sallyport}/bin/helm")
[ -x "$helm" ] || {
  echo "error: there is no helm" >&2
  echo "  remedy: install Helm 3.14 or newer, or make lab-up, which builds one" >&2
  exit 1
}

# Release and namespace are constants, so that only the chart and the values decide.
render() { "$helm" template sallyport . --namespace sallyport-system --kube-version 1.33.0 --values "$1"; }

status=0
for values in tests/values/*.yaml; do
  name=$(basename "$values" .yaml)
  golden=tests/golden/$name.yaml
  # The definitions have their own check (crdgen); here they would only repeat it.
  rendered=$(render "$values" | awk 'BEGIN { RS = "---\n"; ORS = "---\n" } NR > 1 && $0 !~ /\nkind: CustomResourceDefinition\n/')
  definitions=$(render "$values" | grep -c '^kind: CustomResourceDefinition$' || true)
  rendered="# $definitions CustomResourceDefinitions, and:"$'\n'"---"$'\n'"$rendered"
  if [ "$check" != --check ]; then
    mkdir -p tests/golden
    printf '%s\n' "$rendered" >"$golden"
  elif ! diff --unified "$golden" <(printf '%s\n' "$rendered"); then
    status=1
  fi
  "$helm" lint . --quiet --strict --kube-version 1.33.0 --values "$values" || status=1
done

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' ../../Cargo.toml | head -n 1)
grep -qx "appVersion: $version" Chart.yaml || {
  echo "error: Chart.yaml's appVersion is not the workspace's version, $version" >&2
  status=1
}

# Values that must be refused, with a part of what helm then says.
refused() { # SETTING WORDS
  if output=$("$helm" template sallyport . --kube-version 1.33.0 --set "$1" 2>&1); then
    echo "error: --set $1 was accepted" >&2
    status=1
  elif ! grep -q -- "$2" <<<"$output"; then
    echo "error: --set $1 is refused without a word about '$2':" >&2
    echo "$output" >&2
    status=1
  fi
}
refused operator.replica=3 replica
refused 'operator.replicas=2' 'name at least one namespace'
refused 'namespaces.regions={Dmz_Eu}' namespaces
refused operator.replicas=0 replicas
refused operator.image.tag=a:b tag
refused crds.enabled=maybe enabled
refused operator.image.digest=abc digest
refused 'namespaces.regions={dmz},archive.s3.bucket=records' 'name another place for persons'
refused archive.volume.accessMode=ReadOnlyMany accessMode

[ "$status" = 0 ] || echo "error: the chart differs from tests/golden or is not sound; make golden, and read the diff" >&2
exit "$status"
