#!/usr/bin/env bash
# A hospital site on this machine, outside the cluster: two network namespaces, and a device to service.
#
#    host ──(10.198.x.y/30, "uplink")── NAME-agent ──(10.77.0.0/24, "lan")── NAME-device 10.77.0.10
#         routes to the node and                     sshd on :22, nginx with TLS on :443
#         what it publishes, nothing else
#
# As in a hospital: the site opens connections outwards and accepts none; the agent's host forwards no packet, so the
# device is reached through a program there or not at all. Every site has the same LAN, since hospitals do. From a site one
# reaches what the cluster publishes on the node's address (NodePorts, load balancers) and the host's end of the uplink,
# neither the API server nor pods, nor other sites.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

SITES=/run/sallyport-site
NODE_IP=10.199.0.1
PUBLISHED=10.199.0.0/24
NOWHERE=(unreachable 10.77.0.0/24 metric 4000) # A real network of that address, with its smaller metric, goes first.
LAN_AGENT=10.77.0.1
LAN_DEVICE=10.77.0.10

usage() {
  cat <<END
usage: netns.sh up NAME [HOST...]            builds the site; HOSTs resolve to the node's address there
       netns.sh down NAME                    removes it, and ends every process in it
       netns.sh exec NAME agent|device CMD   runs CMD in one of its namespaces
       netns.sh hosts NAME ADDRESS HOST...   one more line for the agent's /etc/hosts
       netns.sh show NAME                    addresses and files of the site, as shell variables
       netns.sh list                         names of all sites
END
}

main() {
  local verb=${1:-} name=${2:-}
  need_root
  case $verb in
    list) ls "$SITES" 2>/dev/null || true; return ;;
    up | down | exec | hosts | show) ;;
    *) usage >&2; exit 2 ;;
  esac
  [[ $name =~ ^[a-z][a-z0-9-]{0,30}$ ]] || die "'$name' cannot name a site" "small letters, digits and dashes, at most 31"
  SITE=$SITES/$name
  shift 2
  case $verb in
    up) lock sites; site_up "$name" "$@" ;;
    down) lock sites; site_down "$name" ;;
    exec) site_exec "$name" "$@" ;;
    hosts) need_site "$name"; echo "$*" >>"/etc/netns/$name-agent/hosts" ;;
    show) need_site "$name"; site_show "$name" ;;
  esac
}

need_site() { [ -f "$SITE/complete" ] || die "there is no site '$1'" "netns.sh up $1"; }

site_up() { # NAME [HOST...]
  local name=$1 index tool
  shift
  for tool in ip nft ssh-keygen nginx openssl /usr/sbin/sshd; do
    command -v "$tool" >/dev/null || die "$tool is missing" "make lab-deps"
  done
  if [ -f "$SITE/complete" ] && device_answers "$name"; then
    say "site $name is up"
    return
  fi
  [ ! -e "$SITE" ] || site_down "$name" # Half of one, left by an interrupted run, or one whose processes were killed.
  note_host
  mkdir -p "$SITE"
  index=$(free_index)
  echo "$index" >"$SITE/index"
  make_namespaces "$name" "$index"
  write_hosts "$name" "$@"
  write_accounts "$name"
  start_sshd "$name"
  start_nginx "$name"
  await 10 "sshd and nginx of $name to answer" device_answers "$name" ||
    die "the device of site $name does not answer" "read $SITE/sshd.log and $SITE/nginx.log"
  touch "$SITE/complete"
  site_show "$name"
}

site_show() { # NAME
  local index
  index=$(cat "$SITE/index")
  cat <<END
SITE_AGENT_NETNS=$1-agent
SITE_DEVICE_NETNS=$1-device
SITE_HOST_IP=$(address_of "$index" 1)
SITE_AGENT_IP=$(address_of "$index" 2)
SITE_DEVICE_IP=$LAN_DEVICE
SITE_DEVICE_USER=service
SITE_DEVICE_KEY=$SITE/service_key
SITE_DEVICE_KNOWN_HOSTS=$SITE/known_hosts
SITE_DEVICE_CERTIFICATE=$SITE/device.crt
END
}

