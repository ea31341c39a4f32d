#!/bin/sh
# Plays virsh before a host that lies in files beside this script, so that it is the same everywhere:
#   machines/UUID.xml  active/UUID  snapshots/UUID/NAME.xml   what is defined, has a process (and its state), hangs on it
#   checkpoints/UUID.NUMBER.NAME.xml   backups/UUID.xml, UUID.pid   checkpoints, the backup that runs and its server
#   images/                                                   the folder of the pool "images"
#   said                                                      every act, a line each
#   refuse                                                    VERB WORDS: the act that fails, and why
#   kill                                                      before|after VERB N: when the caller dies
#   linger                                                    VERB: the act that waits for a line in "go on", once
set -eu
here=$(dirname "$0")
cd "$here"

fail() { echo "error: $1" >&2; exit 1; }
[ "$1" = --version ] && echo 9.0.0 && exit
[ "$1 $2 $3" = "--connect qemu:///system --quiet" ] || fail "failed to connect to the hypervisor"
shift 3
verb=$1
shift
mkdir -p machines active snapshots images checkpoints backups

uuids() { for file in "$1"/*; do [ -e "$file" ] && basename "$file" .xml; done; true; }
tag() { sed -n "s:.*<$1>\([^<]*\)</$1>.*:\1:p" | head -n 1; }
value() { # the word behind an option
  option=$1
  shift
  while [ $# -gt 0 ]; do [ "$1" = "$option" ] && echo "$2" && return; shift; done
}
source_of() { # the image of the one disk
  sed -n "s:.*<source file='\([^']*\)'.*:\1:p" "machines/$1.xml" | head -n 1
}
go_on_in() { sed -i "s:<source file='[^']*':<source file='$2':" "machines/$1.xml"; }
is_there() { [ -e "machines/$1.xml" ] || fail "failed to get domain '$1'"; }

# The acts, which tests disturb.
act() {
  count=$(grep -c "^$verb " said 2>/dev/null || true)
  lingers=no
  if [ -e linger ] && [ "$(cat linger)" = "$verb" ]; then
    rm linger
    mkfifo "go on"
    lingers=yes
  fi
  echo "$verb $*" >>said
  if [ -e refuse ] && read -r which words <refuse && [ "$which" = "$verb" ]; then fail "$words"; fi
  if [ $lingers = yes ]; then read -r _ <"go on"; fi
  when=none
  if [ -e kill ]; then read -r when which number <kill; fi
  if [ "$when" != none ] && [ "$which $number" = "$verb $count" ]; then :; else when=none; fi
  if [ "$when" = before ]; then kill -KILL "$PPID"; exit 1; fi
  "act_$(echo "$verb" | tr - _)" "$@"
  if [ "$when" = after ]; then kill -KILL "$PPID"; fi
}

act_define() {
  xml=$(cat)
  uuid=$(echo "$xml" | tag uuid)
  name=$(echo "$xml" | tag name)
  for file in machines/*.xml; do
    [ -e "$file" ] && [ "$(tag name <"$file")" = "$name" ] && [ "$file" != "machines/$uuid.xml" ] &&
      fail "operation failed: domain '$name' already exists with uuid $(basename "$file" .xml)"
  done
  echo "$xml" >"machines/$uuid.xml"
}

act_snapshot_create() {
  uuid=$(value --domain "$@")
  is_there "$uuid"
  mkdir -p "snapshots/$uuid"
  xml=$(cat)
  file="snapshots/$uuid/$(echo "$xml" | tag name).xml"
  case $* in *--redefine*) echo "$xml" >"$file" && return ;; esac
  image=$(source_of "$uuid")
  overlay=$(echo "$xml" | sed -n 's:.*<source file="\([^"]*\)".*:\1:p')
  memory=$(echo "$xml" | sed -n 's:.*<memory snapshot="external" file="\([^"]*\)".*:\1:p')
  if [ -n "$memory" ]; then echo "memory of $uuid" >"$memory"; fi
  qemu-img create -q -f qcow2 -F qcow2 -b "$image" "$overlay"
  for it in "checkpoints/$uuid".*; do # what is written goes on being counted
    [ ! -e "$it" ] || qemu-img bitmap --add "$overlay" "$(basename "$it" .xml | cut -d . -f 3)"
  done
  {
    echo "$xml" | sed 's:</domainsnapshot>::'
    echo "<state>disk-snapshot</state><creationTime>1795287900</creationTime>"
    cat "machines/$uuid.xml"
    echo "</domainsnapshot>"
  } >"$file"
  go_on_in "$uuid" "$overlay"
}

act_blockcommit() {
  uuid=$(value --domain "$@")
  base=$(value --base "$@")
  qemu-img commit -q -b "$base" "$(source_of "$uuid")"
  go_on_in "$uuid" "$base"
}

act_undefine() {
  uuid=$(value --domain "$@")
  is_there "$uuid"
  rm -rf "machines/$uuid.xml" "active/$uuid" "snapshots/$uuid"
}

act_snapshot_delete() { rm "snapshots/$(value --domain "$@")/$(value --snapshotname "$@").xml"; }

act_checkpoint_create() {
  uuid=$(value --domain "$@")
  is_there "$uuid"
  xml=$(cat)
  keep_checkpoint "$uuid" "$xml"
  case $* in *--redefine*) return ;; esac
  qemu-img bitmap --add "$(source_of "$uuid")" "$(echo "$xml" | tag name)"
}

keep_checkpoint() {
  number=$(printf %03d "$(find checkpoints -name "$1.*" | wc -l)")
  echo "$2" >"checkpoints/$1.$number.$(echo "$2" | tag name).xml"
}

act_start() {
  uuid=$(value --domain "$@")
  is_there "$uuid"
  case $* in *--paused*) echo "paused (starting up)" ;; *) echo running ;; esac >"active/$uuid"
}

act_destroy() { rm "active/$(value --domain "$@")"; }

# The image of the one disk, as it is now, with what was written to it since the last checkpoint.
act_backup_begin() {
  uuid=$(value --domain "$@")
  is_there "$uuid"
  xml=$(cat)
  [ ! -e "backups/$uuid.xml" ] || fail "timed out during operation: another job is active"
  image=$(source_of "$uuid")
  socket=$(echo "$xml" | sed -n 's:.* socket="\([^"]*\)".*:\1:p')
  echo "$xml" >"backups/$uuid.xml"
  cp "$image" "backups/$uuid.qcow2"
  bitmap=
  since=$(echo "$xml" | sed -n 's:.* incremental="\([^"]*\)".*:\1:p')
  if [ -n "$since" ]; then
    qemu-img bitmap --add "backups/$uuid.qcow2" backup-vda
    qemu-img bitmap --merge "$since" "backups/$uuid.qcow2" backup-vda
    bitmap="-B backup-vda"
  fi
  # shellcheck disable=SC2086
  qemu-nbd --fork -r -t -e 8 -f qcow2 -k "$socket" -x vda $bitmap --pid-file "$PWD/backups/$uuid.pid" \
    "backups/$uuid.qcow2" >/dev/null 2>&1 || fail "qemu-nbd does not serve"
  new=$(value --checkpointxml "$@")
  [ -n "$new" ] || return 0
  xml=$(cat "$new")
  # Each goes on counting, so that nothing has to be merged when the one behind it goes.
  qemu-img bitmap --add "$image" "$(echo "$xml" | tag name)"
  keep_checkpoint "$uuid" "$xml"
}

act_domjobabort() {
  uuid=$(value --domain "$@")
  [ -e "backups/$uuid.xml" ] || fail "internal error: no job is active on the domain"
  if [ -e "backups/$uuid.pid" ]; then kill "$(cat "backups/$uuid.pid")" 2>/dev/null || true; fi
  rm -f "backups/$uuid".*
}

act_checkpoint_delete() {
  file=$(checkpoint "$(value --domain "$@")" "$(value --checkpointname "$@")")
  rm "$file"
  case $* in *--metadata*) return 0 ;; esac
  qemu-img bitmap --remove "$(source_of "$(value --domain "$@")")" "$(value --checkpointname "$@")"
}

checkpoint() {
  for file in "checkpoints/$1".*."$2.xml"; do [ -e "$file" ] && echo "$file" && return; done
  fail "Domain checkpoint not found: no domain checkpoint with matching name '$2'"
}

act_pool_refresh() { [ "$(value --pool "$@")" = images ] || fail "Storage pool not found"; }

case $verb in
  uri) echo qemu:///system ;;
  version) printf 'Running hypervisor: QEMU 7.2.22\nRunning against daemon: 9.0.0\n' ;;
  domcapabilities) cat <<END
<domainCapabilities><domain>qemu</domain><os supported='yes'>
<enum name='firmware'><value>efi</value></enum></os></domainCapabilities>
END
  ;;
  blockjob) ;;
  pool-list) echo 5b1c0000-0000-4000-8000-000000000001 ;;
  pool-dumpxml) cat <<END
<pool type='dir'><name>images</name><capacity unit='bytes'>2147483648</capacity>
<available unit='bytes'>1073741824</available><target><path>$PWD/images</path></target></pool>
END
  ;;
  net-list) echo 5b1c0000-0000-4000-8000-000000000002 ;;
  net-dumpxml)
    echo "<network><name>default</name><forward mode='nat'/><bridge name='virbr0'/></network>"
    ;;
  list)
    case $* in
      *--with-managed-save*) ;;
      --all*) uuids machines ;;
      *) uuids active ;;
    esac
    ;;
  dumpxml)
    uuid=$(value --domain "$@")
    is_there "$uuid"
    cat "machines/$uuid.xml"
    ;;
  domstate)
    file="active/$(value --domain "$@")"
    if [ ! -e "$file" ]; then echo "shut off (unknown)"; elif [ -s "$file" ]; then cat "$file"; else echo running; fi
    ;;
  domjobinfo)
    if [ -e lost ]; then fail "internal error: backup job data missing"; fi
    if [ -e "backups/$(value --domain "$@").xml" ]; then printf 'Job type: 2\noperation: 9\n'; else echo "Job type: 0"; fi
    ;;
  qemu-agent-command) fail "Guest agent is not responding: QEMU guest agent is not connected" ;;
  domblkinfo)
    image=$(source_of "$(value --domain "$@")")
    bytes=$(qemu-img info -U --output=json "$image" | sed -n 's/^    "virtual-size": \([0-9]*\),$/\1/p')
    printf 'Capacity:       %s\nAllocation:     %s\nPhysical:       %s\n' "$bytes" "$bytes" "$bytes"
    ;;
  backup-dumpxml)
    file=backups/$(value --domain "$@").xml
    [ -e "$file" ] || fail "Domain backup job id not found: no domain backup job present"
    cat "$file"
    ;;
  checkpoint-list)
    for file in "checkpoints/$(value --domain "$@")".*; do
      [ -e "$file" ] && basename "$file" .xml | cut -d . -f 3
    done
    true
    ;;
  checkpoint-dumpxml)
    file=$(checkpoint "$(value --domain "$@")" "$(value --checkpointname "$@")")
    cat "$file"
    ;;
  snapshot-list) uuids "snapshots/$(value --domain "$@")" ;;
  snapshot-current) fail "domain '$(value --domain "$@")' has no current snapshot" ;;
  snapshot-dumpxml) cat "snapshots/$(value --domain "$@")/$(value --snapshotname "$@").xml" ;;
  define | snapshot-create | snapshot-delete | blockcommit | checkpoint-create | checkpoint-delete | undefine | \
    start | destroy | pool-refresh | backup-begin | domjobabort) act "$@" ;;
  *) fail "unknown command: '$verb'" ;;
esac
