# shellcheck shell=bash
# What the lab changes on the machine outside its own directory, and how each change is found and undone:
#
#   bridges lab0, cni0        carry the alias "sallyport-lab"
#   packet rules              table inet sallyport-lab; kube-proxy's tables; portmap's chains in new tables
#   cgroup /sallyport-lab     every pod's process is below it
#   kernel settings           old values in $LAB/sysctl.before
#   folders with fixed names  those that did not exist before are listed in $LAB/folders.made

ALIAS=sallyport-lab
CGROUP=sallyport-lab
# Where containerd, kubelet and the CNI library put things whatever one tells them.
FIXED_FOLDERS=(/var/lib/kubelet /var/lib/cni /var/log/containers /run/containerd)
# Forwarding and bridged packet rules are for Services; the others are what kubelet sets for itself.
SETTINGS=(net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables
  vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
  kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

# --- before

check_host() {
  local component port
  modprobe -qa overlay br_netfilter bridge veth nf_tables 2>/dev/null || true # Built in, or missing: seen below.
  grep -qw overlay /proc/filesystems ||
    die "the kernel has no overlay file system" "load or build it (CONFIG_OVERLAY_FS), or set KUBECONFIG to your cluster"
  [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] ||
    die "the kernel does not filter bridged packets" "modprobe br_netfilter (CONFIG_BRIDGE_NETFILTER)"
  [ -e /sys/fs/cgroup/cgroup.controllers ] || [ -d /sys/fs/cgroup/memory ] ||
    die "no cgroups are mounted on /sys/fs/cgroup" "mount them, or use a machine or container that has them"
  nft --check -f - <<<'add table ip sallyport-probe
    add chain ip sallyport-probe nat { type nat hook postrouting priority 100; }
    add rule ip sallyport-probe nat fib daddr type local meta l4proto tcp masquerade' 2>/dev/null ||
    die "nftables with address translation does not work here" "CONFIG_NF_TABLES, NFT_NAT, NFT_MASQ and NFT_FIB_INET are needed"

  for bridge in lab0 cni0; do
    [ ! -e "/sys/class/net/$bridge" ] || has_alias "$bridge" ||
      die "there is a network interface $bridge that is not the lab's" "remove it (another Kubernetes or CNI left it?)"
  done
  if [ ! -e "$LAB/folders.made" ] && nft list table ip kube-proxy >/dev/null 2>&1; then
    die "another kube-proxy works on this machine" "stop that Kubernetes, or set KUBECONFIG to use it instead of the lab"
  fi
  for port in etcd:2379 etcd:2380 apiserver:6443 controller-manager:10257 scheduler:10259 kubelet:10248 kubelet:10250 \
    kube-proxy:10249 kube-proxy:10256; do
    component=${port%:*} port=${port#*:}
    running "$component" || check_port "$component" "$port"
  done
}

has_alias() { [ "$(cat "/sys/class/net/$1/ifalias" 2>/dev/null)" = "$ALIAS" ]; }

# A component of the lab that is about to be replaced may still hold its port: that is no conflict.
check_port() { # COMPONENT PORT
  local holder
  holder=$(ss -Hltnp "sport = :$2" | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -n 1)
  [ -z "$holder" ] || [ "$holder" = "$(pid_of "$1")" ] ||
    die "port $2, which $1 needs, is held by process $holder ($(tr '\0' ' ' <"/proc/$holder/cmdline" | cut -c 1-80))" \
      "end that process"
}

# --- making

prepare_host() {
  mkdir -p "$LAB"
  note_settings
  note_folders
  sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
  make_bridge lab0 "$NODE_IP/24"
  # Made here rather than by the CNI plugin, so that it is known as the lab's and its hardware address stays the same.
  make_bridge cni0 10.244.0.1/24
  nft -f - <<END
    table inet sallyport-lab
    delete table inet sallyport-lab
    table inet sallyport-lab {
      chain leave {
        type nat hook postrouting priority srcnat;
        ip saddr 10.244.0.0/16 ip daddr != { 10.0.0.0/8 } masquerade
      }
    }
END
  make_cgroups
}

note_settings() {
  [ -e "$LAB/sysctl.before" ] || {
    sysctl -e "${SETTINGS[@]}" >"$LAB/sysctl.part"
    mv "$LAB/sysctl.part" "$LAB/sysctl.before"
  }
}

note_folders() {
  local folder
  [ -e "$LAB/folders.made" ] || {
    for folder in "${FIXED_FOLDERS[@]}"; do
      [ -e "$folder" ] || echo "$folder"
    done >"$LAB/folders.part"
    mv "$LAB/folders.part" "$LAB/folders.made"
    nft list tables >"$LAB/tables.before"
  }
}

make_bridge() { # NAME ADDRESS
  local octets
  if [ ! -e "/sys/class/net/$1" ]; then
    IFS=./ read -ra octets <<<"$2"
    ip link add "$1" address "$(printf '0a:58:%02x:%02x:%02x:%02x' "${octets[@]:0:4}")" type bridge
    ip link set "$1" alias "$ALIAS"
  fi
  ip address replace "$2" dev "$1"
  ip link set "$1" up
}

make_cgroups() {
  local root group file
  while read -r root; do
    group=$root/$CGROUP
    mkdir -p "$group"
    # A new cpuset of version 1 is empty, and nothing can run in it.
    for file in cpuset.cpus cpuset.mems; do
      [ ! -w "$group/$file" ] || [ -n "$(cat "$group/$file")" ] || [ -e "$root/cgroup.controllers" ] ||
        cat "$root/$file" >"$group/$file"
    done
  done < <(cgroup_roots)
  # In version 2 a controller must be handed down.
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    for root in /sys/fs/cgroup "/sys/fs/cgroup/$CGROUP"; do
      sed 's/[^ ]*/+&/g' "$root/cgroup.controllers" >"$root/cgroup.subtree_control"
    done
  fi
}

# One for version 2, one for each controller in version 1 (and the empty version 2 beside them that some machines mount).
cgroup_roots() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo /sys/fs/cgroup
  else
    findmnt --noheadings --list --output TARGET --types cgroup,cgroup2
  fi
}

# --- undoing

end_cgroups() {
  local root
  while read -r root; do
    [ ! -d "$root/$CGROUP" ] || await 10 "cgroup $root/$CGROUP to empty" end_cgroup "$root/$CGROUP" ||
      warn "$root/$CGROUP stays"
  done < <(cgroup_roots)
}

end_cgroup() { # FOLDER: succeeds when it is gone, which is a moment after its processes were killed.
  local pids
  mapfile -t pids < <(find "$1" -name cgroup.procs -exec cat {} + 2>/dev/null)
  kill -KILL "${pids[@]}" 2>/dev/null || true
  find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
  [ ! -d "$1" ]
}

unmount_below() { # FOLDER: the last mounted first.
  local target
  while read -r target; do
    umount --lazy "$target" || warn "$target stays mounted"
  done < <(awk -v folder="$1/" 'index($5, folder) == 1 {print $5}' /proc/self/mountinfo | tac)
}

release_network() {
  local bridge port table
  for bridge in cni0 lab0; do
    has_alias "$bridge" || continue
    # The kernel would remove a pod's link with its namespace, but later, at its leisure.
    for port in "/sys/class/net/$bridge/brif"/*; do
      [ ! -e "$port" ] || ip link delete "${port##*/}" 2>/dev/null || true
    done
    ip link delete "$bridge"
  done
  for table in "inet sallyport-lab" "ip kube-proxy" "ip6 kube-proxy"; do
    # shellcheck disable=SC2086 # Family and name are two words.
    nft delete table $table 2>/dev/null || true
  done
  release_portmap
}