# A site's link, addresses and packets all follow from one number, the lowest that is free.
free_index() {
  local index
  for ((index = 0; index < 4096; index++)); do
    grep -qsx "$index" "$SITES"/*/index || { echo "$index"; return; }
  done
  die "4096 sites exist already" "netns.sh down those that are no longer used: netns.sh list"
}

address_of() { # INDEX 1|2: the host's and the agent's end; a /30 for each site, 64 of them in a /24.
  echo "10.198.$(($1 / 64)).$(($1 % 64 * 4 + $2))"
}

make_namespaces() { # NAME INDEX
  local agent=$1-agent device=$1-device link=site$2 host_ip agent_ip
  host_ip=$(address_of "$2" 1) agent_ip=$(address_of "$2" 2)
  ip netns add "$agent"
  ip netns add "$device"
  # A new namespace inherits the host's forwarding, and the host forwards for pods.
  for namespace in "$agent" "$device"; do
    ip netns exec "$namespace" sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.disable_ipv6=1
    ip -n "$namespace" link set lo up
  done

  ip link add "$link" type veth peer name uplink netns "$agent"
  ip address add "$host_ip/30" dev "$link"
  ip link set "$link" up
  ip -n "$agent" address add "$agent_ip/30" dev uplink
  ip -n "$agent" link set uplink up
  ip -n "$agent" route add default via "$host_ip"

  ip -n "$agent" link add lan type veth peer name lan netns "$device"
  ip -n "$agent" address add "$LAN_AGENT/24" dev lan
  ip -n "$agent" link set lan up
  ip -n "$device" address add "$LAN_DEVICE/24" dev lan
  ip -n "$device" link set lan up

  # The hospital's firewall: nobody opens a connection to the site.
  ip netns exec "$agent" nft -f - <<END
    table inet site {
      chain input {
        type filter hook input priority filter;
        iifname "uplink" ct state new drop
      }
    }
END
  sysctl -qw net.ipv4.ip_forward=1
  guard_host
}

note_host() {
  mkdir -p "$SITES"
  [ -e "$SITES/.forwarding" ] || sysctl -n net.ipv4.ip_forward >"$SITES/.forwarding"
  # Where sshd separates its privileges. Debian makes it when the service starts, which it may never have.
  [ -e /run/sshd ] || { mkdir -m 755 /run/sshd; touch "$SITES/.sshd"; }
}

# The host's side, one table and one route for all sites. A packet to a published address has been translated to a pod's
# before it is forwarded; what counts is the address that the site wrote on it. The route makes sure that the device LAN is
# nowhere: a default gateway that answers for everybody would otherwise look like a way in.
guard_host() {
  nft -f - <<END
    table inet sallyport-site
    delete table inet sallyport-site
    table inet sallyport-site {
      chain input {
        type filter hook input priority filter;
        iifname "site*" ip daddr $NODE_IP ct state new drop
      }
      chain forward {
        type filter hook forward priority filter;
        iifname "site*" oifname "site*" drop
        iifname "site*" ip daddr 10.244.0.0/16 ct original ip daddr != $PUBLISHED drop
      }
    }
END
  ip route replace "${NOWHERE[@]}"
}

# `ip netns exec` lays each file of /etc/netns/NAMESPACE over the one of that name in /etc.
write_hosts() { # NAME [HOST...]
  local namespace agent=$1-agent
  for namespace in "$1-agent" "$1-device"; do
    mkdir -p "/etc/netns/$namespace"
    printf '127.0.0.1 localhost\n' >"/etc/netns/$namespace/hosts"
    printf '# No name server at this site: names come from /etc/hosts.\n' >"/etc/netns/$namespace/resolv.conf"
  done
  shift
  [ $# -eq 0 ] || echo "$NODE_IP $*" >>"/etc/netns/$agent/hosts"
}

# The device has a service technician's account of its own, which the machine need not have. No password opens it.
write_accounts() { # NAME
  local etc=/etc/netns/$1-device
  mkdir -p "$SITE/home"
  chown 20000:20000 "$SITE/home"
  cat >"$etc/passwd" <<END
root:x:0:0:root:/root:/usr/sbin/nologin
sshd:x:101:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
service:x:20000:20000:Scanner service:$SITE/home:/bin/bash
END
  printf 'root:x:0:\nnogroup:x:65534:\nservice:x:20000:\n' >"$etc/group"
  (umask 077 && printf '%s:*:19000:0:99999:7:::\n' root sshd nobody service >"$etc/shadow")
}

start_sshd() { # NAME
  ssh-keygen -q -t ed25519 -N '' -C "device of $1" -f "$SITE/host_key"
  ssh-keygen -q -t ed25519 -N '' -C "engineer for $1" -f "$SITE/service_key"
  cp "$SITE/service_key.pub" "$SITE/authorized_keys"
  # The engineer's end of a tunnel has another address each time; the key is what identifies the device.
  printf '* %s\n' "$(cut -d ' ' -f 1,2 "$SITE/host_key.pub")" >"$SITE/known_hosts"
  cat >"$SITE/sshd_config" <<END
ListenAddress $LAN_DEVICE:22
HostKey $SITE/host_key
PidFile none
AllowUsers service
AuthenticationMethods publickey
AuthorizedKeysFile $SITE/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
ForceCommand none
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
END
  in_background "$1" sshd /usr/sbin/sshd -D -e -f "$SITE/sshd_config"
}

start_nginx() { # NAME
  mkdir -p "$SITE/www" "$SITE/nginx"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=scanner.$1" \
    -addext "subjectAltName=IP:$LAN_DEVICE,DNS:scanner.$1" -keyout "$SITE/device.key" -out "$SITE/device.crt" 2>/dev/null
  cat >"$SITE/www/index.html" <<END
<!doctype html>
<html lang="en">
<title>Scanner service page</title>
<h1>Scanner service page</h1>
<p>Example MR 1.5, serial number 1001, site $1.</p>
<p>Helium level 87 %, gradient coil 21 degrees, last calibration passed.</p>
</html>
END
  cat >"$SITE/nginx.conf" <<END
daemon off;
user nobody nogroup;
worker_processes 1;
pid $SITE/nginx/pid;
error_log stderr;
events { worker_connections 512; }
http {
  access_log $SITE/nginx/access.log;
  client_body_temp_path $SITE/nginx/body;
  proxy_temp_path $SITE/nginx/proxy;
  fastcgi_temp_path $SITE/nginx/fastcgi;
  uwsgi_temp_path $SITE/nginx/uwsgi;
  scgi_temp_path $SITE/nginx/scgi;
  default_type text/html;
  server {
    listen $LAN_DEVICE:443 ssl;
    ssl_certificate $SITE/device.crt;
    ssl_certificate_key $SITE/device.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    root $SITE/www;
  }
}
END
  in_background "$1" nginx nginx -p "$SITE/nginx" -e stderr -c "$SITE/nginx.conf"
}

in_background() { # NAME LOG COMMAND...: in the device's namespace; site_down finds it there.
  local name=$1 log=$SITE/$2.log
  shift 2
  setsid nohup ip netns exec "$name-device" "$@" >"$log" 2>&1 </dev/null 9>&- &
}

device_answers() { # NAME: as seen from the agent.
  ip netns exec "$1-agent" curl --silent --fail --max-time 2 --cacert "$SITE/device.crt" "https://$LAN_DEVICE/" &&
    ip netns exec "$1-agent" ssh -F none -i "$SITE/service_key" -o UserKnownHostsFile="$SITE/known_hosts" \
      -o BatchMode=yes -o ConnectTimeout=2 "service@$LAN_DEVICE" true
}

site_exec() { # NAME agent|device COMMAND...
  local name=$1 end=${2:-}
  need_site "$name"
  [ "$end" = agent ] || [ "$end" = device ] || die "'$end' is no part of a site" "agent or device"
  shift 2
  [ $# -gt 0 ] || die "no command to run" "netns.sh exec $name $end ip address"
  exec ip netns exec "$name-$end" "$@"
}

site_down() { # NAME
  local namespace
  # By itself the link goes some time after its namespace, and the next site would find its name taken.
  [ ! -f "$SITE/index" ] || ip link delete "site$(cat "$SITE/index")" 2>/dev/null || true
  for namespace in "$1-agent" "$1-device"; do
    if [ -e "/run/netns/$namespace" ]; then
      await 10 "processes in $namespace to end" emptied "$namespace" || true
      ip netns delete "$namespace" # Its ends of links go with it.
    fi
    rm -rf "/etc/netns/$namespace"
  done
  rm -rf "$SITE"
  [ -n "$(ls "$SITES" 2>/dev/null)" ] || release_host
}

emptied() { # NAMESPACE
  local pids
  mapfile -t pids < <(ip netns pids "$1")
  [ ${#pids[@]} -gt 0 ] || return 0
  kill -KILL "${pids[@]}" 2>/dev/null || true
  return 1
}

# After the last site.
release_host() {
  nft delete table inet sallyport-site 2>/dev/null || true
  ip route delete "${NOWHERE[@]}" 2>/dev/null || true
  # A lab that is up forwards for its pods, and has noted what was before.
  if [ -e "$SITES/.forwarding" ] && [ ! -e "$LAB" ]; then
    sysctl -qw "net.ipv4.ip_forward=$(cat "$SITES/.forwarding")"
  fi
  [ ! -e "$SITES/.sshd" ] || rmdir /run/sshd
  rm -rf "$SITES"
  rmdir /etc/netns 2>/dev/null || true
  if [ -d /run/netns ] && [ -z "$(ls /run/netns)" ]; then
    umount /run/netns 2>/dev/null || true # `ip netns add` mounts it over itself.
    rmdir /run/netns
  fi
}

main "$@"
