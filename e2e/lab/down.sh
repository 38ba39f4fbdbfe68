#!/usr/bin/env bash
# Takes the lab down and leaves nothing of it but the binary cache. Works on a half-dead lab too, and says so if there is
# none. host.sh tells how each trace is recognised as the lab's.
. "$(dirname "${BASH_SOURCE[0]}")/components.sh"
. "$LAB_SCRIPTS/host.sh"

main() {
  if own_cluster; then
    say "using your cluster (KUBECONFIG=$KUBECONFIG): nothing to take down"
    return
  fi
  need_root
  lock lab
  if [ ! -e "$LAB" ]; then
    say "no lab here ($LAB does not exist)"
    return
  fi
  # Whoever would start pods again goes first, then the pods, then what they ran on.
  step "ending kubelet and the control plane" stop_all balancer volumes kubelet kube-proxy scheduler \
    controller-manager apiserver etcd
  step "ending pods" end_pods
  step "ending containerd" stop_all containerd
  step "removing mounts, networks, cgroups and files" release_all
  say "the lab is gone; its binaries stay in $CACHE"
}

stop_all() {
  local component
  for component in "$@"; do
    stop "$component"
  done
}

# A shim outlives containerd, and holds its container's mounts.
end_pods() {
  end_cgroups
  local pid pids=()
  for pid in $(pgrep -f -- "-address $LAB/containerd.sock"); do
    ! grep -qzxF -- "$LAB/containerd.sock" "/proc/$pid/cmdline" 2>/dev/null || pids+=("$pid")
  done
  [ ${#pids[@]} -gt 0 ] || return 0
  kill "${pids[@]}" 2>/dev/null || true
  for pid in "${pids[@]}"; do
    await 5 "shim $pid to end" gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
  done
}

release_all() {
  local address
  # Sockets of shims lie in a fixed folder; each shim's record names its own.
  while read -r address; do
    rm -f "$address"
  done < <(grep -rhos 'unix:///run/containerd/s/[0-9a-f]*' "$LAB/containerd/state/io.containerd.runtime.v2.task" |
    sed 's|unix://||')
  unmount_below "$LAB"
  release_network
  release_folders
  release_settings
  rm -rf --one-file-system "$LAB"
}

main "$@"
