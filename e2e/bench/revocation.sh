#!/usr/bin/env bash
# From the change of an object to the last byte at the engineer's end, under load: docs/benchmarks/revocation.csv and the
# table. How it measures: e2e/src/bin/bench_revocation.rs.
#
#   TRIALS=1000 SITES=100 AGENTS=60 e2e/bench/revocation.sh     SITES: trials with a suspended site
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=${CARGO_TARGET_DIR:-${SALLYPORT_CACHE:-$HOME/.cache/sallyport}/target}
cargo build --release --quiet --package sallyport-e2e --bin bench_revocation --bin echo_device
mkdir -p docs/benchmarks
"$target/release/bench_revocation" >docs/benchmarks/revocation.csv
