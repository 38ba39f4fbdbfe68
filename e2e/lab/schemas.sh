#!/usr/bin/env bash
# Makes the JSON schemas that validate.sh checks manifests against, and prints their folder: all kinds of the pinned
# Kubernetes, from the OpenAPI document in its module, and those of the CRD files given as arguments. Nothing is fetched
# but that module. The folder is named after all that goes into it, so it is made once.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

main() {
  local hash folder module
  hash=$(cat "$LAB_SCRIPTS/tools/kubernetes/go.mod" "$LAB_SCRIPTS/schemas.py" "$@" | sha256sum | cut -c 1-12)
  folder=$CACHE/schemas/$hash
  if [ ! -d "$folder" ]; then
    # Debian's own Python, since it has Debian's python3-yaml.
    /usr/bin/python3 -c 'import yaml' 2>/dev/null || die "python3-yaml is missing" "make lab-deps"
    find "$CACHE/schemas" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} + 2>/dev/null || true
    rm -rf "$folder.part"
    mkdir -p "$folder.part"
    cd "$LAB_SCRIPTS/tools/kubernetes"
    go mod download k8s.io/kubernetes
    module=$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)
    cd "$OLDPWD"
    /usr/bin/python3 "$LAB_SCRIPTS/schemas.py" "$module/api/openapi-spec/swagger.json" "$folder.part" "$@"
    mv "$folder.part" "$folder"
  fi
  echo "$folder"
}

main "$@"
