#!/usr/bin/env bash
# Checks manifests strictly against the schemas of the pinned Kubernetes and of the project's own CRDs: an unknown field,
# a wrong type and an unknown kind are errors. Files, folders, or - for what is piped in; nothing named means every
# manifest of the project.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

MANIFESTS=(crds manifests/samples charts/sallyport/tests/golden e2e/lab/config/coredns.yaml e2e/lab/config/storage.yaml)
# Kinds that are no object of the cluster, or of software that a cluster may lack; nobody here has their schemas.
SKIPPED=Kustomization,ServiceMonitor

main() {
  local crds schemas path
  if [ $# -eq 0 ]; then
    cd "$REPO"
    for path in "${MANIFESTS[@]}"; do
      [ ! -e "$path" ] || set -- "$@" "$path"
    done
  fi
  "$LAB_SCRIPTS/build.sh" kubeconform
  mapfile -t crds < <(find "$REPO/crds" -name '*.yaml' 2>/dev/null | sort)
  schemas=$("$LAB_SCRIPTS/schemas.sh" "${crds[@]}")
  "$(tool kubeconform)" -strict -summary -skip "$SKIPPED" \
    -schema-location "$schemas/{{ .ResourceKind }}{{ .KindSuffix }}.json" "$@"
}

main "$@"
