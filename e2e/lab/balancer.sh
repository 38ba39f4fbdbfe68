#!/usr/bin/env bash
# Gives each Service of type LoadBalancer an address, as a cloud would: one from the node's network, which kube-proxy answers
# for, so that regions with such doors become ready here. It runs beside the other components for as long as the lab is up.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

POOL=10.199.0
FIRST=100 LAST=199

main() {
  # A watch begins with everything there is, so nothing is missed while the API server or this script was away.
  while true; do
    lab_kubectl get services --all-namespaces --watch --no-headers --output \
      'custom-columns=SPACE:.metadata.namespace,NAME:.metadata.name,TYPE:.spec.type,AT:.status.loadBalancer.ingress[0].ip' \
      2>/dev/null |
      while read -r namespace name type address; do
        [ "$type $address" != "LoadBalancer <none>" ] || give "$namespace" "$name" || warn "$namespace/$name got no address"
      done || true
    sleep 1 # Between two tries to reach an API server that is away.
  done
}

give() { # NAMESPACE SERVICE
  local taken number
  taken=$(lab_kubectl get services --all-namespaces --output jsonpath='{.items[*].status.loadBalancer.ingress[*].ip}')
  for ((number = FIRST; number <= LAST; number++)); do
    [[ " $taken " == *" $POOL.$number "* ]] || break
  done
  [ "$number" -le "$LAST" ] || return 1
  lab_kubectl --namespace "$1" patch service "$2" --subresource status \
    --patch "{\"status\": {\"loadBalancer\": {\"ingress\": [{\"ip\": \"$POOL.$number\"}]}}}"
}

main
