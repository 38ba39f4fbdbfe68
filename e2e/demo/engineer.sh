# shellcheck shell=bash
# The engineer's side: real ssh and curl through sallyportctl, what is refused, and that there is no other way.

INNER_HOST=frankfurt.service.sallyport.example
ENGINEER=$STATE/engineer
GATEWAYS_SAY="kubectl -n $REGION_SPACE logs -l sallyport.dev/region=$REGION --prefix --tail 20"
export SALLYPORT_CONFIG=$ENGINEER/config.yaml

engineer() {
  title "The engineer, Ada Keller, with her certificate"
  step "sallyportctl config set $REGION" "$ENGINEER" configuration
  show "sallyportctl devices" "$GATEWAYS_SAY" sallyportctl devices
  show "ssh to the scanner, sallyportctl being its ProxyCommand" "$GATEWAYS_SAY; $STATE/agent.log" over_ssh
  step "sallyportctl connect $SCANNER --service console: a local port" "$STATE/console.log" open_console
  show "curl: the scanner's own page, checked against the scanner's certificate" "$STATE/console.log" fetch_page
  show "sallyportctl connect $SITE_SPACE/mr-scanner: refused, no policy covers it" "$GATEWAYS_SAY" \
    refused "$SITE_SPACE/mr-scanner" ssh
  show "sallyportctl connect lab-gateway: refused, the customer must approve" "$GATEWAYS_SAY" refused lab-gateway console
  show "sallyportctl sessions" "$GATEWAYS_SAY" latest_sessions
  show "sallyportctl status" "$GATEWAYS_SAY" status_of_two
}

configuration() {
  umask 077
  mkdir -p "$ENGINEER"
  region_trust >"$ENGINEER/region-ca.crt"
  sallyportctl config set "$REGION" --server "https://$INNER_HOST" --address "$(node_ip):$(node_port inner)" \
    --certificate "$PKI/ada.crt" --key "$PKI/ada.key" --trust "$ENGINEER/region-ca.crt"
  sallyportctl whoami
}

over_ssh() {
  local proxy="$BIN/sallyportctl connect $SCANNER --service ssh --reason 'tube arcing, log check' --incident 4711 --stdio"
  ssh -F none -o BatchMode=yes -o ConnectTimeout=20 -o ProxyCommand="$proxy" \
    -o UserKnownHostsFile="$(site_has KNOWN_HOSTS)" -i "$(site_has KEY)" "$(site_has USER)@$SCANNER" \
    'echo "$(id -un) on $(hostname -I | tr -d " "): $(uname -sr), $(uptime -p)"'
}

# It stays open for the reader of the demo; without traffic the gateway ends it after 15 minutes.
open_console() {
  end console
  background console "$BIN/sallyportctl" --config "$SALLYPORT_CONFIG" --output json connect "$SCANNER" --service console \
    --reason 'quarterly calibration'
  await 20 "a local port" console_address && return
  cat "$STATE/console.log"
  return 1
}
console_address() { # Fails while the JSON is missing, which is no error to jq, or not complete, which is one.
  local address
  address=$(jq --raw-output 'select(.listen) | .listen' "$STATE/console.log") && [ -n "$address" ] && echo "$address"
}

page_url() { echo "https://scanner.$SITE:$(port_of_console)/"; }
port_of_console() { local address; address=$(console_address); echo "${address##*:}"; }

fetch_page() {
  curl --silent --show-error --fail --max-time 20 --noproxy '*' --cacert "$(site_has CERTIFICATE)" \
    --resolve "scanner.$SITE:$(port_of_console):127.0.0.1" "$(page_url)"
}

# refused DEVICE SERVICE: a denial, and no other failure, is what is expected here (exit code 3).
refused() {
  local status=0
  sallyportctl connect "$1" --service "$2" --reason 'demo of a refusal' --stdio || status=$?
  [ "$status" = 3 ] || die "expected a denial (exit code 3), got exit code $status"
}

latest_sessions() { sallyportctl sessions | sed -n 1,5p; } # After some runs there are many.

status_of_two() {
  sallyportctl status
  sallyportctl status --output json | jq --exit-status '[.gateways[] | select(.reachable)] | length == 2' >/dev/null
}

no_route() {
  title "And no other way to the scanner"
  show "from this machine" "ip route get $(site_has IP)" unreachable_from_host
  show "from a pod beside the gateways" "kubectl -n $REGION_SPACE get pod no-route" unreachable_from_pod
}

unreachable_from_host() {
  local device port
  device=$(site_has IP)
  for port in 22 443; do
    ! timeout 2 bash -c "</dev/tcp/$device/$port" 2>/dev/null || die "$device:$port is reached from this machine"
  done
  echo "$device: no answer on ports 22 and 443"
}

# The pod first reaches the region's inner door, or its silence towards the device would prove nothing.
unreachable_from_pod() {
  local device pod=(kubectl --namespace "$REGION_SPACE")
  device=$(site_has IP)
  "${pod[@]}" delete pod no-route --ignore-not-found
  "${pod[@]}" apply --filename - <<END
apiVersion: v1
kind: Pod
metadata: {name: no-route}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: look
      image: $(image_of TOOLBOX)
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      command:
        - sh
        - -c
        - |
          connects() { [ "\$(curl -sk -o /dev/null -w '%{time_connect}' -m 3 "https://\$1/")" != 0.000000 ]; }
          connects $REGION-inner:443 || exit 1
          ! connects $device:22 && ! connects $device:443 || exit 2
END
  await 60 "pod no-route to end" pod_over || true
  if [ "$(pod_phase)" != Succeeded ]; then
    "${pod[@]}" get pod no-route --output 'jsonpath={.status.containerStatuses[0].state}{"\n"}'
    die "exit code 1: the pod does not reach the inner door; 2: it reaches the device"
  fi
  "${pod[@]}" delete pod no-route
  clear_log
  echo "$device: no answer on ports 22 and 443, while $REGION-inner:443 answers"
}
pod_phase() { kubectl --namespace "$REGION_SPACE" get pod no-route --output 'jsonpath={.status.phase}'; }
pod_over() { [[ $(pod_phase) =~ ^(Succeeded|Failed)$ ]]; }
clear_log() { : >"$LOG"; } # What went well is not worth lines at the terminal.
