//! Everything that is asked of and done to a machine to keep it safe, as one trait for a caller's bound.

use super::{Agent, BackupJobs, BlockJobs, Checkpoints, Guest, Hypervisor, Snapshots, Volumes};

/// A host whose machines can be backed up and given snapshots.
///
/// One who needs less asks for less: each part is a trait of its own.
pub trait Protection:
    Hypervisor + Guest + Agent + BackupJobs + Checkpoints + Snapshots + BlockJobs + Volumes
{
}

impl<T> Protection for T where
    T: Hypervisor + Guest + Agent + BackupJobs + Checkpoints + Snapshots + BlockJobs + Volumes
{
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt as _,
        path::Path,
        time::Duration,
    };

    use disk::{Progress, Unheard};
    use tempfile::TempDir;
    use vm::Uuid;

    use super::*;
    use crate::libvirt::{
        Commit, Definition, Detail, Extent, JobKind, Keeps, Libvirt, LibvirtError, LibvirtKind,
        Scope, VolumePlace, Wake,
    };

    /// Plays virsh: notes its words and what it reads, and answers as virsh 9.0 does. The folder stands
    /// for the state of a block job: it goes on until somebody aborts it.
    const VIRSH: &str = r#"#!/bin/sh
[ "$1 $2 $3" = "--connect test:///x --quiet" ] || exit 9
shift 3
cd "${0%/*}"
words=$*
read_all() { while [ $# -gt 0 ]; do
  case $1 in /dev/stdin | /proc/*) words="$words <$(cat "$1")>" ;; esac; shift; done; }
read_all "$@"
echo "$words" | sed 's:/proc/[0-9]*/fd/[0-9]*:PAPER:' >>said
fail() { echo "error: $1" >&2; exit 1; }
case "$1 $2" in
  "domjobinfo --rawstats") printf 'Job type: 2\n\noperation: 9\ntime_elapsed: 1\n' ;;
  "pool-dumpxml --pool") echo "<pool type='logical'><name>vg</name></pool>" ;;
  "vol-path --pool") echo /dev/vg/root ;;
  domjobabort*) fail "Requested operation is not valid: no job is active on the domain" ;;
  backup-dumpxml*) fail "Domain backup job id not found: no domain backup job present" ;;
  checkpoint-list*) printf 'c1\nc2\n' ;;
  snapshot-list*) printf 's1\ns 2\n' ;;
  snapshot-current*) printf 's 2' ;;
  snapshot-dumpxml*) echo "<$5>" ;;
  "domstate --reason") echo "paused (I/O error)" ;;
  qemu-agent-command*) echo '{"return":2}' ;;
  "blockjob --raw") printf ' cur=%s\n end=9\n' "$(grep -c raw said)" ;;
  "blockjob --abort") echo >ended ;;
  "blockcommit --wait") while [ ! -e ended ]; do :; done; exit 1 ;;
