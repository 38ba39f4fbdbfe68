# shellcheck shell=bash
# The hospital's side, outside the cluster: two network namespaces, an agent, a scanner (e2e/lab/netns.sh).

OUTER_HOST=frankfurt.dmz.sallyport.example
AGENT=$STATE/agent

site() {
  title "The hospital, outside the cluster"
  step "a site: agent's host and scanner, in network namespaces" "$LAB_SCRIPTS/netns.sh show $SITE" site_up
  step "certificate, key and CA handed over as files, mode 0600" "$AGENT" hand_over
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

hand_over() {
  local secret file
  umask 077
  mkdir -p "$AGENT/state"
  secret=$(kubectl --namespace "$SITE_SPACE" get tunnelcertificate "$ENDPOINT" --output 'jsonpath={.spec.secretName}')
  for file in tls.crt tls.key ca.crt; do
    kubectl --namespace "$SITE_SPACE" get secret "$secret" --output json |
      jq --exit-status --raw-output --arg file "$file" '.data[$file]' | base64 -d >"$AGENT/$file.part"
    # Unchanged files stay; changed ones are noticed by a running agent.
    if cmp -s "$AGENT/$file.part" "$AGENT/$file"; then rm "$AGENT/$file.part"; else mv "$AGENT/$file.part" "$AGENT/$file"; fi
  done
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
two_tunnels() {
  local status
  status=$(kubectl --namespace "$SITE_SPACE" get tunnelendpoint "$ENDPOINT" --output \
    'jsonpath={.status.conditions[?(@.type=="Connected")].status} {.status.tunnels[*].gateway}')
  [[ $status =~ ^True\ [^\ ]+\ [^\ ]+$ ]]
}