# The portmap plugin works through iptables, which makes tables of fixed names. One that was not there before, and holds
# nothing but the kernel's hooks and CNI chains, is the lab's.
release_portmap() {
  local table
  [ -e "$LAB/tables.before" ] || return 0
  while read -r table; do
    ! grep -qxF "$table" "$LAB/tables.before" || continue
    # shellcheck disable=SC2086 # "table ip nat" is three words.
    ! nft list $table | grep -E '^\s+chain' | grep -qvE 'chain (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING|CNI-)' ||
      continue
    # shellcheck disable=SC2086
    nft delete $table
  done < <(nft list tables | grep -E '^table ip6? (nat|filter|mangle|raw)$')
}

release_settings() {
  [ ! -e "$LAB/sysctl.before" ] || sysctl -q --load="$LAB/sysctl.before" || true
}

release_folders() {
  local folder
  rm -f /var/lib/cni/results/sallyport-lab-*
  find /var/log/containers -type l -lname "$LAB/*" -delete 2>/dev/null || true
  [ -e "$LAB/folders.made" ] || return 0
  while read -r folder; do
    # Only what is empty goes, once the kubelet's sockets and those of shims that were killed are out of the way.
    [ "$folder" != /var/lib/kubelet ] || rm -rf "$folder/device-plugins"
    [ "$folder" != /run/containerd ] || remove_dead_sockets "$folder/s"
    [ ! -d "$folder" ] || find "$folder" -depth -type d -empty -delete
    [ ! -d "$folder" ] || warn "$folder is kept: something other than the lab put files there"
  done <"$LAB/folders.made"
}

remove_dead_sockets() { # FOLDER: those on which nobody listens.
  local socket listening
  listening=$(ss -Hxl)
  for socket in "$1"/*; do
    [[ $listening == *"$socket"* ]] || rm -f "$socket"
  done
}
