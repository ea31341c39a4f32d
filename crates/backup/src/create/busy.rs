//! What libvirt does for a machine already, awaited before its guest is frozen: an act that finds another job
//! waits half a minute for its end (`QEMU_JOB_WAIT_TIME`), and a guest must not be frozen for that long.

use std::{
    thread,
    time::{Duration, Instant},
};

use disk::Progress;
use host::libvirt::{JobKind, LibvirtKind, Protection};
use vm::Uuid;

use crate::{Error, Kind, Result};

/// How long another job may take to end: as long as libvirt itself waits for it.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a job may look lost (ours): one that begins does, until libvirt has made its scratch files.
const LOST_LIMIT: Duration = Duration::from_secs(3);

/// How often it is looked at (ours).
const LOOK: Duration = Duration::from_millis(100);

/// Waits until libvirt has no job of a machine.
///
/// # Errors
/// `E0602` when one does not end in time, `E0510` when libvirt has lost it; somebody said stop.
pub(super) fn settle(host: &dyn Protection, machine: Uuid, progress: &dyn Progress) -> Result<()> {
    let begun = Instant::now();
    loop {
        let (limit, error) = match host.job(machine) {
            Ok(job) if job.kind == JobKind::None => return Ok(()),
            Ok(_) => (LIMIT, other()),
            Err(error) if error.kind() == LibvirtKind::JobLost => (LOST_LIMIT, error.into()),
            Err(error) => return Err(error.into()),
        };
        if begun.elapsed() >= limit {
            return Err(error);
        }
        if progress.stopped() {
            return Err(Error::new(Kind::Stopped, "stopped"));
        }
        thread::sleep(LOOK);
    }
}

/// Whether libvirt has lost a job of a machine, and does not only begin one.
pub(crate) fn is_lost(host: &dyn Protection, machine: Uuid) -> bool {
    let begun = Instant::now();
    while host.job(machine).is_err_and(|error| error.kind() == LibvirtKind::JobLost) {
        if begun.elapsed() >= LOST_LIMIT {
            return true;
        }
        thread::sleep(LOOK);
    }
    false
}

fn other() -> Error {
    let text = "libvirt is busy with another job of the machine: a backup, a migration, a dump, a save or a snapshot";
    Error::new(Kind::Locked, text)
        .fixed_by("Wait until it has ended (virsh domjobinfo), then repeat the command.")
}

#[cfg(test)]
mod tests {
    use disk::Unheard;
    use host::{
        fake::{Fake, FakeGuest},
        libvirt::Job,
    };

    use super::*;
    use crate::create::fixture::MACHINE;

    struct Stopped;

    impl Progress for Stopped {
        fn advance(&self, _done_bytes: u64) {}

        fn stopped(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_job_that_ends_is_awaited_whether_it_looks_lost_at_its_begin_or_not() {
        let first_looks = vec![None, Some(JobKind::Backup), Some(JobKind::Other)];
        let guest = FakeGuest { first_looks, ..FakeGuest::default() };
        let host = Fake::new(None).with_guest(guest);
        settle(&host, MACHINE, &Unheard).unwrap();
        assert_eq!(host.acts(), [""; 0]);
        let guest = FakeGuest { first_looks: vec![None], ..FakeGuest::default() };
        assert!(!is_lost(&Fake::new(None).with_guest(guest), MACHINE));
    }

    #[test]
    fn who_says_stop_does_not_wait() {
        let job = Job { kind: JobKind::Other, ..Job::default() };
        let host = Fake::new(None).with_guest(FakeGuest { job, ..FakeGuest::default() });
        assert_eq!(settle(&host, MACHINE, &Stopped).unwrap_err().kind(), Kind::Stopped);
    }

    #[test]
    fn a_job_that_stays_lost_says_what_ends_it() {
        let first_looks = vec![None; 100];
        let guest = FakeGuest { first_looks, ..FakeGuest::default() };
        let error = settle(&Fake::new(None).with_guest(guest), MACHINE, &Unheard).unwrap_err();
        assert_eq!(error.kind(), Kind::State);
        assert!(error.fix().is_some_and(|fix| fix.contains("restart the daemon")));
    }
}
