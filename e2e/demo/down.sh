# shellcheck shell=bash
# Removes what the demo made, in the order in which each part still helps to remove the next. The lab stays.

KINDS=(accesspolicies certificateauthorities customersites devices dmzregions tunnelcertificates tunnelendpoints)

down() {
  if [ ! -e "$STATE/.sallyport-demo" ]; then # Lost with a reboot, say; the cluster still knows.
    open_state
  fi
  title "Removing the demo"
  step "engineer's session and agent" "$STATE" end_processes
  step "the hospital" "$LAB_SCRIPTS/netns.sh list" site_down
  if ! kubectl get --raw /readyz --request-timeout 5s >/dev/null 2>&1; then
    say "  the cluster does not answer, so nothing is removed from it"
  elif [ -z "$(release)" ]; then
    say "  Sallyport is not installed"
  else
    step "samples; tunnels are cut first" "kubectl get sallyport -A" remove_samples
    show "chart, definitions, namespaces" "helm list -A; kubectl get ns,crd" remove_chart
  fi
  rm -rf "$STATE"
}

end_processes() {
  end console
  end open-ssh
  end copy
  end agent
}

site_down() {
  "$LAB_SCRIPTS/netns.sh" down "$SITE"
  nft delete table inet sallyport-demo 2>/dev/null || true
}

remove_samples() {
  kubectl delete --filename "$SAMPLES/40-access.yaml" --filename "$SAMPLES/30-devices.yaml" \
    --filename "$SAMPLES/20-site.yaml" --filename "$SAMPLES/10-region.yaml" --ignore-not-found --wait=false
  await 90 "the operator to release what is deleted" nothing_left "$REGION_SPACE" "$SITE_SPACE" || release_by_force
}

nothing_left() { # NAMESPACE...
  local namespace
  for namespace in "$@"; do
    [ -z "$(kubectl --namespace "$namespace" get sallyport --output name)" ] || return 1
  done
}

# Without a working operator nobody takes the finalizers away. Everything goes now, so nothing is left to be cut.
release_by_force() {
  local namespace object
  for namespace in "$REGION_SPACE" "$SITE_SPACE"; do
    for object in $(kubectl --namespace "$namespace" get sallyport --output name); do
      kubectl --namespace "$namespace" patch "$object" --type merge --patch '{"metadata": {"finalizers": null}}' || true
    done
  done
  await 20 "the objects to go" nothing_left "$REGION_SPACE" "$SITE_SPACE"
}

remove_chart() {
  local kept='' definitions=keep others kind
  others=$(served_besides)
  if [ -z "$(release_of_demo)" ]; then
    kept="Sallyport stays: the demo found it installed"
  elif [ -n "$others" ]; then
    kept="Sallyport stays, since it serves $others; to remove it: helm uninstall $RELEASE -n $RELEASE_SPACE"
  else
    foreign_definitions || definitions=remove
    helm uninstall "$RELEASE" --namespace "$RELEASE_SPACE" --wait --timeout 90s
    kubectl delete namespace "$RELEASE_SPACE" --ignore-not-found --timeout 120s
  fi
  kubectl delete namespace "$REGION_SPACE" "$SITE_SPACE" --ignore-not-found --timeout 120s
  # The chart keeps the definitions, since with them every site would go. Where no object is left, they may.
  if [ "$definitions" = remove ] && [ -z "$(kubectl get sallyport --all-namespaces --output name)" ]; then
    for kind in "${KINDS[@]}"; do
      kubectl delete crd "$kind.sallyport.dev" --ignore-not-found
    done
  fi
  clear_log
  echo "$kept"
}

# Namespaces other than the demo's in which the release's operator acts: the tests', say.
served_besides() {
  helm get values "$RELEASE" --namespace "$RELEASE_SPACE" --output json |
    jq --raw-output --arg region "$REGION_SPACE" --arg site "$SITE_SPACE" \
      '.namespaces | (.regions // []) + (.sites // []) - [$region, $site] | unique | join(", ")'
}
