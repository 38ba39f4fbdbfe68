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
      --output custom-columns=NAME:.metadata.name,PHASE:.status.phase 2>/dev/null |
      while read -r volume phase; do
        [ "$phase" != Released ] || give_back "$volume" || warn "$volume was not given back; tried again later"
      done || true
    sleep 1 # Between two tries to reach an API server that is away.
  done
}

give_back() { # VOLUME
  local directory=$LAB/volumes/$1
  rm -rf "$directory" && mkdir -m 755 "$directory" || return 1
  lab_kubectl patch persistentvolume "$1" --type json --patch '[{"op": "remove", "path": "/spec/claimRef"}]'
}

main