esac
"#;

    struct Played {
        folder: TempDir,
        host: Libvirt,
        machine: Uuid,
    }

    impl Played {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let script = folder.path().join("virsh");
            fs::write(&script, VIRSH).unwrap();
            fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
            let host = Libvirt::played_by(script.to_str().unwrap());
            Self { folder, host, machine: Uuid::from_digest(&[7; 32]) }
        }

        /// What virsh was told, without the machine.
        fn said(&self) -> Vec<String> {
            let said = fs::read_to_string(self.folder.path().join("said")).unwrap();
            fs::remove_file(self.folder.path().join("said")).unwrap();
            let machine = format!(" --domain {}", self.machine);
            said.lines().map(|line| line.replace(&machine, "")).collect()
        }
    }

    #[test]
    fn a_backup_is_ordered_with_both_documents() {
        let played = Played::new();
        let (host, machine) = (&played.host, played.machine);
        host.begin_backup(machine, "B", Some("C")).unwrap();
        host.begin_backup(machine, "B", None).unwrap();
        assert_eq!(host.job(machine).unwrap().kind, JobKind::Backup);
        assert_eq!(host.running_backup(machine).unwrap(), None);
        host.abort_job(machine).unwrap();
        let want = [
            "backup-begin --backupxml /dev/stdin --checkpointxml PAPER <B> <C>",
            "backup-begin --backupxml /dev/stdin <B>",
            "domjobinfo --rawstats",
            "backup-dumpxml",
            "domjobabort",
        ];
        assert_eq!(played.said(), want);
    }

    #[test]
    fn the_agent_is_asked_with_its_time_out() {
        let played = Played::new();
        let (host, machine) = (&played.host, played.machine);
        let limit = Duration::from_millis(7900);
        assert_eq!(host.freeze(machine, limit).unwrap(), 2);
        assert_eq!(host.thaw(machine, Duration::ZERO).unwrap(), 2);
        let wrong = host.frozen(machine, limit).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "test:///x cannot ask the agent whether file systems are frozen: its answer is \
             \"{\\\"return\\\":2}\\n\""
        );
        let ask = |seconds, command| {
            format!("qemu-agent-command --timeout {seconds} --cmd {{\"execute\":\"{command}\"}}")
        };
        let want = [
            ask(7, "guest-fsfreeze-freeze"),
            ask(1, "guest-fsfreeze-thaw"),
            ask(7, "guest-fsfreeze-status"),
        ];
        assert_eq!(played.said(), want);
    }

    #[test]
    fn checkpoints_are_listed_shown_and_deleted_as_asked() {
        let played = Played::new();
        let (host, machine) = (&played.host, played.machine);
        assert_eq!(host.checkpoints(machine).unwrap(), ["c1", "c2"]);
        host.checkpoint_xml(machine, "c1", Detail::Definition).unwrap();
        host.checkpoint_xml(machine, "c1", Detail::Size).unwrap();
        host.delete_checkpoint(machine, "c1", Scope::One, Extent::Whole).unwrap();
        host.delete_checkpoint(machine, "c1", Scope::WithChildren, Extent::Metadata).unwrap();
        host.redefine_checkpoint(machine, "C").unwrap();
        let want = [
            "checkpoint-list --name --topological",
            "checkpoint-dumpxml --no-domain --checkpointname c1",
            "checkpoint-dumpxml --no-domain --size --checkpointname c1",
            "checkpoint-delete --checkpointname c1",
            "checkpoint-delete --children --metadata --checkpointname c1",
            "checkpoint-create --redefine --xmlfile /dev/stdin <C>",
        ];
        assert_eq!(played.said(), want);
    }

    #[test]
    fn snapshots_are_told_apart_by_their_names_to_the_last_blank() {
        let played = Played::new();
        let found = played.host.snapshots(played.machine).unwrap();
        let found: Vec<_> = found.iter().map(|it| (it.name.as_str(), it.is_current)).collect();
        assert_eq!(found, [("s1", false), ("s 2", true)]);
        let want = [
            "snapshot-list --name --topological",
            "snapshot-current --name",
            "snapshot-dumpxml --snapshotname s1",
            "snapshot-dumpxml --snapshotname s 2",
        ];
        assert_eq!(played.said(), want);
    }

    #[test]
    fn snapshots_are_taken_deleted_and_gone_back_to_as_asked() {
        let played = Played::new();
        let (host, machine) = (&played.host, played.machine);
        for keeps in [Keeps::Disks, Keeps::DisksUntold, Keeps::Memory, Keeps::Internal] {
            host.create_snapshot(machine, "S", keeps).unwrap();
        }
        host.define_current_snapshot(machine, "S").unwrap();
        host.delete_snapshot(machine, "s1", Scope::One, Extent::Metadata).unwrap();
        host.revert(machine, "s1").unwrap();
        let memory = Path::new("/m");
        host.restore_memory(memory, "D", Wake::Paused).unwrap();
        host.memory_definition(memory).unwrap();
        let want = [
            "snapshot-create --disk-only --atomic --xmlfile /dev/stdin <S>",
            "snapshot-create --disk-only --atomic --no-metadata --xmlfile /dev/stdin <S>",
            "snapshot-create --live --atomic --xmlfile /dev/stdin <S>",
            "snapshot-create --atomic --xmlfile /dev/stdin <S>",
            "snapshot-create --redefine --current --xmlfile /dev/stdin <S>",
            "snapshot-delete --metadata --snapshotname s1",
            "snapshot-revert --snapshotname s1",
            "restore --paused --file /m --xml /dev/stdin <D>",
            "save-image-dumpxml --file /m",
        ];
        assert_eq!(played.said(), want);
    }

    #[test]
    fn a_machine_is_asked_and_moved_as_asked() {
        let played = Played::new();
        let (host, machine) = (&played.host, played.machine);
        assert!(matches!(
            host.power(machine),
            Ok(crate::libvirt::Power::Paused { by_error: true })
        ));
        host.definition(machine, Definition::Inactive).unwrap();
        host.definition(machine, Definition::Live).unwrap();
        host.resume(machine).unwrap();
        host.start_paused(machine).unwrap();
        host.shut_down(machine).unwrap();
        host.block_info(machine, "vda").unwrap_err();
        host.block_errors(machine).unwrap();
        let want = [
            "domstate --reason",
            "dumpxml --inactive",
            "dumpxml",
            "resume",
            "start --paused",
            "shutdown",
            "domblkinfo --device vda",
            "domblkerror",
        ];
        assert_eq!(played.said(), want);
    }

    #[test]
    fn a_volume_is_looked_for_in_its_pool() {
        let played = Played::new();
        let place = played.host.volume_place("vg", "root").unwrap();
        let want = VolumePlace { path: "/dev/vg/root".into(), pool_kind: "logical".into() };
        assert_eq!(place, want);
        let want = ["pool-dumpxml --pool vg", "vol-path --pool vg --vol root"];
        assert_eq!(played.said(), want);
    }

    /// Says stop once it has heard of progress.
    #[derive(Default)]
    struct Impatient(std::sync::atomic::AtomicU64);

    impl Progress for Impatient {
        fn advance(&self, done_bytes: u64) {
            self.0.fetch_add(done_bytes, std::sync::atomic::Ordering::Relaxed);
        }

        fn stopped(&self) -> bool {
            self.0.load(std::sync::atomic::Ordering::Relaxed) > 0
        }
    }

    fn commit(played: &Played, commit: &Commit<'_>, progress: &dyn Progress) -> LibvirtError {
        played.host.commit_disk(played.machine, commit, progress).unwrap_err()
    }

    #[test]
    fn merging_is_watched_and_ended_when_somebody_says_stop_or_the_time_is_over() {
        let endless = Commit {
            target: "vda",
            base: Some("/base"),
            top: Some("/top"),
            limit: Duration::from_secs(600),
        };
        let played = Played::new();
        let stopped = commit(&played, &endless, &Impatient::default());
        assert_eq!(stopped.kind(), LibvirtKind::Stopped);
        assert_eq!(
            stopped.to_string(),
            "test:///x did not merge the images of the disk vda and was stopped"
        );
        let mut said = played.said();
        said.sort();
        assert_eq!(said.first().unwrap(), "blockcommit --wait --path vda --base /base --top /top");
        assert!(said.contains(&"blockjob --abort --path vda".to_owned()), "{said:?}");
        let late = commit(&Played::new(), &Commit { limit: Duration::ZERO, ..endless }, &Unheard);
        assert_eq!(late.kind(), LibvirtKind::Late);
        let active = Commit { base: None, top: None, ..endless };
        let played = Played::new();
        played.host.commit_disk(played.machine, &active, &Unheard).unwrap();
        assert_eq!(played.said(), ["blockcommit --active --pivot --wait --path vda"]);
    }
}
