# shellcheck shell=bash disable=SC2034 # The names are used by the files that read this one.
# What the demo's files share: where things are, the lines at the terminal, background processes. It changes nothing.
. "$(dirname "${BASH_SOURCE[0]}")/../lab/lib.sh"
export LC_ALL=C.UTF-8

DEMO=$REPO/e2e/demo
STATE=${SALLYPORT_DEMO:-/run/sallyport-demo}
BIN=${SALLYPORT_BIN:-$CACHE/dist}
SAMPLES=$REPO/manifests/samples
export KUBECONFIG=${KUBECONFIG:-$LAB_KUBECONFIG}
export PATH=$BIN:$PATH:$CACHE/bin

RELEASE=sallyport RELEASE_SPACE=sallyport-system # The Helm release and its namespace.
DEMO_LABEL=sallyport.dev/demo                    # On the release: the demo made it, so the demo may change and remove it.
REGION=frankfurt REGION_SPACE=dmz-frankfurt      # As in the samples, from here on.
SITE_SPACE=site-lyon ENDPOINT=radiology SCANNER=ct-scanner
SITE=lyon                                        # As netns.sh calls the hospital.

# step TEXT LOOK COMMAND...: one line, with a tick and how long it took. COMMAND runs in a subshell; what it says is kept
# in the log, and shown if it fails, with LOOK: where to find more.
step() {
  local text=$1 look=$2 start=$EPOCHREALTIME status
  shift 2
  LOG=$STATE/step.log STEP_START=$SECONDS
  printf '  %-76s ' "$text"
  progress_start "$text"
  # Outside any condition, since bash would not stop at the first error inside one.
  set +e
  : >"$LOG"
  (set -e; "$@") >>"$LOG" 2>&1 </dev/null
  status=$?
  set -e
  progress_stop "$text"
  if [ "$status" != 0 ]; then
    printf '✗ %s\n\n' "$(since "$start")"
    tail -n 30 "$LOG" | sed 's/^/    /'
    printf '\n  look at: %s\n  everything it said: %s\n' "$look" "$LOG"
    exit 1
  fi
  printf '✓ %s\n' "$(since "$start")"
}

# show TEXT LOOK COMMAND...: the same, and then what COMMAND said.
show() {
  step "$@"
  grep -v '^[[:space:]]*$' "$LOG" | sed 's/^/      /' || true
}

since() { # START: tenths of a second.
  local tenths=$(((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}) / 100000))
  printf '%4d.%d s' $((tenths / 10)) $((tenths % 10))
}

# On a terminal, a slow step says every second for how long it has been running and what its last line was.
progress_start() { # TEXT
  [ -t 1 ] || return 0
  (
    trap - EXIT
    while sleep 1; do
      printf '\r\033[K  %-76s %4d s  %s' "$1" $((SECONDS - STEP_START)) "$(tail -n 1 "$LOG" 2>/dev/null | cut -c 1-40)"
    done
  ) &
  PROGRESS=$!
}
progress_stop() { # TEXT
  [ -n "${PROGRESS:-}" ] || return 0
  kill "$PROGRESS" 2>/dev/null || true
  wait "$PROGRESS" 2>/dev/null || true
  PROGRESS=
  printf '\r\033[K  %-76s ' "$1"
}
trap '[ -z "${PROGRESS:-}" ] || kill "$PROGRESS" 2>/dev/null' EXIT

title() { printf '\n%s\n' "$*"; }

# The state folder holds keys, and `down` deletes it: so it is a folder that this demo made, or nothing.
open_state() {
  [ ! -e "$STATE" ] || [ -e "$STATE/.sallyport-demo" ] ||
    die "$STATE exists and is not the demo's" "set SALLYPORT_DEMO to a folder that does not exist yet"
  mkdir -p "$STATE"
  chmod 700 "$STATE"
  touch "$STATE/.sallyport-demo"
}

# background NAME COMMAND...: a process that outlives the demo. It must name the state folder in its command line, which is
# how it is recognised later.
background() {
  local name=$1
  shift
  : >"$STATE/$name.log" # Here, or who looks at once would see what the last one said.
  setsid nohup "$@" >>"$STATE/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$STATE/$name.pid"
}

alive() { # NAME
  local pid
  pid=$(cat "$STATE/$1.pid" 2>/dev/null) || return 1
  grep -qzF -e "$STATE" "/proc/$pid/cmdline" 2>/dev/null
}

end() { # NAME: as its owner would, so that an agent says goodbye and an engineer's session is closed.
  local pid
  if alive "$1"; then
    pid=$(cat "$STATE/$1.pid")
    kill "$pid"
    await 10 "$1 to end" gone "$1" 2>/dev/null || kill -KILL "$pid"
  fi
  rm -f "$STATE/$1.pid"
}
gone() { ! alive "$1"; }

image_of() { # OPERATOR|GATEWAY|TOOLBOX
  local names=$LAB/images.env
  ! own_cluster || names=$CACHE/images.env
  sed -n "s/^$1_IMAGE=//p" "$names"
}

# Where the cluster publishes node ports.
node_ip() { kubectl get nodes --output 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}'; }
node_port() { kubectl --namespace "$REGION_SPACE" get service "$REGION-$1" --output 'jsonpath={.spec.ports[0].nodePort}'; }
