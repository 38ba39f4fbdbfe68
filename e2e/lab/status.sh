#!/usr/bin/env bash
# Says what of the lab runs, and what the cluster thinks of itself. Succeeds if all of it does.
. "$(dirname "${BASH_SOURCE[0]}")/components.sh"

main() {
  if own_cluster; then
    say "using your cluster (KUBECONFIG=$KUBECONFIG)"
    kubectl get nodes
    return
  fi
  [ -d "$LAB/run" ] || die "no lab here ($LAB does not exist)" "make lab-up"
  local component state memory healthy=0
  printf '%-20s %-9s %8s %8s  %s\n' COMPONENT STATE PID MEMORY LOG
  for component in "${COMPONENTS[@]}"; do
    state=stopped memory=-
    if running "$component"; then
      state="not ready"
      ! ready "$component" >/dev/null 2>&1 || state=ready
      memory=$(awk '/^VmRSS/ {printf "%d MiB", $2 / 1024}' "/proc/$(pid_of "$component")/status")
    fi
    [ "$state" = ready ] || healthy=1
    printf '%-20s %-9s %8s %8s  %s\n' "$component" "$state" "$(pid_of "$component" || echo -)" "$memory" \
      "$LAB/log/$component.log"
  done
  if ready apiserver >/dev/null 2>&1; then
    echo
    lab_kubectl get nodes -o wide
    lab_kubectl get persistentvolumes --no-headers -o custom-columns=PHASE:.status.phase | sort | uniq -c |
      awk '{list = list (NR > 1 ? ", " : "volumes: ") $1 " " $2} END {print list}'
    lab_kubectl get pods --all-namespaces
  fi
  echo
  say "export KUBECONFIG=$LAB_KUBECONFIG"
  return "$healthy"
}

main "$@"
