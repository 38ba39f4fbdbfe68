#!/usr/bin/env bash
# Static release binaries in SALLYPORT_BIN, for images and people. A file that did not change keeps its time, so that
# nothing that depends on it is made again.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${SALLYPORT_BIN:-${SALLYPORT_CACHE:-$HOME/.cache/sallyport}/dist}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOME/.cache/sallyport/target}
BINARIES=(sallyport-operator sallyport-gateway sallyport-agent sallyportctl)

host=$(rustc -vV | sed -n 's/^host: //p')
# Naming the target keeps the flag away from build scripts and macros, which cannot be linked so.
RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --target "$host" \
  --package sallyport-operator --package sallyport-gateway --package sallyport-agent --package sallyport-ctl

mkdir -p "$BIN"
for binary in "${BINARIES[@]}"; do
  built=$CARGO_TARGET_DIR/$host/release/$binary
  if ! cmp --silent "$built" "$BIN/$binary"; then
    # Renamed into place: the old one may be running.
    cp "$built" "$BIN/$binary.part"
    mv "$BIN/$binary.part" "$BIN/$binary"
    echo "new: $BIN/$binary"
  fi
done
# As a kubectl plugin: kubectl finds it by this name.
ln -sfn sallyportctl "$BIN/kubectl-sallyport"
