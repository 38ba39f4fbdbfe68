#!/usr/bin/env bash
# How fast a certificate authority issues and rotates IDENTITIES certificates, each delivered in a Secret, and what that is
# compared with, in the same run on the same API server:
#
#   the bare signing rate          libs/pki alone, without a cluster
#   the API server's write floor   as many Secrets of that size, written by a client that does nothing else
#   cert-manager's CA issuer       its own controllers as a process, without a client-side limit
#
# All objects exist, and endpoints are admitted, before an issuer starts, so that each is measured from its first certificate to its last. cert-manager's
# are spread over a hundred namespaces, since it lists a namespace's requests for each certificate.
#
#   IDENTITIES=10000 WORKERS=5 e2e/bench/ca.sh        WORKERS: of each of cert-manager's controllers; 5 is its default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
IDENTITIES=${IDENTITIES:-10000} WORKERS=${WORKERS:-5} CONCURRENCY=${CONCURRENCY:-32} PARTS=${PARTS:-floor sallyport cert-manager}
CACHE=${SALLYPORT_CACHE:-$HOME/.cache/sallyport}
BENCH=${CARGO_TARGET_DIR:-$CACHE/target}/release/bench_ca
OUT=docs/benchmarks/ca.csv
REGION=e2e-api TENANT=e2e-api-sites SYSTEM=sallyport-system
mapfile -t SPACES < <(seq -f 'bench-cm-%.0f' 0 99)
work=$(mktemp -d)
controllers=
trap 'clean false; rm -rf "$work"' EXIT

say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
row() { # WHAT NUMBER SECONDS
  printf '%s,%s,%s,%s\n' "$1" "$2" "$3" "$(echo "scale=1; $2 / $3" | bc)" | tee -a "$work/rows" >&2
}
objects() { "$BENCH" objects "$@"; }
write() { "$BENCH" write "$1" "$CONCURRENCY"; }
operators() { kubectl --namespace "$SYSTEM" scale deployment/sallyport --replicas "$1" >/dev/null; }
count() { # RESOURCE SELECTOR: without reading them all.
  kubectl get --raw "$1?limit=1&labelSelector=$2" | jq '(.items | length) + (.metadata.remainingItemCount // 0)'
}

# until_there SECONDS WHAT COMMAND...
until_there() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $end ] || { echo "error: waited in vain: $what" >&2; return 1; }
    read -rt 2 <> <(:) || true
  done
}

main() {
  cargo build --release --quiet --package sallyport-e2e --bin bench_ca
  clean true
  local part
  for part in $PARTS; do "${part/-/_}"; done
  mkdir -p docs/benchmarks
  { echo what,certificates,seconds,per_second; cat "$work/rows"; } >"$OUT"
  column -t -s , "$OUT"
}

floor() {
  local rates
  read -r -a rates < <("$BENCH" sign 20000 "$(nproc)")
  row "bare signing" 20000 "$(echo "scale=3; 20000 / ${rates[0]}" | bc)"
  row "bare signing with a new key each" 20000 "$(echo "scale=3; 20000 / ${rates[1]}" | bc)"
  kubectl create namespace bench-floor >/dev/null
  objects secrets "$IDENTITIES" bench-floor >"$work/secrets"
  timed "API server's write floor: Secrets created" POST "$work/secrets"
  # Another content, or nothing would be written.
  sed 's/QUFB/QkJC/g' "$work/secrets" >"$work/changed"
  timed "API server's write floor: Secrets replaced" PUT "$work/changed"
  kubectl delete namespace bench-floor --wait=false >/dev/null
}

timed() { # WHAT METHOD FILE
  local rate failed
  read -r rate failed < <(write "$2" <"$3")
  [ "$failed" = 0 ] || { echo "error: $failed writes failed: $1" >&2; exit 1; }
  row "$1" "$IDENTITIES" "$(echo "scale=3; $IDENTITIES / $rate" | bc)"
}

