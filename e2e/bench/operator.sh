#!/usr/bin/env bash
# How the operator bears SITES hospitals (each a CustomerSite, a TunnelEndpoint and a Device): how long until all are
# Ready, how many writes that took beyond the unavoidable, whether it is silent afterwards, and its memory. Times and writes
# are the API server's own, from its audit log; memory is the process'. Needs the lab, for both.
#
#   SITES=1000 QUIET=60 e2e/bench/operator.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
SITES=${SITES:-1000} QUIET=${QUIET:-60}
LAB=${SALLYPORT_LAB:-/var/lib/sallyport-lab}
OPERATOR=system:serviceaccount:sallyport-system:sallyport
REGION=e2e-api TENANT=e2e-api-sites
MOST_MEMORY=60 # MB, the goal for 1000 sites
work=$(mktemp -d)
trap 'rm -rf "$work"; clean' EXIT

clean() {
  kubectl --namespace "$TENANT" delete mdev,tep,csite --selector bench=1 --ignore-not-found --wait=false >/dev/null
  kubectl --namespace "$TENANT" wait --for=delete csite,tep,mdev --selector bench=1 --timeout=300s >/dev/null 2>&1 || true
  kubectl --namespace "$REGION" delete dmz,ca,configmap --selector bench=1 --ignore-not-found >/dev/null
}

# The operator's own write requests since a line of the audit log, leases and events left out.
writes_since() {
  tail -n "+$1" "$LAB/audit.log" | grep -F "\"username\":\"$OPERATOR\"" | jq -r 'select(.stage == "ResponseComplete")
    | select(.verb | IN("create", "update", "patch", "delete", "deletecollection"))
    | select(.objectRef.resource | IN("leases", "events") | not)
    | [.requestReceivedTimestamp, .verb, .objectRef.resource, (.objectRef.subresource // ""), .objectRef.name] | @tsv'
}
line() { wc -l <"$LAB/audit.log"; }

objects() {
  local n
  for n in $(seq "$SITES"); do
    cat <<END
apiVersion: sallyport.dev/v1alpha1
kind: CustomerSite
metadata: {name: bench-$n, namespace: $TENANT, labels: {bench: "1"}}
spec: {customer: {name: Hospital $n}, country: FR, regionRef: {name: bench, namespace: $REGION}}
---
apiVersion: sallyport.dev/v1alpha1
kind: TunnelEndpoint
metadata: {name: bench-$n, namespace: $TENANT, labels: {bench: "1"}}
spec: {siteRef: {name: bench-$n}, webSocket: {route: direct}}
---
apiVersion: sallyport.dev/v1alpha1
kind: Device
metadata: {name: bench-$n, namespace: $TENANT, labels: {bench: "1"}}
spec:
  siteRef: {name: bench-$n}
  endpointRef: {name: bench-$n}
  product: {model: CT, serialNumber: CT-$n, class: inVivo}
  address: 10.77.0.10
  services: [{name: ssh, port: 22, protocol: ssh}]
---
END
  done
}

region() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key" -out "$work/ca.crt" \
    -subj /CN=bench -days 1 2>/dev/null
  kubectl --namespace "$REGION" create configmap bench-engineers --from-file="$work/ca.crt" >/dev/null
  kubectl --namespace "$REGION" label configmap bench-engineers bench=1 >/dev/null
  kubectl apply --server-side --filename - >/dev/null <<END
apiVersion: sallyport.dev/v1alpha1
kind: CertificateAuthority
metadata: {name: bench, namespace: $REGION, labels: {bench: "1"}}
spec: {subject: {commonName: Bench}}
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
  kubectl --namespace "$REGION" wait --for=condition=Ready dmz/bench --timeout=120s >/dev/null
}

ready() { kubectl --namespace "$TENANT" get "$1" --selector bench=1 --output json |
  jq '[.items[] | select(.metadata.generation == .status.observedGeneration)
    | select(any(.status.conditions[]?; .type == "Ready" and .status == "True"))] | length'; }

memory() { # the leader: the operator process with the most
  local pid most=0 peak=0
  for pid in $(pgrep -x sallyport-opera); do
    most=$(awk -v most="$most" '/^VmRSS/ && $2 > most { most = $2 } END { print most }' "/proc/$pid/status")
    peak=$(awk -v peak="$peak" '/^VmHWM/ && $2 > peak { peak = $2 } END { print peak }' "/proc/$pid/status")
  done
  echo "$((most / 1024)) $((peak / 1024))"
}

clean
region
objects >"$work/objects.yaml"
began=$(line)
echo "creating $SITES sites ($((SITES * 3)) objects)"
kubectl create --filename "$work/objects.yaml" >/dev/null
deadline=$((SECONDS + 600))
until [ "$(ready csite)" = "$SITES" ] && [ "$(ready tep)" = "$SITES" ] && [ "$(ready mdev)" = "$SITES" ]; do
  [ $SECONDS -lt $deadline ] || { echo "not Ready within 10 min: $(ready csite) sites, $(ready tep) endpoints, $(ready mdev) devices" >&2; exit 1; }
done
# Read to the end: a reader that stops early would end the pipe with an error.
first=$(tail -n "+$began" "$LAB/audit.log" | grep -F '"resource":"customersites"' | awk '/"verb":"create"/ && !n++' | jq -r .requestReceivedTimestamp)
writes_since "$began" >"$work/writes"
last=$(tail -n 1 "$work/writes" | cut -f 1)
count=$(wc -l <"$work/writes")
# Unavoidable: a status for each of three objects, and a finalizer for each site and endpoint.
minimal=$((SITES * 5))
# Silence is counted from the last write of the convergence.
quiet_from=$(line)
end=$((SECONDS + QUIET))
until [ $SECONDS -ge $end ]; do read -rt 1 <> <(:) || true; done
after=$(writes_since "$quiet_from" | wc -l)
read -r rss peak < <(memory)
printf 'sites %s\nconverged in %s s (first create to last write)\nwrites %s, unavoidable %s, amplification %s\n' "$SITES" \
  "$(echo "$(date -d "$last" +%s.%N) - $(date -d "$first" +%s.%N)" | bc)" "$count" "$minimal" \
  "$(echo "scale=2; $count / $minimal" | bc)"
printf 'writes in %s s afterwards: %s\nmemory %s MB, peak %s MB (goal %s MB)\n' "$QUIET" "$after" "$rss" "$peak" "$MOST_MEMORY"
[ "$after" = 0 ] && [ "$rss" -le "$MOST_MEMORY" ]
