# shellcheck shell=bash
# The private CA: a rotation that an open session does not notice, and a suspension that ends a copy within a second.

AUTHORITY=service-ca CUSTOMER=hospices-rhone
OPERATOR_SAYS="kubectl -n $RELEASE_SPACE logs deployment/$RELEASE --tail 50"

authority() {
  title "The private CA: rotated while an engineer works"
  # The samples keep the defaults, which give engineers a day to fetch the new trust and agents a day to renew.
  step "rotation: publishFor 0s, renewWithin 0s, so that it is over in seconds" "kubectl -n $REGION_SPACE get ca $AUTHORITY -o yaml" at_once
  step "ssh to the scanner, left open: a line every 0.2 s" "$STATE/open-ssh.log" open_ssh
  show "sallyportctl ca rotate $AUTHORITY --wait" "$OPERATOR_SAYS" rotate
  show "the ssh session has gone on" "$STATE/open-ssh.log; $STATE/agent.log" went_on
  show "sallyportctl ca status $AUTHORITY" "$OPERATOR_SAYS" platform ca status "$AUTHORITY" --namespace "$REGION_SPACE"
  step "sallyportctl trust update: the engineer's own copy of the trust bundle" "$ENGINEER" update_trust
}

suspension() {
  title "The customer says stop while a file is copied"
  show "scp from the scanner, and sallyportctl suspend site $CUSTOMER --wait" "$STATE/copy.log; $STATE/agent.log" copy_and_suspend
  show "sallyportctl resume site $CUSTOMER --wait" "$OPERATOR_SAYS" platform resume site "$CUSTOMER" --namespace "$SITE_SPACE" --wait
  step "two tunnels again" "$STATE/agent.log" connected
  step "the console's local port again, for you" "$STATE/console.log" open_console
}

# The platform team's commands go by KUBECONFIG.
platform() { sallyportctl "$@"; }

at_once() {
  kubectl --namespace "$REGION_SPACE" patch ca "$AUTHORITY" --type merge \
    --patch '{"spec": {"rotation": {"publishFor": "0s", "renewWithin": "0s"}}}'
}

# ssh_options: an array for scp as well. The log names the state folder, by which `end` finds the process.
ssh_options() {
  SSH=(-F none -o BatchMode=yes -o ConnectTimeout=20 -o UserKnownHostsFile="$(site_has KNOWN_HOSTS)" -i "$(site_has KEY)"
    -o ProxyCommand="$BIN/sallyportctl --config $SALLYPORT_CONFIG connect $SCANNER --service ssh --reason 'log check' --stdio")
}

open_ssh() {
  local SSH
  ssh_options
  end open-ssh
  # shellcheck disable=SC2016 # For the scanner's shell.
  background open-ssh ssh "${SSH[@]}" "$(site_has USER)@$SCANNER" 'n=0; while sleep 0.2; do n=$((n + 1)); echo "line $n"; done'
  await 20 "the first line" grep -q '^line 1$' "$STATE/open-ssh.log"
}

lines() { grep -c '^line' "$STATE/open-ssh.log"; }

rotate() {
  lines >"$STATE/lines-before"
  platform ca rotate "$AUTHORITY" --namespace "$REGION_SPACE" --reason 'the demo' --wait --timeout 2m
}

went_on() {
  local before now
  before=$(cat "$STATE/lines-before") now=$(lines)
  # Beyond what was there when the rotation had ended.
  await 5 "another line" more_lines_than "$now" || die "the session stands still" "read $STATE/open-ssh.log"
  alive open-ssh || die "the session is over" "read $STATE/open-ssh.log"
  echo "$((now - before)) lines came during the rotation, and they go on: $(tail -n 1 "$STATE/open-ssh.log")"
  end open-ssh
}
more_lines_than() { [ "$(lines)" -gt "$1" ]; }

update_trust() {
  platform trust update "$REGION" --from-cluster "$AUTHORITY" --namespace "$REGION_SPACE" --config "$SALLYPORT_CONFIG"
  sallyportctl whoami
}

copy_and_suspend() {
  local SSH home copied
  ssh_options
  home=$(dirname "$(site_has KEY)")/home
  truncate --size 4G "$home/images.tar"
  rm -f "$STATE/images.tar"
  # About 12 MB a second.
  background copy scp -l 100000 "${SSH[@]}" "$(site_has USER)@$SCANNER:images.tar" "$STATE/images.tar"
  await 20 "the copy to be under way" copied_more_than 4
  platform suspend site "$CUSTOMER" --namespace "$SITE_SPACE" --wait
  await 5 "scp to end" gone copy || die "scp goes on" "read $STATE/copy.log"
  copied=$(stat --format %s "$STATE/images.tar")
  rm -f "$STATE/images.tar" "$STATE/copy.pid" "$home/images.tar"
  echo "scp ended after $((copied >> 20)) of 4096 MB; the engineer reads:"
  grep -i 'session' "$STATE/copy.log" | tail -n 2 | sed 's/^/  /'
  echo "the hospital's agent:"
  grep -i 'suspended' "$STATE/agent.log" | tail -n 1 | cut -c 1-110 | sed 's/^/  /'
}
copied_more_than() { [ "$(stat --format %s "$STATE/images.tar" 2>/dev/null || echo 0)" -gt $(($1 << 20)) ]; }