sallyport() {
  local kind first last before
  say "a region, and $IDENTITIES endpoints with their certificates"
  region
  create sites
  create endpoints
  # What an endpoint costs, a status and an Event, is not what a certificate costs.
  until_there 1800 "endpoints" admitted
  operators 0
  create tunnelcertificates
  say "the operator begins"
  operators 2
  until_there 1800 "certificates" issued_by 1
  read -r first last < <(span_of_issues)
  row "Sallyport: first issue" "$IDENTITIES" $((last - first))
  before=$(date +%s)
  say "rotation"
  kubectl --namespace "$REGION" patch ca bench --type merge --patch '{"spec":{"rotateRequest":{"id":"bench","reason":"benchmark"}}}' >/dev/null
  until_there 3600 "the old generation removed" rotated
  read -r first last < <(span_of_issues)
  row "Sallyport: rotation; first certificate to last" "$IDENTITIES" $((last - first))
  row "Sallyport: rotation; request to old root removed" "$IDENTITIES" $(($(date +%s) - before))
}

create() { # KIND
  objects "$1" "$IDENTITIES" "$TENANT" >"$work/$1"
  read -r _ failed < <(write POST <"$work/$1")
  [ "$failed" = 0 ]
}
admitted() {
  [ "$(kubectl get --raw "/apis/sallyport.dev/v1alpha1/namespaces/$TENANT/tunnelendpoints?labelSelector=bench=1" |
    jq '[.items[] | select(any(.status.conditions[]?; .type == "Ready" and .status == "True"))] | length')" = "$IDENTITIES" ]
}

region() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key" -out "$work/ca.crt" \
    -subj /CN=bench -days 1 2>/dev/null
  kubectl --namespace "$REGION" create configmap bench-engineers --from-file="$work/ca.crt" >/dev/null
  kubectl apply --server-side --filename - >/dev/null <<END
apiVersion: sallyport.dev/v1alpha1
kind: CertificateAuthority
metadata: {name: bench, namespace: $REGION, labels: {bench: "1"}}
spec: {subject: {commonName: Bench}, rotation: {publishFor: 0s, renewWithin: 0s}}
---
apiVersion: sallyport.dev/v1alpha1
kind: DmzRegion
metadata: {name: bench, namespace: $REGION, labels: {bench: "1"}}
spec:
  outer: {host: bench.outer.example}
  inner: {host: bench.inner.example}
  replicas: 1
  certificateAuthorityRef: {name: bench}
  engineers: {clientCertificates: {authoritiesRef: {name: bench-engineers}}}
  allowedSites: {namespaces: [$TENANT]}
END
  kubectl --namespace "$REGION" wait --for=condition=Ready dmz/bench --timeout=180s >/dev/null
}

# Reading ten thousand objects takes seconds, so first the operator is asked how many it has issued.
issued_by() { # GENERATION
  read -rt 10 <> <(:) || true
  [ "$(certificates | jq --argjson generation "$1" '[.items[] | select(.status.issuerGeneration == $generation)] | length')" = "$IDENTITIES" ]
}
certificates() { kubectl get --raw "/apis/sallyport.dev/v1alpha1/namespaces/$TENANT/tunnelcertificates?labelSelector=bench=1"; }
span_of_issues() { certificates | jq -r '[.items[].status.issuedAt | sub("\\.[0-9]+"; "") | fromdateiso8601] | "\(min) \(max)"'; }
rotated() {
  [ "$(kubectl --namespace "$REGION" get ca bench --output json |
    jq '.status.issuing == 2 and any(.status.generations[]; .number == 1 and .state == "Removed")')" = true ] && issued_by 2
}

cert_manager() {
  local workers module
  e2e/lab/build.sh cert-manager
  module=$(cd e2e/lab/tools/certmanager && go list -m -f '{{.Dir}}' github.com/cert-manager/cert-manager)
  for workers in $WORKERS; do
    say "cert-manager with $workers workers"
    kubectl apply --server-side --filename "$module/deploy/crds" >/dev/null
    kubectl wait --for=condition=Established --timeout=30s crd/{certificates,certificaterequests,issuers}.cert-manager.io >/dev/null
    issuers
    objects certificates "$IDENTITIES" "${SPACES[@]}" >"$work/certificates"
    read -r _ failed < <(write POST <"$work/certificates")
    [ "$failed" = 0 ]
    "$CACHE/bin/cert-manager" -kubeconfig "$KUBECONFIG" -workers "$workers" >"$work/cert-manager.log" 2>&1 &
    controllers=$!
    until_there 3600 "cert-manager's certificates" all_ready
    read -r first last < <(span_of_ready)
    row "cert-manager $(cd "$module" && basename "$module" | sed 's/.*@//') CA issuer with $workers workers: first issue" "$IDENTITIES" $((last - first))
    remove_cert_manager true
  done
}

