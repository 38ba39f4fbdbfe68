# shellcheck shell=bash
# What every script of the lab shares: where things are, how to speak to the person at the terminal, and how to wait.
# It starts nothing and changes nothing.
set -euo pipefail

LAB_SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$LAB_SCRIPTS/../.." && pwd)
LAB=${SALLYPORT_LAB:-/var/lib/sallyport-lab}               # everything that `down` removes
CACHE=${SALLYPORT_CACHE:-${HOME:-/root}/.cache/sallyport}  # everything that `down` keeps
LAB_KUBECONFIG=$LAB/admin.kubeconfig
export PAUSE_IMAGE=sallyport.local/pause:1 # Part of containerd's configuration, so its name does not change.
export REPO

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
# A failure always comes with what the reader can do about it.
die() { # PROBLEM REMEDY
  printf 'error: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf '  remedy: %s\n' "$2" >&2
  exit 1
}

# The lab is for a person without a cluster. Whoever names one in KUBECONFIG means that one.
own_cluster() { [ -n "${KUBECONFIG:-}" ] && [ "$KUBECONFIG" != "$LAB_KUBECONFIG" ]; }

need_root() {
  [ "$(id -u)" = 0 ] || die "the lab makes network namespaces, mounts and cgroups, and so needs root" \
    "run it as root, or set KUBECONFIG to a cluster you already have"
}

# A tool from the cache, by the path of its pinned build: a changed pin is another path, so a process of the old build
# is recognised as such.
tool() { readlink -f "$CACHE/bin/$1"; }

# As a user of the lab's own, so that who counts requests in the audit log can tell these from a test's.
lab_kubectl() { "$(tool kubectl)" --kubeconfig "$LAB/pki/lab.kubeconfig" "$@"; }
lab_ctr() { "$(tool ctr)" --address "$LAB/containerd.sock" --namespace k8s.io "$@"; }

# quietly COMMAND...: for programs that talk while all goes well. What they said is shown if they fail.
quietly() {
  local output
  output=$("$@" 2>&1 </dev/null) || {
    printf '\n%s\n' "$output" | tail -n 20 >&2
    return 1
  }
}

# await SECONDS WHAT COMMAND...: polls COMMAND until it succeeds. Returns 1 at the deadline.
await() {
  local seconds=$1 what=$2 deadline
  shift 2
  deadline=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      warn "waited $seconds s in vain: $what"
      return 1
    fi
    sleep 0.1
  done
}

# step TEXT COMMAND...: runs COMMAND and says how long it took, so that a slow step is seen while it is slow. COMMAND runs
# outside any condition, because bash would not stop at its first error inside one.
step() {
  local start=$SECONDS
  CURRENT_STEP=$1
  shift
  printf '%s …' "$CURRENT_STEP"
  "$@"
  printf ' %s s\n' $((SECONDS - start))
  CURRENT_STEP=
}
CURRENT_STEP=
name_failed_step() {
  local status=$?
  [ "$status" = 0 ] || [ -z "$CURRENT_STEP" ] || printf '\nerror: stopped at: %s\n' "$CURRENT_STEP" >&2
  exit "$status"
}
trap name_failed_step EXIT

# One change at a time; whoever comes second waits. Descriptor 9 is closed in what outlives the script, since a process
# that inherited it would hold the lock for as long as it lives.
lock() { # lab|sites
  mkdir -p "$CACHE"
  exec 9>"$CACHE/$1.lock"
  flock 9
}
