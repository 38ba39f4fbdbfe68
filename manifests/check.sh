#!/usr/bin/env bash
# Asks an API server, without changing anything, whether it accepts every sample and refuses everything in refused/ with
# the words that its comment promises. Needs a cluster with the definitions (KUBECONFIG).
set -euo pipefail
cd "$(dirname "$0")"
made=()
parts=$(mktemp -d)
cleanup() {
  rm -rf "$parts"
  [ ${#made[@]} = 0 ] || kubectl delete "${made[@]}" >/dev/null
}
trap cleanup EXIT

kubectl get crd devices.sallyport.dev >/dev/null || {
  echo "  remedy: kubectl apply --server-side --filename crds/, or install the chart" >&2
  exit 1
}
# A dry run in a namespace that does not exist is refused for that alone.
for namespace in dmz-frankfurt site-lyon; do
  kubectl get namespace "$namespace" >/dev/null 2>&1 || {
    kubectl create namespace "$namespace" >/dev/null
    made+=("namespace/$namespace")
  }
done

dry_run() { kubectl apply --server-side --force-conflicts --dry-run=server --validate=strict --filename "$1" 2>&1; }

failed=0 accepted=0 refused=0
for file in samples/[0-9]*.yaml; do
  if output=$(dry_run "$file"); then
    accepted=$((accepted + $(grep -c 'serverside-applied' <<<"$output")))
  else
    echo "$file: $output" >&2
    failed=$((failed + 1))
  fi
done

awk -v folder="$parts" 'BEGIN { RS = "---\n" } { file = sprintf("%s/%04d.yaml", folder, NR); print > file; close(file) }' refused/*.yaml
for part in "$parts"/*.yaml; do
  name=$(sed -n '1s/^# //p' "$part")
  words=$(sed -n 's/^# refused: //p' "$part")
  if output=$(dry_run "$part"); then
    echo "$name: was accepted" >&2
    failed=$((failed + 1))
  elif ! grep -qF -- "$words" <<<"$output"; then
    echo "$name: was refused, but without '$words': $output" >&2
    failed=$((failed + 1))
  else
    refused=$((refused + 1))
  fi
done

echo "manifests: $accepted accepted, $refused refused as they should, $failed failed"
[ "$failed" = 0 ]
