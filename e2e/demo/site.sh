# shellcheck shell=bash
# The hospital's side, outside the cluster: two network namespaces, an agent, a scanner (e2e/lab/netns.sh).

OUTER_HOST=frankfurt.dmz.sallyport.example
AGENT=$STATE/agent

site() {
  title "The hospital, outside the cluster"
  step "a site: agent's host and scanner, in network namespaces" "$LAB_SCRIPTS/netns.sh show $SITE" site_up
  step "the agent's configuration, and what the hospital itself allows" "$AGENT" configure_agent
  show "sallyportctl enrol token $SITE_SPACE/$ENDPOINT, and at the site: sallyport-agent enrol" "$AGENT" enrol
  show "sallyport-agent check" "$AGENT/agent.yaml" check
  step "sallyport-agent run" "$STATE/agent.log" run_agent
  step "two tunnels, one to each gateway" "$STATE/agent.log; kubectl -n $SITE_SPACE describe tep $ENDPOINT" connected
}

in_site() { "$LAB_SCRIPTS/netns.sh" exec "$SITE" "$@"; }

site_up() {
  local address device
  address=$(node_ip)
  "$LAB_SCRIPTS/netns.sh" up "$SITE"
  in_site agent grep -q " $OUTER_HOST\$" /etc/hosts || "$LAB_SCRIPTS/netns.sh" hosts "$SITE" "$address" "$OUTER_HOST"
  # The lab's own bridge is the node. For another cluster the host stands in for the hospital's router.
  ! own_cluster || nft -f - <<END
    table inet sallyport-demo
    delete table inet sallyport-demo
    table inet sallyport-demo {
      chain uplinks { type nat hook postrouting priority srcnat; ip saddr 10.198.0.0/16 ip daddr $address masquerade; }
    }
END
  device=$(dirname "$(site_has KEY)")
  cat >"$device/www/index.html" <<END
<!doctype html>
<html lang="en">
<title>Somnia CT 700</title>
<h1>Somnia CT 700, serial number CT700-18842</h1>
<p>Hospices du Rhône, Lyon. Tube: 41 210 scan seconds. Last calibration: passed.</p>
</html>
END
}

# site_has IP|USER|KEY|KNOWN_HOSTS|CERTIFICATE: of the device.
site_has() { "$LAB_SCRIPTS/netns.sh" show "$SITE" | sed -n "s/^SITE_DEVICE_$1=//p"; }

configure_agent() {
  umask 077
  mkdir -p "$AGENT/state"
  cat >"$AGENT/agent.yaml" <<END
gateway: {host: $OUTER_HOST, port: $(node_port outer)}
certificate: $AGENT/tls.crt
key: $AGENT/tls.key
trust: $AGENT/ca.crt
stateDirectory: $AGENT/state
# The hospital's own word, narrower than what the vendor declared: the scanner's ssh and console, nothing else.
allow: $AGENT/allow.yaml
tunnels: 2
admin: 127.0.0.1:9464
END
  echo "allow: [{host: 10.77.0.10, ports: [22, 443]}]" >"$AGENT/allow.yaml"
}

# The key is made here and stays here. One that still counts is kept.
enrol() {
  local answer
  if counts; then
    echo "the certificate of an earlier run still counts"
    return
  fi
  umask 077
  rm -f "$AGENT"/{tls.crt,tls.key,ca.crt}
  answer=$(sallyportctl enrol token "$SITE_SPACE/$ENDPOINT" --output json)
  jq --raw-output .token <<<"$answer" >"$AGENT/token"
  in_site agent "$BIN/sallyport-agent" enrol --config "$AGENT/agent.yaml" --endpoint "$SITE_SPACE/$ENDPOINT" \
    --fingerprint "$(jq --raw-output .fingerprint <<<"$answer")" --token-file "$AGENT/token"
  rm "$AGENT/token"
}

counts() {
  local serial
  [ -s "$AGENT/tls.crt" ] && openssl verify -CAfile <(region_trust) "$AGENT/tls.crt" >/dev/null 2>&1 || return 1
  serial=$(openssl x509 -in "$AGENT/tls.crt" -noout -serial)
  [ "$(kubectl --namespace "$SITE_SPACE" get tunnelcertificate "$ENDPOINT" --output 'jsonpath={.status.serial}')" = "$(tr '[:upper:]' '[:lower:]' <<<"${serial#serial=}")" ]
}
region_trust() { kubectl --namespace "$REGION_SPACE" get configmap "$REGION-trust" --output json | jq --raw-output '.data["ca.crt"]'; }

check() { in_site agent "$BIN/sallyport-agent" check --config "$AGENT/agent.yaml"; }

# One that runs already goes on, unless it is of an older build or of a site that was torn down.
run_agent() {
  local pid
  if alive agent; then
    pid=$(cat "$STATE/agent.pid")
    [ "$(readlink "/proc/$pid/exe")" != "$BIN/sallyport-agent" ] ||
      [ "$(ip netns identify "$pid")" != "$SITE-agent" ] || return 0
    end agent
  fi
  # What status says of an earlier agent's tunnels is not said of this one's.
  await 60 "the tunnels of the agent before to end" no_tunnel
  background agent "$LAB_SCRIPTS/netns.sh" exec "$SITE" agent "$BIN/sallyport-agent" run --config "$AGENT/agent.yaml"
  await 5 "the agent to start" runs_in_site
}
runs_in_site() { alive agent && [ "$(ip netns identify "$(cat "$STATE/agent.pid")")" = "$SITE-agent" ]; }

connected() {
  await 60 "endpoint $ENDPOINT to have two tunnels" two_tunnels && return
  tail -n 15 "$STATE/agent.log"
  ready "$SITE_SPACE" tunnelendpoint "$ENDPOINT" 1 || true
  return 1
}
no_tunnel() {
  [ -z "$(kubectl --namespace "$SITE_SPACE" get tunnelendpoint "$ENDPOINT" --output 'jsonpath={.status.tunnels[*].gateway}')" ]
}
two_tunnels() {
  local status
  status=$(kubectl --namespace "$SITE_SPACE" get tunnelendpoint "$ENDPOINT" --output \
    'jsonpath={.status.conditions[?(@.type=="Connected")].status} {.status.tunnels[*].gateway}')
  [[ $status =~ ^True\ [^\ ]+\ [^\ ]+$ ]]
}
