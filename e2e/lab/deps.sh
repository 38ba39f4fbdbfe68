#!/usr/bin/env bash
# Installs the Debian packages that the lab and the end-to-end tests use, and nothing if all are there.
# Packages that bring a service do not start it: the tests run their own sshd and nginx, in namespaces of their own.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PACKAGES=(
  # Node: what containerd, kubelet and kube-proxy call.
  containernetworking-plugins iptables nftables conntrack ipset iproute2 kmod procps util-linux
  # Builds: runc's C part, the pause program, images without an engine.
  gcc libc6-dev libseccomp-dev pkg-config buildah busybox
  # Scripts.
  openssl curl jq python3 python3-yaml shellcheck
  # Hospital sites in network namespaces.
  openssh-server openssh-client nginx-light
)
POLICY=/usr/sbin/policy-rc.d

main() {
  command -v dpkg-query >/dev/null || die "this is no Debian-like system" \
    "install the equivalents of: ${PACKAGES[*]}; or set KUBECONFIG to a cluster you already have"
  local missing
  mapfile -t missing < <(comm -23 <(printf '%s\n' "${PACKAGES[@]}" | sort) <(installed | sort))
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "packages are missing: ${missing[*]}" "as root: apt-get install ${missing[*]}"

  say "installing ${#missing[@]} packages: ${missing[*]}"
  hold_services
  trap release_services EXIT
  export DEBIAN_FRONTEND=noninteractive
  quietly apt-get update
  quietly apt-get install -y --no-install-recommends "${missing[@]}"
  keep_services_off "${missing[@]}"
}

installed() { dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${PACKAGES[@]}" 2>/dev/null | sed -n 's/^installed //p'; }

# Debian asks this program before it starts a service; 101 means no. Whatever was there comes back afterwards.
hold_services() {
  [ ! -e "$POLICY" ] || mv "$POLICY" "$POLICY.before-sallyport"
  printf '#!/bin/sh\nexit 101\n' >"$POLICY"
  chmod 755 "$POLICY"
}

release_services() {
  rm -f "$POLICY"
  [ ! -e "$POLICY.before-sallyport" ] || mv "$POLICY.before-sallyport" "$POLICY"
}

# A package also enables its service for the machine's next start. A service that was there before this script is its
# owner's business.
keep_services_off() { # JUST_INSTALLED...
  local package
  command -v systemctl >/dev/null || return 0
  for package in "$@"; do
    case $package in
      openssh-server) systemctl disable --quiet ssh.service ;;
      nginx-light) systemctl disable --quiet nginx.service ;;
    esac
  done
}

main "$@"
