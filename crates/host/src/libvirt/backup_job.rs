//! The backup job of a running machine: QEMU keeps a moment of its disks and serves it over NBD.

use std::{
    thread,
    time::{Duration, Instant},
};

use vm::Uuid;

use super::{Libvirt, LibvirtError, LibvirtKind, error::There as _, virsh::Order};

/// What libvirt is busy with for a machine (`virDomainGetJobStats`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Job {
    /// What kind of work it is.
    pub kind: JobKind,
    /// For how long, in milliseconds.
    pub elapsed_ms: u64,
    /// What the scratch files of a backup hold, in bytes.
    pub temporary_used_bytes: u64,
    /// What they hold at most, in bytes: the capacity of the disks.
    pub temporary_total_bytes: u64,
}

/// What kind of work a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JobKind {
    /// There is none.
    #[default]
    None,
    /// A backup.
    Backup,
    /// Any other: a migration, a snapshot, a dump.
    Other,
}

/// Backup jobs; a machine has one at most, and no snapshot is taken meanwhile.
pub trait BackupJobs {
    /// Begins a backup, with a checkpoint of the same moment where one is given.
    ///
    /// Both are documents: `domain::write_backup_job`, `domain::write_checkpoint`. libvirt makes the scratch files, and QEMU the socket: its
    /// user must be able to write the folder.
    ///
    /// # Errors
    /// Another job runs ([`Busy`](super::LibvirtKind::Busy), after 30 seconds), or the checkpoint that
    /// the increment is from has no bitmap any more ([`BadCheckpoint`](super::LibvirtKind::BadCheckpoint)).
    /// Then neither a job nor a new checkpoint is there.
    fn begin_backup(
        &self,
        machine: Uuid,
        backup: &str,
        checkpoint: Option<&str>,
    ) -> Result<(), LibvirtError>;

    /// What libvirt is busy with now; nothing of a machine that is off.
    ///
    /// # Errors
    /// There is no such machine; libvirt knows nothing of the job
    /// ([`JobLost`](super::LibvirtKind::JobLost)), as while one begins.
    fn job(&self, machine: Uuid) -> Result<Job, LibvirtError>;

    /// The document of the backup that runs; `None` where there is none.
    ///
    /// # Errors
    /// There is no such machine.
    fn running_backup(&self, machine: Uuid) -> Result<Option<String>, LibvirtError>;

    /// Ends the job and waits for its end, which is how a pull backup ends: socket and scratch files are
    /// gone then. No job is no error.
    ///
    /// # Errors
    /// The job cannot be ended, or does not end within half a minute.
    fn abort_job(&self, machine: Uuid) -> Result<(), LibvirtError>;
}

/// The kind of job that is none (`VIR_DOMAIN_JOB_NONE`).
const NO_JOB: &str = "0";

/// How often a job that ends is looked at (ours).
const LOOK: Duration = Duration::from_millis(20);

/// How long a job that was told to end may take to (ours).
const END_LIMIT: Duration = Duration::from_secs(30);

/// The operation of a backup (`VIR_DOMAIN_JOB_OPERATION_BACKUP`).
const BACKUP: &str = "9";

impl BackupJobs for Libvirt {
    fn begin_backup(
        &self,
        machine: Uuid,
        backup: &str,
        checkpoint: Option<&str>,
    ) -> Result<(), LibvirtError> {
        let machine = machine.to_string();
        let what = format!("begin a backup of the machine {machine}");
        let paper = checkpoint.map(|text| self.paper(&what, text)).transpose()?;
        let mut values = vec![("--domain", &*machine), ("--backupxml", "/dev/stdin")];
        values.extend(paper.iter().map(|paper| ("--checkpointxml", paper.path())));
        let order = Order { what: &what, verb: &["backup-begin"], values: &values };
        self.act(&order, backup.as_bytes())
    }

    fn job(&self, machine: Uuid) -> Result<Job, LibvirtError> {
        let (what, machine) = ("say what the machine is busy with", machine.to_string());
        let values = [("--domain", &*machine)];
        let order = Order { what, verb: &["domjobinfo", "--rawstats"], values: &values };
        match self.patient_text(&order) {
            Ok(said) => job(&said).ok_or_else(|| LibvirtError::unread(what, self.uri(), &said)),
            Err(error) if error.kind() == LibvirtKind::WrongState => Ok(Job::default()),
            Err(error) => Err(error),
        }
    }

    fn running_backup(&self, machine: Uuid) -> Result<Option<String>, LibvirtError> {
        let (what, machine) = ("show the backup of the machine", machine.to_string());
        let values = [("--domain", &*machine)];
        self.exact_text(&Order { what, verb: &["backup-dumpxml"], values: &values }).there()
    }

    fn abort_job(&self, machine: Uuid) -> Result<(), LibvirtError> {
        let ended = self.machine("end the job of", &["domjobabort"], machine);
        match ended.there() {
            Ok(Some(())) => self.wait_for_end(machine),
            Err(error) if error.kind() != LibvirtKind::WrongState => Err(error),
            _ => Ok(()),
        }
    }
}

impl Libvirt {
    /// Waits until a job that was told to end is over: libvirt only then removes its files.
    fn wait_for_end(&self, machine: Uuid) -> Result<(), LibvirtError> {
        let deadline = Instant::now() + END_LIMIT;
        while self.job(machine)?.kind != JobKind::None {
            if Instant::now() >= deadline {
                let what = format!("end the job of the machine {machine}");
                return Err(LibvirtError::ended(&what, self.uri(), LibvirtKind::Late));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// Reads `virsh domjobinfo --rawstats`: a name and a number a line.
fn job(said: &str) -> Option<Job> {
    let value = |name: &str| {
        let mut lines = said.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(have, _)| *have == name).map(|(_, value)| value.trim())
    };
    let number = |name| value(name).map_or(Some(0), |value| value.parse().ok());
    let kind = match (value("Job type")?, value("operation")) {
        (NO_JOB, _) => JobKind::None,
        (_, Some(BACKUP)) => JobKind::Backup,
        _ => JobKind::Other,
    };
    Some(Job {
        kind,
        elapsed_ms: number("time_elapsed")?,
        temporary_used_bytes: number("disk_temp_used")?,
        temporary_total_bytes: number("disk_temp_total")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_job_of_a_machine() {
        let said = "Job type: 2\n\noperation: 9\ntime_elapsed: 157\ndisk_temp_used: 65536\n\
                    disk_temp_total: 2147483648\n\n";
        let want = Job {
            kind: JobKind::Backup,
            elapsed_ms: 157,
            temporary_used_bytes: 65_536,
            temporary_total_bytes: 2_147_483_648,
        };
        assert_eq!(job(said), Some(want));
        assert_eq!(job("Job type: 0\n\n"), Some(Job::default()));
        let other = job("Job type: 1\n\noperation: 5\ntime_elapsed: 1\n").unwrap();
        assert_eq!((other.kind, other.temporary_total_bytes), (JobKind::Other, 0));
        assert_eq!(job(&said.replace("65536", "many")), None);
        assert_eq!(job("No such thing\n"), None);
    }
}
