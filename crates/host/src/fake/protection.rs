//! What backups and snapshots need, on a machine of memory. Questions are answered, acts are recorded.

use std::{path::Path, time::Duration};

use disk::Progress;
use vm::Uuid;

use super::Fake;
use crate::libvirt::{
    Agent, BackupJobs, BlockError, BlockInfo, BlockJob, BlockJobs, Checkpoints, Commit, Definition,
    Detail, Extent, Guest, Job, JobKind, Keeps, KnownSnapshot, LibvirtError, LibvirtKind, Power,
    Scope, Snapshots, VolumePlace, Volumes, Wake,
};

/// What the text of the first `<name>` of a document is.
fn name(xml: &str) -> &str {
    let behind = xml.split_once("<name>").and_then(|(_, rest)| rest.split_once("</name>"));
    behind.map_or("", |(name, _)| name)
}

/// There is nothing of that name.
fn missing(what: &str) -> LibvirtError {
    LibvirtError::refused_by_test(&format!("have {what}"), LibvirtKind::NotFound)
}

impl Volumes for Fake {
    fn volume_place(&self, _pool: &str, volume: &str) -> Result<VolumePlace, LibvirtError> {
        self.guest.borrow().volumes.get(volume).cloned().ok_or_else(|| missing(volume))
    }
}

impl Guest for Fake {
    fn power(&self, _machine: Uuid) -> Result<Power, LibvirtError> {
        Ok(self.guest.borrow().power.clone())
    }

    fn definition(&self, _machine: Uuid, _which: Definition) -> Result<String, LibvirtError> {
        Ok(self.guest.borrow().definition.clone())
    }

    fn has_saved_memory(&self, _machine: Uuid) -> Result<bool, LibvirtError> {
        Ok(self.guest.borrow().has_saved_memory)
    }

    fn resume(&self, machine: Uuid) -> Result<(), LibvirtError> {
        self.order(format!("resume {machine}"))?;
        self.guest.borrow_mut().power = Power::Running;
        Ok(())
    }

    fn start_paused(&self, machine: Uuid) -> Result<(), LibvirtError> {
        self.order(format!("start paused {machine}"))?;
        self.guest.borrow_mut().power = Power::Paused { by_error: false };
        Ok(())
    }

    fn shut_down(&self, machine: Uuid) -> Result<(), LibvirtError> {
        self.order(format!("shut down {machine}"))?;
        self.guest.borrow_mut().power = Power::Off;
        Ok(())
    }

    fn block_info(&self, _machine: Uuid, target: &str) -> Result<BlockInfo, LibvirtError> {
        self.guest.borrow().disks.get(target).copied().ok_or_else(|| missing(target))
    }

    fn block_errors(&self, _machine: Uuid) -> Result<Vec<BlockError>, LibvirtError> {
        Ok(self.guest.borrow().block_errors.clone())
    }
}

impl Agent for Fake {
    fn agent_answers(&self, _machine: Uuid, _limit: Duration) -> Result<bool, LibvirtError> {
        Ok(self.guest.borrow().answers())
    }

    fn freeze(&self, _machine: Uuid, _limit: Duration) -> Result<u64, LibvirtError> {
        self.order("freeze".into())?;
        self.guest.borrow_mut().set_frozen(true)
    }

    fn thaw(&self, _machine: Uuid, _limit: Duration) -> Result<u64, LibvirtError> {
        self.order("thaw".into())?;
        self.guest.borrow_mut().set_frozen(false)
    }

    fn frozen(&self, _machine: Uuid, _limit: Duration) -> Result<Option<bool>, LibvirtError> {
        let guest = self.guest.borrow();
        Ok(guest.answers().then_some(guest.is_frozen))
    }
}

impl BackupJobs for Fake {
    fn begin_backup(
        &self,
        _machine: Uuid,
        backup: &str,
        checkpoint: Option<&str>,
    ) -> Result<(), LibvirtError> {
        let with = checkpoint.map_or_else(String::new, |xml| format!(" with {}", name(xml)));
        self.order(format!("begin backup{with}"))?;
        let mut guest = self.guest.borrow_mut();
        if guest.backup.is_some() {
            return Err(LibvirtError::refused_by_test("begin a second job", LibvirtKind::Busy));
        }
        if guest.counts_from_nothing(backup) {
            let kind = LibvirtKind::BadCheckpoint;
            return Err(LibvirtError::refused_by_test("find the bitmap", kind));
        }
        guest.job = Job { kind: JobKind::Backup, ..guest.job };
        guest.backup = Some(backup.to_owned());
        let made = checkpoint.map(|xml| (name(xml).to_owned(), xml.to_owned()));
        guest.checkpoints.extend(made);
        Ok(())
    }

