#!/usr/bin/env bash
# Shows Sallyport at work, end to end: a cluster, a region in it, a hospital outside it, an engineer who reaches a scanner
# there with ssh and a browser's protocol, and everything else refused; the CA rotated and the hospital suspended while the
# engineer works; and the records of it all, checked by the hospital alone. It leaves it all running for you to look at; a
# second run takes what is there and is quick. `demo.sh down` removes what it made.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$DEMO/cluster.sh"
. "$DEMO/site.sh"
. "$DEMO/engineer.sh"
. "$DEMO/authority.sh"
. "$DEMO/evidence.sh"
. "$DEMO/down.sh"

main() {
  [ "$(id -u)" = 0 ] || die "the demo's hospital is made of network namespaces, and so needs root" "run it as root"
  case ${1:-up} in
    up) lock demo; open_state; up ;;
    down) lock demo; down ;;
    *) echo "usage: demo.sh [up|down]" >&2; exit 2 ;;
  esac
}

up() {
  cluster_up
  install
  region
  site
  engineer
  authority
  suspension
  evidence
  no_route
  objects
  where_next
}

where_next() {
  cat <<END

Done in $SECONDS s. Where to look next, after
  export KUBECONFIG=$KUBECONFIG SALLYPORT_CONFIG=$SALLYPORT_CONFIG PATH=\$PATH:$BIN:$CACHE/bin

  kubectl -n $REGION_SPACE describe dmz $REGION         # what the region is made of
  kubectl -n $SITE_SPACE describe tep $ENDPOINT             # who is connected, since when, from where
  kubectl -n $RELEASE_SPACE logs deployment/$RELEASE   # what the operator decided
  tail -f $STATE/agent.log                # what the hospital's agent does
  # The scanner's page, until it had no traffic for 15 minutes:
  curl --cacert $(site_has CERTIFICATE) --resolve scanner.$SITE:$(port_of_console):127.0.0.1 $(page_url)
  # What happened to the CA, and who would be cut if the old one were dropped now.
  sallyportctl ca history $AUTHORITY -n $REGION_SPACE; sallyportctl ca status $AUTHORITY -n $REGION_SPACE
  make demo-down                                          # removes the demo; the lab stays
END
}

main "$@"
