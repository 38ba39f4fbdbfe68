# shellcheck shell=bash
# The vendor's side: a cluster with Sallyport in it, a region, and what a tenant declares.

PKI=$STATE/engineers-ca
TOLD='kubectl -n sallyport-system logs deployment/sallyport --tail 50'

cluster_up() {
  title "Cluster"
  if own_cluster; then
    step "your cluster answers ($(kubectl config current-context 2>/dev/null))" "kubectl version" kubectl get nodes
  else
    step "the lab: a one-node Kubernetes on this machine" "make lab-status" make -C "$REPO" lab-up
  fi
  step "binaries (the first build takes minutes)" "make binaries" make -C "$REPO" binaries
  step "images" "make images" "$LAB_SCRIPTS/images.sh"
}

install() {
  title "Sallyport"
  step "Helm chart: operator, definitions, admission rules" "helm -n $RELEASE_SPACE history $RELEASE" chart
  step "operator is ready" "kubectl -n $RELEASE_SPACE describe pods" operator_ready
}

release() { helm list --namespace "$RELEASE_SPACE" --all --short --filter "^$RELEASE\$" "$@"; }
release_of_demo() { release --selector "$DEMO_LABEL=true"; }

# In the lab the tests use the same release: whoever installs leaves the other's namespaces served, and who comes at the same
# moment is refused by helm, and tries again.
chart() { install_chart || { sleep 5; install_chart; }; }

install_chart() {
  local old='{}' label=(--labels "$DEMO_LABEL=true")
  if [ -n "$(release)" ]; then
    old=$(helm get values "$RELEASE" --namespace "$RELEASE_SPACE" --output json) || return 1
    if [ -z "$(release_of_demo)" ]; then
      ! own_cluster || die "release $RELEASE in $RELEASE_SPACE was not made by the demo, which would change its settings" \
        "use another cluster, or remove it: helm uninstall $RELEASE --namespace $RELEASE_SPACE"
      label=()
    fi
  fi
  values "$old" >"$STATE/values.json" &&
    helm upgrade --install "$RELEASE" "$REPO/charts/sallyport" --namespace "$RELEASE_SPACE" --create-namespace \
      "${label[@]}" --values "$STATE/values.json"
}

values() { # OLD
  local crds=true
  # Definitions that somebody applied apart from a chart stay theirs.
  ! foreign_definitions || crds=false
  jq --null-input --argjson old "${1/#null/{\}}" --arg region "$REGION_SPACE" --arg site "$SITE_SPACE" \
    --argjson crds "$crds" --arg operator "$(image_of OPERATOR)" --arg gateway "$(image_of GATEWAY)" '
    def image: capture("^(?<repository>.*):(?<tag>[^:]*)$");
    { namespaces: {
        regions: (($old.namespaces.regions // []) + [$region] | unique),
        sites: (($old.namespaces.sites // []) + [$site] | unique) },
      crds: {enabled: $crds}, operator: {image: ($operator | image)}, gateway: {image: ($gateway | image)} }'
}

foreign_definitions() {
  local owner
  owner=$(kubectl get crd dmzregions.sallyport.dev --ignore-not-found \
    --output 'jsonpath={.metadata.name}:{.metadata.annotations.meta\.helm\.sh/release-namespace}')
  [ -n "$owner" ] && [ "${owner#*:}" != "$RELEASE_SPACE" ]
}

operator_ready() {
  kubectl --namespace "$RELEASE_SPACE" rollout status "deployment/$RELEASE" --timeout 120s && return
  kubectl --namespace "$RELEASE_SPACE" get pods
  kubectl --namespace "$RELEASE_SPACE" logs "deployment/$RELEASE" --tail 20
  return 1
}

# What a vendor has already: an authority that issues engineers' smart cards. This one lives in the state folder.
engineers_ca() {
  umask 077
  mkdir -p "$PKI"
  # Not within 14 days of its end: sallyportctl would warn of that, rightly.
  if ! openssl x509 -in "$PKI/eve.crt" -noout -checkend $((15 * 24 * 3600)); then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 \
      -subj "/O=Example Medical Systems/CN=Engineers of the demo" -keyout "$PKI/ca.key" -out "$PKI/ca.crt" \
      -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign"
    person ada "Ada Keller" ct-service-emea
    person eve "Eve Moreau" Audit
  fi
  kubectl --namespace "$REGION_SPACE" create configmap engineer-authorities --from-file "ca.crt=$PKI/ca.crt" \
    --dry-run=client --output yaml | kubectl apply --server-side --filename -
}

person() { # FILE NAME GROUP
  local mail
  mail=$(tr 'A-Z ' 'a-z.' <<<"$2")@vendor.example
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 60 \
    -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -keyout "$PKI/$1.key" -out "$PKI/$1.crt" \
    -subj "/O=Example Medical Systems/OU=$3/CN=$2" \
    -addext "basicConstraints=critical,CA:FALSE" -addext "keyUsage=critical,digitalSignature" \
    -addext "extendedKeyUsage=clientAuth" -addext "subjectAltName=email:$mail"
}

region() {
  title "A region in Frankfurt, a hospital in Lyon (manifests/samples)"
  step "engineers' authority, and certificates for Ada Keller and for Eve Moreau, an auditor" "$PKI" engineers_ca
  step "kubectl apply -f manifests/samples" "kubectl get sallyport -A" samples
  step "region is ready: CA made, two gateways attached and configured" "$TOLD" \
    ready "$REGION_SPACE" dmzregion "$REGION" 180
  step "gateways are those of this build" "kubectl -n $REGION_SPACE describe dmz $REGION" gateways_of_this_build
  step "the hospital's endpoint is known to the gateways" "$TOLD" ready "$SITE_SPACE" tunnelendpoint "$ENDPOINT" 60
}

objects() {
  title "The objects now"
  show "kubectl get dmz,ca,csite,tep,tcert,mdev,apol -A" "$TOLD" \
    kubectl get dmz,ca,csite,tep,tcert,mdev,apol --all-namespaces
}

# Whatever a reader has changed since, a suspension say, is again as in the samples.
samples() { kubectl apply --server-side --force-conflicts --filename "$SAMPLES"; }

# A region takes the chart's image when it is created and keeps it until told otherwise.
gateways_of_this_build() {
  local image now
  image=$(image_of GATEWAY)
  now=$(kubectl --namespace "$REGION_SPACE" get dmzregion "$REGION" --output 'jsonpath={.status.image}')
  [ "$now" != "$image" ] || return 0
  kubectl --namespace "$REGION_SPACE" patch dmzregion "$REGION" --type merge \
    --patch "{\"spec\": {\"dataPlane\": {\"image\": \"$image\"}}}"
  kubectl --namespace "$REGION_SPACE" wait dmzregion "$REGION" --for "jsonpath={.status.image}=$image" --timeout 60s
  kubectl --namespace "$REGION_SPACE" rollout status "statefulset/$REGION-gateway" --timeout 300s
  ready "$REGION_SPACE" dmzregion "$REGION" 120
}

ready() { # NAMESPACE KIND NAME SECONDS: or its conditions, which say what is missing.
  kubectl --namespace "$1" wait "$2" "$3" --for condition=Ready --timeout "$4s" && return
  kubectl --namespace "$1" get "$2" "$3" --output \
    'jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}'
  kubectl --namespace "$1" get pods
  return 1
}