    fn job(&self, _machine: Uuid) -> Result<Job, LibvirtError> {
        let mut guest = self.guest.borrow_mut();
        let kind = match guest.first_looks.pop() {
            Some(Some(kind)) => kind,
            Some(None) => {
                return Err(LibvirtError::refused_by_test("know the job", LibvirtKind::JobLost));
            }
            None if guest.backup.is_some() => JobKind::Backup,
            None => guest.job.kind,
        };
        Ok(Job { kind, ..guest.job.clone() })
    }

    fn running_backup(&self, _machine: Uuid) -> Result<Option<String>, LibvirtError> {
        Ok(self.guest.borrow().backup.clone())
    }

    fn abort_job(&self, _machine: Uuid) -> Result<(), LibvirtError> {
        self.order("abort job".into())?;
        let mut guest = self.guest.borrow_mut();
        (guest.job, guest.backup) = (Job::default(), None);
        Ok(())
    }
}

impl Checkpoints for Fake {
    fn checkpoints(&self, _machine: Uuid) -> Result<Vec<String>, LibvirtError> {
        Ok(self.guest.borrow().checkpoints.iter().map(|(name, _)| name.clone()).collect())
    }

    fn checkpoint_xml(
        &self,
        _machine: Uuid,
        name: &str,
        _detail: Detail,
    ) -> Result<String, LibvirtError> {
        let guest = self.guest.borrow();
        let found = guest.checkpoints.iter().find(|(have, _)| have == name);
        found.map(|(_, xml)| xml.clone()).ok_or_else(|| missing(name))
    }

    fn create_checkpoint(&self, _machine: Uuid, xml: &str) -> Result<(), LibvirtError> {
        self.order(format!("create checkpoint {}", name(xml)))?;
        let made = (name(xml).to_owned(), xml.to_owned());
        self.guest.borrow_mut().checkpoints.push(made);
        Ok(())
    }

    fn delete_checkpoint(
        &self,
        _machine: Uuid,
        name: &str,
        scope: Scope,
        extent: Extent,
    ) -> Result<(), LibvirtError> {
        self.order(format!("delete checkpoint {name}{}", how(scope, extent)))?;
        let mut guest = self.guest.borrow_mut();
        let at = guest.checkpoints.iter().position(|(have, _)| have == name);
        let at = at.ok_or_else(|| missing(name))?;
        match scope {
            Scope::One => drop(guest.checkpoints.remove(at)),
            // libvirt's checkpoints are one row.
            Scope::WithChildren => guest.checkpoints.truncate(at),
        }
        Ok(())
    }

    fn redefine_checkpoint(&self, _machine: Uuid, xml: &str) -> Result<(), LibvirtError> {
        self.order(format!("redefine checkpoint {}", name(xml)))?;
        let known = (name(xml).to_owned(), xml.to_owned());
        self.guest.borrow_mut().checkpoints.push(known);
        Ok(())
    }
}

impl Snapshots for Fake {
    fn snapshots(&self, _machine: Uuid) -> Result<Vec<KnownSnapshot>, LibvirtError> {
        Ok(self.guest.borrow().snapshots.clone())
    }

    fn create_snapshot(&self, _machine: Uuid, xml: &str, keeps: Keeps) -> Result<(), LibvirtError> {
        self.order(format!("create snapshot {} of {keeps:?}", name(xml)))?;
        let kept = self.begin_overlays(xml, keeps);
        if keeps != Keeps::DisksUntold {
            self.tell_of(&kept);
        }
        Ok(())
    }

    fn define_current_snapshot(&self, _machine: Uuid, xml: &str) -> Result<(), LibvirtError> {
        self.order(format!("current snapshot {}", name(xml)))?;
        self.tell_of(xml);
        Ok(())
    }

    fn delete_snapshot(
        &self,
        _machine: Uuid,
        name: &str,
        scope: Scope,
        extent: Extent,
    ) -> Result<(), LibvirtError> {
        self.order(format!("delete snapshot {name}{}", how(scope, extent)))?;
        let mut guest = self.guest.borrow_mut();
        let at = guest.snapshots.iter().position(|have| have.name == name);
        let at = at.ok_or_else(|| missing(name))?;
        guest.snapshots.remove(at);
        Ok(())
    }

