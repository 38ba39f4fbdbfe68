# shellcheck shell=bash
# The evidence: what the vendor's auditor hands to the hospital, and what the hospital finds out alone.

EVIDENCE=$STATE/evidence EXPORT=$STATE/evidence/export
AUDITOR="$EVIDENCE/config.yaml"

evidence() {
  title "Evidence: the customer checks alone what was done"
  step "sallyportctl config set, for Eve Moreau of the auditors" "$EVIDENCE" auditor_configuration
  show "sallyportctl audit records --site $SITE_SPACE/$CUSTOMER: the last sessions" "$OPERATOR_SAYS; $GATEWAYS_SAY" last_records
  show "sallyportctl audit export: for the hospital" "$OPERATOR_SAYS; $GATEWAYS_SAY" export_site
  show "the hospital: sallyportctl audit verify, with no network and nothing but the export and a key" "$EXPORT" verify_alone
  show "a published client of transparency logs says the same of the first log" "$EXPORT" verify_published
  show "one byte is changed: the verifier names the record" "$EXPORT" verify_changed
}

auditor_configuration() {
  umask 077
  mkdir -p "$EVIDENCE"
  region_trust >"$EVIDENCE/region-ca.crt"
  sallyportctl --config "$AUDITOR" config set "$REGION" --server "https://$INNER_HOST" --address "$(node_ip):$(node_port inner)" \
    --certificate "$PKI/eve.crt" --key "$PKI/eve.key" --trust "$EVIDENCE/region-ca.crt"
}

as_auditor() { sallyportctl --config "$AUDITOR" audit "$@"; }

last_records() { as_auditor records --site "$SITE_SPACE/$CUSTOMER" | tail -n 8 | cut -c 1-150; }

# The operator collects within seconds: the suspension's end is the last thing that happened.
export_site() {
  await 30 "the archive to have the last session" exported
  cat "$EVIDENCE/export.log"
}
exported() {
  rm -rf "$EXPORT"
  as_auditor export --site "$SITE_SPACE/$CUSTOMER" --from 2020-01-01 --to "$(date --utc +%FT%TZ)" "$EXPORT" >"$EVIDENCE/export.log" 2>&1 &&
    grep -q '"sessionEnded"' "$EXPORT/records.jsonl"
}

verifier_key() {
  kubectl --namespace "$REGION_SPACE" get dmz "$REGION" --output 'jsonpath={.status.audit.verifierKey}'
}

# No network, no environment, no cluster: what a hospital's own machine would have.
alone() { unshare --net env --ignore-environment PATH=/usr/bin:/bin "$BIN/sallyportctl" audit verify "$EXPORT" --key "$1"; }

verify_alone() { alone "$(verifier_key)"; }

verify_published() {
  local key=$EVIDENCE/log.key said
  jq --raw-output '.logs[0].verifierKey' "$EXPORT/export.json" >"$key"
  said=$("$CACHE/bin/tlog-fsck" -ui=false -storage_url "file://$EXPORT/logs/0" -public_key "$key" 2>&1)
  grep -o "Successfully fsck'd log with size [0-9]*" <<<"$said" || die "the published client does not agree" "$said"
}

verify_changed() {
  local bundle status=0
  bundle=$(find "$EXPORT/logs" -path '*/tile/entries/*' -type f | sort | head -n 1)
  cp "$bundle" "$EVIDENCE/bundle"
  printf 'X' | dd of="$bundle" bs=1 seek=200 conv=notrunc status=none
  alone "$(verifier_key)" || status=$?
  cp "$EVIDENCE/bundle" "$bundle"
  [ "$status" -ne 0 ] || die "a changed byte was not noticed" "look at $bundle"
}
