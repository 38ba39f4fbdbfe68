#!/usr/bin/env bash
# Gives released volumes back: empties the directory of a volume whose claim was deleted, and makes it available again.
# It runs beside the other components for as long as the lab is up (config/storage.yaml says why there is a pool).
#
# A volume is released only after the last pod that used its claim is gone. The directory is replaced, not emptied: a
# mount that lingers somewhere sees the old one, never the next owner's files; and owner and mode start afresh.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

main() {
  # A watch begins with everything there is, so nothing is missed while the API server or this script was away.
  while true; do
    lab_kubectl get persistentvolumes --selector sallyport.dev/lab-pool --watch --no-headers \
      --output custom-columns=NAME:.metadata.name,PHASE:.status.phase,CLAIM:.spec.claimRef.uid 2>/dev/null |
      while read -r volume phase claim; do
        [ "$phase" != Released ] || [ "$claim" = "<none>" ] || give_back "$volume" "$claim" || warn "$volume stays released"
      done || true
    sleep 1 # Between two tries to reach an API server that is away.
  done
}

# An event may be old news: the volume may be in new hands already. Only what is released now is touched, and nobody but
# this script ends that state.
give_back() { # VOLUME CLAIM_UID
  local directory=$LAB/volumes/$1 now
  now=$(lab_kubectl get persistentvolume "$1" --output 'jsonpath={.status.phase} {.spec.claimRef.uid}')
  [ "$now" = "Released $2" ] || return 0
  rm -rf "$directory" && mkdir -m 755 "$directory" || return 1
  lab_kubectl patch persistentvolume "$1" --patch '{"spec": {"claimRef": null}}'
}

main