issuers() {
  local space
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/tls.key" -out "$work/tls.crt" \
    -subj /CN=bench -days 365 -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
  for space in "${SPACES[@]}"; do
    cat <<END
apiVersion: v1
kind: Namespace
metadata: {name: $space}
---
apiVersion: v1
kind: Secret
metadata: {name: bench, namespace: $space}
type: kubernetes.io/tls
data: {tls.crt: $(base64 -w0 "$work/tls.crt"), tls.key: $(base64 -w0 "$work/tls.key")}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: bench, namespace: $space}
spec: {ca: {secretName: bench}}
---
END
  done | kubectl apply --server-side --filename - >/dev/null
}

all_ready() {
  read -rt 10 <> <(:) || true
  kill -0 "$controllers" || { tail -n 5 "$work/cert-manager.log" >&2; exit 1; }
  [ "$(cm_certificates | jq '[.items[] | select(any(.status.conditions[]?; .type == "Ready" and .status == "True"))] | length')" = "$IDENTITIES" ]
}
cm_certificates() { kubectl get --raw "/apis/cert-manager.io/v1/certificates?labelSelector=bench=1"; }
span_of_ready() {
  cm_certificates | jq -r '[.items[].status.conditions[] | select(.type == "Ready") | .lastTransitionTime | fromdateiso8601] | "\(min) \(max)"'
}

remove_cert_manager() { # WAIT
  if [ -n "$controllers" ]; then
    kill "$controllers" 2>/dev/null || true
    wait "$controllers" 2>/dev/null || true
  fi
  controllers=
  kubectl delete crd --ignore-not-found {certificates,certificaterequests,issuers,clusterissuers}.cert-manager.io \
    {challenges,orders}.acme.cert-manager.io >/dev/null
  kubectl delete namespace "${SPACES[@]}" --ignore-not-found --wait="$1" --timeout=900s >/dev/null
}

# Without the operator: it would revoke ten thousand certificates one by one first.
clean() { # WAIT
  local kind
  if kubectl get crd tunnelcertificates.sallyport.dev >/dev/null 2>&1; then
    operators 0 2>/dev/null || true
    for kind in tunnelcertificates tunnelendpoints customersites; do
      kubectl get --raw "/apis/sallyport.dev/v1alpha1/namespaces/$TENANT/$kind?labelSelector=bench=1" |
        jq -r --arg kind "$kind" '.items[].metadata | "/apis/sallyport.dev/v1alpha1/namespaces/\(.namespace)/\($kind)\t{\"metadata\":{\"name\":\"\(.name)\",\"finalizers\":null}}"' \
          >"$work/finalizers"
      if [ -s "$work/finalizers" ]; then
        write PATCH <"$work/finalizers" >/dev/null
        kubectl delete --raw "/apis/sallyport.dev/v1alpha1/namespaces/$TENANT/$kind?labelSelector=bench=1" >/dev/null
      fi
    done
    # The garbage collector would take twenty minutes for them, and everything else would wait behind.
    kubectl delete --raw "/api/v1/namespaces/$TENANT/secrets?labelSelector=app.kubernetes.io/name=sallyport-certificate" >/dev/null
    operators 2 2>/dev/null || true
    kubectl --namespace "$REGION" delete dmz,ca --selector bench=1 --ignore-not-found --timeout=120s >/dev/null
    # What an authority's object leaves behind is for whoever makes it anew: here it would begin with a second generation.
    kubectl --namespace "$REGION" delete secret/bench-ca configmap/bench-ca-trust configmap/bench-engineers --ignore-not-found >/dev/null
    # A gateway of the run before would not know the new authority.
    [ "$1" = false ] || kubectl --namespace "$REGION" wait --for=delete statefulset/bench-gateway pod/bench-gateway-0 --timeout=900s >/dev/null
  fi
  kubectl delete namespace bench-floor --ignore-not-found --wait="$1" >/dev/null
  remove_cert_manager "$1"
}

main
