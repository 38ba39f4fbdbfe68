#!/usr/bin/env bash
# Builds images from static binaries, and puts them where the cluster finds them: into the lab's containerd, or into
# REGISTRY for a cluster of your own. A tag is the hash of what is in the image, so that a new build has a new tag and
# pods roll, and an unchanged one costs nothing.
#
#   images.sh        operator, gateway, agent and toolbox     (needs the release binaries in SALLYPORT_BIN)
#   images.sh lab    pause, coredns and toolbox               (what the lab itself runs)
#
# The names are written as OPERATOR_IMAGE=..., GATEWAY_IMAGE=..., ... to $LAB/images.env, or for your own cluster to
# images.env in the cache.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

BIN=${SALLYPORT_BIN:-$CACHE/dist}
REGISTRY=${REGISTRY:-sallyport.local}
ARCHIVES=$CACHE/images
CONTEXT=$ARCHIVES/context
# A store and a configuration of our own: the images of the machine's owner stay out of it, and /etc as it is.
BUILDAH=(env CONTAINERS_CONF="$ARCHIVES/containers.conf" buildah --root "$CACHE/buildah/storage" --runroot "$CACHE/buildah/run" --storage-driver vfs)

main() {
  if own_cluster; then
    NAMES=$CACHE/images.env
    [ "$REGISTRY" != sallyport.local ] || die "your cluster cannot fetch from '$REGISTRY'" \
      "set REGISTRY to a registry that you may push to and your cluster pulls from, for example REGISTRY=registry.example/you"
  else
    need_root
    NAMES=$LAB/images.env
    [ -e "$LAB" ] || die "there is no lab to put images into" "make lab-up; or set KUBECONFIG and REGISTRY to your own"
  fi
  command -v buildah >/dev/null || die "buildah is missing" \
    "make lab-deps; or build with docker as the head of each images/*/Containerfile says"
  mkdir -p "$ARCHIVES"
  if [ "${1:-}" = lab ]; then
    image pause "${PAUSE_IMAGE##*:}" "$(pause_binary)"
    image coredns "" "$(tool coredns)"
  else
    local name
    for name in operator gateway agent; do
      [ -x "$BIN/sallyport-$name" ] || die "there is no $BIN/sallyport-$name" "make binaries"
      image "$name" "${TAG:-}" "$BIN/sallyport-$name"
    done
  fi
  image toolbox "" "$(toolbox_files)"
}

pause_binary() {
  cc -static -Os -s -o "$ARCHIVES/pause" "$REPO/images/pause/pause.c"
  echo "$ARCHIVES/pause"
}

# The machine's own tools with the libraries that they name.
toolbox_files() {
  local files=$ARCHIVES/toolbox program
  rm -rf "$files"
  mkdir -p "$files/bin"
  for program in busybox curl openssl; do
    program=$(command -v "$program")
    cp "$program" "$files/bin/"
    ldd "$program" | grep -o '/[^ ]*' | xargs cp --dereference --parents --target-directory "$files"
  done
  echo "$files"
}

# image NAME TAG PATH: an image of a file or folder by its Containerfile. No TAG means the hash of both.
image() {
  local name=$1 hash tag reference
  hash=$(find "$REPO/images/$name/Containerfile" "$3" -type f -print0 | sort -z | xargs -0 cat | sha256sum | cut -c 1-12)
  tag=${2:-$hash}
  reference=$REGISTRY/$name:$tag
  if own_cluster; then
    push "$name" "$3" "$reference" "$hash"
  else
    import "$name" "$3" "$reference" "$hash"
  fi
  # Whole lines are replaced, so that a reader of the file never sees a half.
  { grep -v "^${name^^}_IMAGE=" "$NAMES" 2>/dev/null || true; echo "${name^^}_IMAGE=$reference"; } >"$NAMES.part"
  mv "$NAMES.part" "$NAMES"
  say "$reference"
}

push() { # NAME PATH REFERENCE HASH
  local stamp=$ARCHIVES/$1.pushed
  [ "$(cat "$stamp" 2>/dev/null)" != "$3 $4" ] || return 0
  build "$1" "$2" "$3" "docker://$3"
  echo "$3 $4" >"$stamp"
}

import() { # NAME PATH REFERENCE HASH
  local archive=$ARCHIVES/$1-$4.tar stamp=$LAB/imported/$1
  [ "$(cat "$stamp" 2>/dev/null)" != "$3 $4" ] || return 0
  if [ "$(cat "$archive.name" 2>/dev/null)" != "$3" ]; then
    find "$ARCHIVES" -name "$1-*.tar*" -mtime +7 -delete # Builds of last week, or the cache grows without end.
    rm -f "$archive"
    build "$1" "$2" "$3" "oci-archive:$archive:$3"
    echo "$3" >"$archive.name"
  fi
  quietly lab_ctr images import "$archive"
  mkdir -p "$LAB/imported"
  echo "$3 $4" >"$stamp"
}

# The Containerfiles use nothing that docker would not build; buildah needs no daemon.
build() { # NAME PATH REFERENCE DESTINATION
  rm -rf "$CONTEXT"
  mkdir -p "$CONTEXT"
  printf '[network]\nnetwork_config_dir = "%s"\n' "$CACHE/buildah/networks" >"$ARCHIVES/containers.conf"
  cp -R "$2" "$CONTEXT/"
  quietly "${BUILDAH[@]}" bud --isolation chroot --timestamp 0 --format oci --build-arg "VERSION=${3##*:}" \
    --file "$REPO/images/$1/Containerfile" --tag "$3" "$CONTEXT"
  quietly "${BUILDAH[@]}" push "$3" "$4"
  quietly "${BUILDAH[@]}" rmi --all --force
  rm -rf "$CONTEXT"
}

main "$@"
