#!/usr/bin/env bash
# Builds the lab's own Kubernetes, and the tools that go with it, from the Go modules pinned in tools/*/go.mod.
#
# One module per project, since their dependency versions do not agree. A binary lies in a folder named after the hash
# of its go.mod and go.sum: there it is up to date by definition, a changed pin builds that module alone, and an
# interrupted build goes on where it stopped. bin/ holds links to the current ones.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

TOOLS=$LAB_SCRIPTS/tools

# Binary, module folder, package. Those of EXTRAS are built only when they are named.
COMPONENTS='
etcd                     etcd        go.etcd.io/etcd/server/v3
etcdctl                  etcd        go.etcd.io/etcd/etcdctl/v3
containerd               containerd  github.com/containerd/containerd/v2/cmd/containerd
containerd-shim-runc-v2  containerd  github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2
ctr                      containerd  github.com/containerd/containerd/v2/cmd/ctr
runc                     runc        github.com/opencontainers/runc
helm                     helm        helm.sh/helm/v3/cmd/helm
coredns                  helm        github.com/coredns/coredns
kubeconform              checks      github.com/yannh/kubeconform/cmd/kubeconform
zlint                    zlint       github.com/zmap/zlint/v3/cmd/zlint
tlog-fsck                tlog        github.com/transparency-dev/tessera/cmd/fsck
kube-apiserver           kubernetes  k8s.io/kubernetes/cmd/kube-apiserver
kube-controller-manager  kubernetes  k8s.io/kubernetes/cmd/kube-controller-manager
kube-scheduler           kubernetes  k8s.io/kubernetes/cmd/kube-scheduler
kubelet                  kubernetes  k8s.io/kubernetes/cmd/kubelet
kube-proxy               kubernetes  k8s.io/kubernetes/cmd/kube-proxy
kubectl                  kubernetes  k8s.io/kubernetes/cmd/kubectl
'
EXTRAS='
cert-manager             certmanager .
'

main() {
  local wanted=("$@") todo=() name module package number=0
  while read -r name module package; do
    [ -n "$name" ] || continue
    selected "$name" "${wanted[@]}" || continue
    [ -x "$(home_of "$module")/$name" ] || todo+=("$name $module $package")
    link "$name" "$module"
  done < <(echo "$COMPONENTS"; [ ${#wanted[@]} -eq 0 ] || echo "$EXTRAS")

  [ ${#todo[@]} -gt 0 ] || return 0
  command -v go >/dev/null || die "no Go toolchain, and ${#todo[@]} lab binaries to build" \
    "install Go $(awk '$1 == "go" {print $2}' "$TOOLS/kubernetes/go.mod") or newer"
  say "building ${#todo[@]} lab binaries into $CACHE (all of them take about 12 minutes on two cores; a pin builds once)"
  for entry in "${todo[@]}"; do
    read -r name module package <<<"$entry"
    number=$((number + 1))
    step "[$number/${#todo[@]}] building $name" build "$name" "$module" "$package"
  done
}

selected() { # NAME [WANTED...]: no wish means everything.
  local name=$1
  shift
  [ $# -eq 0 ] || [[ " $* " == *" $name "* ]]
}

home_of() { # MODULE
  local hash
  hash=$(cat "$TOOLS/$1/go.mod" "$TOOLS/$1/go.sum" | sha256sum)
  printf '%s/modules/%s-%s' "$CACHE" "$1" "${hash:0:12}"
}

link() { # NAME MODULE
  mkdir -p "$CACHE/bin"
  ln -sfn "$(home_of "$2")/$1" "$CACHE/bin/$1"
}

build() { # NAME MODULE PACKAGE
  local home flags=(-trimpath -buildvcs=false -mod=readonly)
  home=$(home_of "$2")
  mkdir -p "$home"
  cd "$TOOLS/$2"
  # runc enters namespaces in C before Go's threads start, and filters system calls through libseccomp.
  if [ "$1" = runc ]; then
    export CGO_ENABLED=1
    flags+=(-tags 'seccomp netgo osusergo' -ldflags '-s -w -extldflags -static')
  else
    export CGO_ENABLED=0
    flags+=(-ldflags "-s -w $(version_flags "$2")")
  fi
  go build "${flags[@]}" -o "$home/$1.part" "$3"
  mv "$home/$1.part" "$home/$1"
}

# Kubernetes and Helm learn their version from the linker. Without it the API server calls itself v0.0.0, and `helm
# template` renders for 1.20; both refuse charts that ask for a current version.
version_flags() { # MODULE
  local version
  case $1 in
    kubernetes)
      version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
      printf -- '-X k8s.io/component-base/version.gitVersion=%s' "$version"
      ;;
    helm)
      version=$(cd ../kubernetes && go list -m -f '{{.Version}}' k8s.io/kubernetes)
      IFS=. read -r major minor _ <<<"${version#v}"
      for package in pkg/chartutil pkg/lint/rules; do
        printf -- '-X helm.sh/helm/v3/%s.k8sVersionMajor=%s ' "$package" "$major"
        printf -- '-X helm.sh/helm/v3/%s.k8sVersionMinor=%s ' "$package" "$minor"
      done
      ;;
  esac
}

main "$@"
