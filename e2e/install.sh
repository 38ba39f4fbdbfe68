#!/usr/bin/env bash
# Installs the chart as the tests need it: with the images that were just built, and the tests' namespaces. Run again, it
# upgrades. The demo's namespaces stay served.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
names=${SALLYPORT_LAB:-/var/lib/sallyport-lab}/images.env
[ -f "$names" ] || names=${SALLYPORT_CACHE:-$HOME/.cache/sallyport}/images.env
[ -f "$names" ] || { echo "error: there are no images" >&2; echo "  remedy: make images" >&2; exit 1; }
# shellcheck disable=SC1090
. "$names"
: "${OPERATOR_IMAGE:?make images}" "${GATEWAY_IMAGE:?make images}"

helm upgrade --install sallyport charts/sallyport --namespace sallyport-system --create-namespace --take-ownership --wait --timeout 3m \
  --set operator.image.repository="${OPERATOR_IMAGE%:*}" --set operator.image.tag="${OPERATOR_IMAGE##*:}" \
  --set gateway.image.repository="${GATEWAY_IMAGE%:*}" --set gateway.image.tag="${GATEWAY_IMAGE##*:}" \
  --set 'namespaces.regions={dmz-frankfurt,e2e-api,e2e-crash-0,e2e-crash-1,e2e-crash-2,e2e-ctl,e2e-dmz}' \
  --set 'namespaces.sites={site-lyon,e2e-api-sites,e2e-ctl-sites,e2e-sites}' >/dev/null
# A region keeps the image it was created with, so one that an earlier run left is told of the new one.
if kubectl --namespace e2e-dmz get dmzregion test >/dev/null 2>&1; then
  kubectl --namespace e2e-dmz patch dmzregion test --type merge \
    --patch "{\"spec\":{\"dataPlane\":{\"image\":\"$GATEWAY_IMAGE\"}}}" >/dev/null
fi
echo "chart installed with $OPERATOR_IMAGE"
