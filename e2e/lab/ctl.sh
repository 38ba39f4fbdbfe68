#!/usr/bin/env bash
# Stops, kills, freezes and starts single components of the lab, and turns etcd back in time: the faults that tests make.
. "$(dirname "${BASH_SOURCE[0]}")/components.sh"

usage() {
  cat <<END
usage: ctl.sh start|stop|kill|restart|freeze|thaw COMPONENT...   start and restart wait until it is ready
       ctl.sh snapshot|restore NAME                              etcd's state, as a restored backup would have it
       ctl.sh log COMPONENT                                      the path of its log
components: ${COMPONENTS[*]}
END
}

main() {
  local verb=${1:-} component
  shift || true
  case $verb in
    start | stop | kill | restart | freeze | thaw | log | snapshot | restore) [ $# -gt 0 ] || { usage >&2; exit 2; } ;;
    *) usage >&2; exit 2 ;;
  esac
  need_root
  [ -d "$LAB/run" ] || die "there is no lab" "make lab-up"
  case $verb in
    snapshot) snapshot "$1"; return ;;
    restore) restore "$1"; return ;;
  esac
  lock lab
  for component in "$@"; do
    argv_of "$component" # Dies of an unknown name before anything is touched.
  done
  for component in "$@"; do
    case $verb in
      start) start_and_await "$component" ;;
      stop) stop "$component" ;;
      kill) stop "$component" KILL ;;
      restart) stop "$component"; start_and_await "$component" ;;
      freeze) signal STOP "$component" ;;
      thaw) signal CONT "$component" ;;
      log) echo "$LAB/log/$component.log" ;;
    esac
  done
}

signal() { # SIGNAL COMPONENT
  running "$2" || die "$2 does not run" "ctl.sh start $2"
  kill -"$1" "$(pid_of "$2")"
}

# Those that must forget what they read when etcd's revisions go back, in the order of starting.
HOLDERS=(etcd apiserver controller-manager scheduler)

snapshot() { # NAME
  lock lab
  stop etcd
  rm -rf "$LAB/snapshots/$1"
  mkdir -p "$LAB/snapshots"
  cp -a "$LAB/etcd" "$LAB/snapshots/$1"
  start_and_await etcd
  await 30 "the API server to find etcd again" ready apiserver
}

restore() { # NAME
  local number component
  [ -d "$LAB/snapshots/$1" ] || die "there is no snapshot '$1'" "ctl.sh snapshot $1"
  lock lab
  for ((number = ${#HOLDERS[@]} - 1; number >= 0; number--)); do
    stop "${HOLDERS[number]}"
  done
  rm -rf "$LAB/etcd"
  cp -a "$LAB/snapshots/$1" "$LAB/etcd"
  for component in "${HOLDERS[@]}"; do
    start_and_await "$component"
  done
}

main "$@"
