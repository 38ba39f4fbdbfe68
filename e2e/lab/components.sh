# shellcheck shell=bash
# The processes of the cluster: how each is started, how one knows that it works, and how it is ended.
#
#   etcd ← apiserver ← controller-manager, scheduler, kubelet → containerd → runc
#                    ← kube-proxy (Services), volumes (gives released ones back), balancer (addresses for Services)
#
# A component counts as running if the process noted for it has exactly the command line it would be started with now.
# So a recycled process id is nobody, and a component whose pin or flags changed is replaced.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

NODE=node1
NODE_IP=10.199.0.1
SERVER=https://$NODE_IP:6443
COMPONENTS=(etcd apiserver controller-manager scheduler containerd kubelet kube-proxy volumes balancer)

# Sets `argv`.
# shellcheck disable=SC2054 # The commas belong to the flags.
argv_of() { # COMPONENT
  local pki=$LAB/pki
  case $1 in
    etcd) # Loopback without TLS, and without fsync: state that `down` throws away needs no durability.
      argv=("$(tool etcd)" --data-dir "$LAB/etcd" --unsafe-no-fsync --log-level warn
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379
        --listen-peer-urls http://127.0.0.1:2380)
      ;;
    apiserver) # On the node's address alone, which the packet rules of the hospital sites can name.
      argv=("$(tool kube-apiserver)" --etcd-servers=http://127.0.0.1:2379
        --bind-address="$NODE_IP" --advertise-address="$NODE_IP" --secure-port=6443
        --service-cluster-ip-range=10.96.0.0/16 --allow-privileged=true
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction
        --client-ca-file="$pki/ca.crt"
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key"
        --kubelet-certificate-authority="$pki/ca.crt"
        --kubelet-client-certificate="$pki/apiserver-kubelet.crt"
        --kubelet-client-key="$pki/apiserver-kubelet.key"
        --kubelet-preferred-address-types=InternalIP
        --service-account-issuer=https://kubernetes.default.svc
        --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key"
        --audit-policy-file="$LAB/audit-policy.yaml" --audit-log-path="$LAB/audit.log"
        --audit-log-maxsize=500 --audit-log-maxbackup=1)
      ;;
    controller-manager)
      argv=("$(tool kube-controller-manager)" --kubeconfig="$pki/controller-manager.kubeconfig" --leader-elect=false
        --bind-address=127.0.0.1 --use-service-account-credentials=true --root-ca-file="$pki/ca.crt"
        --service-account-private-key-file="$pki/sa.key"
        --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key"
        --allocate-node-cidrs=true --cluster-cidr=10.244.0.0/16
        --flex-volume-plugin-dir="$LAB/volume-plugins")
      ;;
    scheduler)
      argv=("$(tool kube-scheduler)" --kubeconfig="$pki/scheduler.kubeconfig" --leader-elect=false
        --bind-address=127.0.0.1)
      ;;
    containerd)
      argv=("$(tool containerd)" --config "$LAB/containerd.toml" --log-level warn)
      ;;
    kubelet)
      argv=("$(tool kubelet)" --config="$LAB/kubelet.yaml" --kubeconfig="$pki/kubelet.kubeconfig"
        --hostname-override="$NODE" --node-ip="$NODE_IP" --root-dir="$LAB/kubelet" --cert-dir="$LAB/kubelet/pki")
      ;;
    kube-proxy)
      argv=("$(tool kube-proxy)" --config="$LAB/kube-proxy.yaml")
      ;;
    volumes | balancer)
      argv=(/bin/bash "$LAB_SCRIPTS/$1.sh" "$LAB") # The argument is for `ours`; another checkout may have started it.
      ;;
    *)
      die "the lab has no component '$1'" "one of: ${COMPONENTS[*]}"
      ;;
  esac
}

ready() { # COMPONENT: succeeds when it does its work.
  case $1 in
    etcd) probe http://127.0.0.1:2379/health ;;
    apiserver) probe "$SERVER/readyz" ;;
    controller-manager) probe https://127.0.0.1:10257/healthz ;;
    scheduler) probe https://127.0.0.1:10259/readyz ;;
    containerd) lab_ctr version ;;
    kubelet) probe http://127.0.0.1:10248/healthz ;;
    kube-proxy) probe http://127.0.0.1:10256/livez ;;
    volumes | balancer) running "$1" ;;
  esac
}

probe() { curl --silent --fail --insecure --max-time 2 --noproxy '*' "$1"; }

pid_of() { cat "$LAB/run/$1.pid" 2>/dev/null; }

running() { # COMPONENT
  local pid argv
  pid=$(pid_of "$1") || return 1
  argv_of "$1"
  cmp -s "/proc/$pid/cmdline" <(printf '%s\0' "${argv[@]}")
}

start() { # COMPONENT
  local argv
  ! running "$1" || return 0
  stop "$1"
  argv_of "$1"
  PATH="$CACHE/bin:$PATH" SALLYPORT_LAB=$LAB SALLYPORT_CACHE=$CACHE \
    setsid nohup "${argv[@]}" >>"$LAB/log/$1.log" 2>&1 </dev/null 9>&- &
  echo $! >"$LAB/run/$1.pid"
}

# Whatever process is noted for the component, if it is of this lab: an old build's too, which `running` disowns.
stop() { # COMPONENT [SIGNAL]
  local pid signal=${2:-TERM}
  pid=$(pid_of "$1") || return 0
  if ours "$pid"; then
    # A stopped (frozen) process takes no TERM until it continues.
    kill -"$signal" -- "-$pid" 2>/dev/null || kill -"$signal" "$pid"
    kill -CONT -- "-$pid" 2>/dev/null || true
    # Three seconds to close files. An API server would wait a minute for watchers that do not leave.
    await 3 "" gone "$pid" 2>/dev/null || kill -KILL -- "-$pid" 2>/dev/null || true
    await 10 "$1 (process $pid) to end after SIGKILL" gone "$pid"
  fi
  rm -f "$LAB/run/$1.pid"
}

ours() { # PID: its command line names the lab's directory.
  grep -qzF -e "$LAB" "/proc/$1/cmdline" 2>/dev/null
}

gone() { [ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

start_and_await() { # COMPONENT
  start "$1"
  await 60 "$1 to be ready" ready_or_dead "$1"
  if ! ready "$1" >/dev/null 2>&1; then
    tail -n 15 "$LAB/log/$1.log" | cut -c 1-300 >&2
    die "$1 is not ready; the end of its log is above" "read $LAB/log/$1.log; after a fix, lab-up goes on from here"
  fi
}

# Not `running`: a process that was just started has the command line of what starts it.
ready_or_dead() { ready "$1" || gone "$(pid_of "$1")"; }