    fn revert(&self, _machine: Uuid, name: &str) -> Result<(), LibvirtError> {
        self.order(format!("revert to {name}"))
    }

    fn memory_definition(&self, _memory: &Path) -> Result<String, LibvirtError> {
        Ok(self.guest.borrow().memory_definition.clone())
    }

    fn restore_memory(&self, memory: &Path, _xml: &str, wake: Wake) -> Result<(), LibvirtError> {
        let file = memory.file_name().unwrap_or_default().to_string_lossy();
        self.order(format!("restore memory {file}"))?;
        self.guest.borrow_mut().power = match wake {
            Wake::Running => Power::Running,
            Wake::Paused => Power::Paused { by_error: false },
        };
        Ok(())
    }
}

impl BlockJobs for Fake {
    fn commit_disk(
        &self,
        _machine: Uuid,
        commit: &Commit<'_>,
        _progress: &dyn Progress,
    ) -> Result<(), LibvirtError> {
        let part = |word, file: Option<&str>| {
            file.map_or_else(String::new, |file| format!(" {word} {file}"))
        };
        let images = format!("{}{}", part("from", commit.top), part("into", commit.base));
        self.order(format!("commit {}{images}", commit.target))?;
        if let (None, Some(base)) = (commit.top, commit.base) {
            self.go_on_in(commit.target, base);
        }
        Ok(())
    }

    fn block_job(&self, _machine: Uuid, _target: &str) -> Result<Option<BlockJob>, LibvirtError> {
        Ok(None)
    }

    fn abort_block_job(&self, _machine: Uuid, target: &str) -> Result<(), LibvirtError> {
        self.order(format!("abort block job {target}"))
    }
}

impl Fake {
    /// The snapshot of a document, which is the current one from now on.
    fn tell_of(&self, xml: &str) {
        let snapshots = &mut self.guest.borrow_mut().snapshots;
        snapshots.iter_mut().for_each(|other| other.is_current = false);
        snapshots.retain(|other| other.name != name(xml));
        let (name, xml) = (name(xml).to_owned(), xml.to_owned());
        snapshots.push(KnownSnapshot { name, is_current: true, xml });
    }
}

fn how(scope: Scope, extent: Extent) -> &'static str {
    match (scope, extent) {
        (Scope::One, Extent::Whole) => "",
        (Scope::One, Extent::Metadata) => ", metadata",
        (Scope::WithChildren, Extent::Whole) => " and children",
        (Scope::WithChildren, Extent::Metadata) => " and children, metadata",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fake::FakeGuest, libvirt::Protection};

    const LIMIT: Duration = Duration::from_secs(5);

    fn backed_up(host: &dyn Protection, machine: Uuid) -> Result<(), LibvirtError> {
        host.freeze(machine, LIMIT)?;
        let begun = host.begin_backup(machine, "<b/>", Some("<c><name>c1</name></c>"));
        host.thaw(machine, LIMIT)?;
        begun?;
        host.abort_job(machine)
    }

    #[test]
    fn acts_change_the_machine_and_the_wanted_one_fails_in_the_wanted_way() {
        let machine = Uuid::from_digest(&[7; 32]);
        let fake = Fake::new(None);
        backed_up(&fake, machine).unwrap();
        assert_eq!(fake.acts(), ["freeze", "begin backup with c1", "thaw", "abort job"]);
        assert_eq!(fake.checkpoints(machine).unwrap(), ["c1"]);
        assert_eq!(fake.guest().job, Job::default());
        let fake = Fake::new(Some(1)).failing_as(LibvirtKind::BadCheckpoint);
        let error = backed_up(&fake, machine).unwrap_err();
        assert_eq!(error.kind(), LibvirtKind::BadCheckpoint);
        assert!(!fake.guest().is_frozen && fake.guest().checkpoints.is_empty());
    }

    #[test]
    fn a_machine_that_stands_still_has_no_agent_that_answers() {
        let machine = Uuid::from_digest(&[7; 32]);
        let power = Power::Paused { by_error: true };
        let fake = Fake::new(None).with_guest(FakeGuest { power, ..FakeGuest::default() });
        assert_eq!(fake.frozen(machine, LIMIT).unwrap(), None);
        assert_eq!(fake.freeze(machine, LIMIT).unwrap_err().kind(), LibvirtKind::NoAgent);
        fake.resume(machine).unwrap();
        assert_eq!(fake.freeze(machine, LIMIT).unwrap(), 2);
        assert_eq!(fake.frozen(machine, LIMIT).unwrap(), Some(true));
    }
}
