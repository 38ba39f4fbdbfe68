#!/usr/bin/env bash
# Removes what the tests made. The chart goes too, unless it also serves somebody else's objects, such as the demo's.
set -euo pipefail
ours=(e2e-api e2e-dmz e2e-crash-0 e2e-crash-1 e2e-crash-2 e2e-ctl e2e-api-sites e2e-ctl-sites e2e-sites)
kinds=mdev,tcert,tep,csite,apol,dmz,ca

for namespace in "${ours[@]}"; do
  # Sites first: their tunnels are cut by gateways that are still there.
  for kind in mdev,tcert,tep,csite apol,dmz,ca; do
    kubectl --namespace "$namespace" delete "$kind" --all --ignore-not-found --timeout=90s >/dev/null
  done
done
kubectl delete namespace "${ours[@]}" --ignore-not-found --timeout=90s >/dev/null
if [ -z "$(kubectl get "$kinds" --all-namespaces --output name)" ]; then
  helm uninstall sallyport --namespace sallyport-system --ignore-not-found --wait >/dev/null
  kubectl get crd --output name | grep '\.sallyport\.dev$' | xargs --no-run-if-empty kubectl delete >/dev/null
  kubectl delete namespace sallyport-system dmz-frankfurt site-lyon --ignore-not-found --timeout=90s >/dev/null
fi
