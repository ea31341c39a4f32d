#!/bin/sh
# Plays virsh before a host that lies in files beside this script, so that it is the same everywhere:
#   machines/UUID.xml  active/UUID  snapshots/UUID/NAME.xml   what is defined, runs, hangs on a machine
#   checkpoints/UUID/NAME.xml                                 what it knows of moments since which it counts
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
mkdir -p machines active snapshots images

uuids() { for file in "$1"/*; do [ -e "$file" ] && basename "$file" .xml; done; true; }
tag() { sed -n "s:.*<$1>\([^<]*\)</$1>.*:\1:p" | head -n 1; }
value() { # the word behind an option
  option=$1
  shift
  while [ $# -gt 0 ]; do [ "$1" = "$option" ] && echo "$2" && return; shift; done
}
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
  echo "$xml" >"snapshots/$uuid/$(echo "$xml" | tag name).xml"
}

act_undefine() {
  uuid=$(value --domain "$@")
  is_there "$uuid"
  rm -rf "machines/$uuid.xml" "active/$uuid" "snapshots/$uuid"
}

act_snapshot_delete() { rm "snapshots/$(value --domain "$@")/$(value --snapshotname "$@").xml"; }
act_checkpoint_delete() { rm "checkpoints/$(value --domain "$@")/$(value --checkpointname "$@").xml"; }

act_checkpoint_create() {
  uuid=$(value --domain "$@")
  is_there "$uuid"
  mkdir -p "checkpoints/$uuid"
  xml=$(cat)
  echo "$xml" >"checkpoints/$uuid/$(echo "$xml" | tag name).xml"
}

act_start() {
  uuid=$(value --domain "$@")
  is_there "$uuid"
  : >"active/$uuid"
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
  domstate) if [ -e "active/$(value --domain "$@")" ]; then echo running; else echo "shut off (unknown)"; fi ;;
  domjobinfo) echo "Job type: 0" ;;
  qemu-agent-command) fail "Guest agent is not responding: QEMU guest agent is not connected" ;;
  snapshot-list) uuids "snapshots/$(value --domain "$@")" ;;
  snapshot-current) fail "domain '$(value --domain "$@")' has no current snapshot" ;;
  snapshot-dumpxml) cat "snapshots/$(value --domain "$@")/$(value --snapshotname "$@").xml" ;;
  checkpoint-list) uuids "checkpoints/$(value --domain "$@")" ;;
  checkpoint-dumpxml) cat "checkpoints/$(value --domain "$@")/$(value --checkpointname "$@").xml" ;;
  define | snapshot-create | snapshot-delete | checkpoint-create | checkpoint-delete | undefine | \
    start | pool-refresh) act "$@" ;;
  *) fail "unknown command: '$verb'" ;;
esac
