#!/usr/bin/env bash
# Brings a one-node Kubernetes up on this machine, from whatever state it is in: nothing, half of it, or all of it.
. "$(dirname "${BASH_SOURCE[0]}")/components.sh"
. "$LAB_SCRIPTS/pki.sh"
. "$LAB_SCRIPTS/host.sh"

VOLUMES=40 # As many as the pods that a test run may have at once; an unused one is an empty directory.

main() {
  if own_cluster; then
    say "using your cluster (context $(kubectl config current-context 2>/dev/null || echo "of $KUBECONFIG"))"
    return
  fi
  need_root
  "$LAB_SCRIPTS/deps.sh"
  lock lab
  "$LAB_SCRIPTS/build.sh"
  if up; then
    say "the lab is up: export KUBECONFIG=$LAB_KUBECONFIG"
    return
  fi

  check_host
  step "network, cgroup and kernel settings" prepare_host
  step "keys, certificates and configuration" prepare_files
  step "etcd" start_and_await etcd
  step "containerd" start_and_await containerd
  start apiserver # Takes some seconds, which the images fill.
  step "images of the lab" lab_images
  step "kube-apiserver" start_and_await apiserver
  for component in controller-manager scheduler kubelet kube-proxy volumes balancer; do
    step "$component" start_and_await "$component"
  done
  step "volumes and cluster DNS" apply_addons
  step "node and cluster DNS to be ready" await_cluster
  say "the lab is up after $SECONDS s: export KUBECONFIG=$LAB_KUBECONFIG"
}

up() {
  local component
  [ -f "$LAB/complete" ] || return 1
  for component in "${COMPONENTS[@]}"; do
    running "$component" && ready "$component" >/dev/null 2>&1 || return 1
  done
  cluster_ready
}

cluster_ready() {
  [ "$(lab_kubectl get node "$NODE" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ] &&
    [ "$(lab_kubectl -n kube-system get deployment coredns -o 'jsonpath={.status.readyReplicas}')" = 1 ]
}

prepare_files() {
  mkdir -p "$LAB"/{run,log,cni.d,volumes}
  make_pki
  : >"$LAB/resolv.conf"
  fill_file audit-policy.yaml "$LAB/audit-policy.yaml"
  fill_file containerd.toml "$LAB/containerd.toml"
  fill_file kubelet.yaml "$LAB/kubelet.yaml"
  fill_file kube-proxy.yaml "$LAB/kube-proxy.yaml"
  fill_file cni.conflist "$LAB/cni.d/10-lab.conflist"
}

# Configuration is plain text with a few ${NAMES}; nothing in it is evaluated. An unchanged file is left alone, since
# kube-proxy ends itself when its own is written.
fill_file() { # TEMPLATE FILE
  fill "$1" >"$2.part"
  if cmp -s "$2.part" "$2"; then rm "$2.part"; else mv "$2.part" "$2"; fi
}

fill() { # TEMPLATE
  sed -e "s|\${LAB}|$LAB|g; s|\${NODE_IP}|$NODE_IP|g; s|\${RUNC}|$(tool runc)|g" \
    -e "s|\${PAUSE_IMAGE}|$PAUSE_IMAGE|g; s|\${COREDNS_IMAGE}|${COREDNS_IMAGE:-}|g" \
    "$LAB_SCRIPTS/config/$1"
}

lab_images() { "$LAB_SCRIPTS/images.sh" lab >/dev/null; }

apply_addons() {
  # The first requests meet an API server that still writes its default roles and namespaces.
  await 30 "namespace kube-system" lab_kubectl get namespace kube-system
  COREDNS_IMAGE=$(sed -n 's/^COREDNS_IMAGE=//p' "$LAB/images.env")
  { fill storage.yaml; volume_pool; fill coredns.yaml; } |
    lab_kubectl apply --server-side --force-conflicts --field-manager=sallyport-lab -f - >/dev/null
}

volume_pool() {
  local number name
  for number in $(seq -w 1 "$VOLUMES"); do
    name=lab-$number
    mkdir -p "$LAB/volumes/$name"
    cat <<END
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: $name, labels: {sallyport.dev/lab-pool: "true"}}
spec:
  storageClassName: lab-local
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {path: $LAB/volumes/$name}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$NODE]}]
END
  done
  echo "---"
}

await_cluster() {
  if ! await 90 "node $NODE and coredns to be ready" cluster_ready; then
    lab_kubectl get nodes,pods --all-namespaces -o wide >&2 || true
    lab_kubectl get events --all-namespaces --sort-by=.lastTimestamp 2>/dev/null | tail -n 10 >&2 || true
    die "the node or cluster DNS is not ready; what the cluster says is above" \
      "read $LAB/log/kubelet.log and $LAB/log/containerd.log; after a fix, lab-up goes on from here"
  fi
  touch "$LAB/complete"
}

main "$@"
