#!/usr/bin/env bash
# The audit journal beside its floor (a loop that writes and syncs) and SQLite in WAL mode, on the same disk in the same run;
# and verification beside the rate of SHA-256. Writes docs/benchmarks/audit.csv and prints the table.
#
#   SECONDS_EACH=5 AUDIT_DISK=/var/tmp e2e/bench/audit.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
LENGTH=${SECONDS_EACH:-5}
folder=$(mktemp -d "${AUDIT_DISK:-/var/tmp}/sallyport-bench-audit.XXXXXX")
trap 'rm -rf "$folder"' EXIT
out=docs/benchmarks/audit.csv

mkdir -p docs/benchmarks
{
  cargo bench --quiet --package sallyport-gateway --bench audit -- "$folder" "$LENGTH"
  for writers in 1 16 256; do
    mkdir "$folder/sqlite-$writers"
    read -r rate p50 p99 < <(python3 e2e/bench/sqlite_wal.py "$folder/sqlite-$writers" "$writers" "$LENGTH")
    echo "SQLite WAL synchronous=FULL,$writers,512,$rate,$p50,$p99"
  done
} | tee "$out" | column -t -s ,
