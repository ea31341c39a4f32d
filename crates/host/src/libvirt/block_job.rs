//! Merging the images of a running machine: what was written into an overlay goes into the one below.

use std::{
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use disk::Progress;
use vm::Uuid;

use super::{Libvirt, LibvirtError, LibvirtKind, error::There as _, virsh::Order};

/// Which images of a disk become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit<'a> {
    /// The disk, by the name of its target: `vda`.
    pub target: &'a str,
    /// The image that takes the data; `None` for the bottom of the chain.
    pub base: Option<&'a str>,
    /// The newest image whose data is taken; `None` for the one that the machine writes to, which then
    /// goes on with the base.
    pub top: Option<&'a str>,
    /// How long it may take in all.
    pub limit: Duration,
}

/// How far a job on a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockJob {
    /// What is done, in the job's own units, which are bytes of the image.
    pub done: u64,
    /// What there is to do.
    pub total: u64,
}

/// Jobs on the disks of a running machine.
pub trait BlockJobs {
    /// Merges images, and waits until it is done. `progress` is told what was merged, and may end it;
    /// the chain is then as it was. The files that are merged stay.
    ///
    /// # Errors
    /// The machine is off, a file is not in the chain, there is no room, the time is over or `progress`
    /// said stop ([`Stopped`](super::LibvirtKind::Stopped)).
    fn commit_disk(
        &self,
        machine: Uuid,
        commit: &Commit<'_>,
        progress: &dyn Progress,
    ) -> Result<(), LibvirtError>;

    /// The job of a disk; `None` where there is none.
    ///
    /// # Errors
    /// There is no such machine or disk.
    fn block_job(&self, machine: Uuid, target: &str) -> Result<Option<BlockJob>, LibvirtError>;

    /// Ends the job of a disk, which goes on with the image that it had; no job is no error.
    ///
    /// # Errors
    /// The job cannot be ended.
    fn abort_block_job(&self, machine: Uuid, target: &str) -> Result<(), LibvirtError>;
}

/// How often a job is looked at (ours).
const LOOK: Duration = Duration::from_millis(250);

/// How long a job that was told to end may take to (ours).
const END_LIMIT: Duration = Duration::from_secs(60);

impl BlockJobs for Libvirt {
    fn commit_disk(
        &self,
        machine: Uuid,
        commit: &Commit<'_>,
        progress: &dyn Progress,
    ) -> Result<(), LibvirtError> {
        let deadline = Instant::now() + commit.limit;
        let (tell, ended) = channel();
        thread::scope(|threads| {
            threads.spawn(move || tell.send(self.commit(machine, commit)));
            let mut done = 0;
            let why = loop {
                match ended.recv_timeout(LOOK) {
                    Ok(result) => return result,
                    Err(RecvTimeoutError::Disconnected) => break LibvirtKind::Late,
                    Err(RecvTimeoutError::Timeout) if progress.stopped() => {
                        break LibvirtKind::Stopped;
                    }
                    Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                        break LibvirtKind::Late;
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                }
                // Who asks in the moment between two jobs hears nothing, and asks again.
                if let Ok(Some(job)) = self.block_job(machine, commit.target) {
                    progress.advance(job.done.saturating_sub(done));
                    done = done.max(job.done);
                }
            };
            self.abort_block_job(machine, commit.target)?;
            match ended.recv() {
                // It was done just before.
                Ok(Ok(())) => Ok(()),
                _ => Err(LibvirtError::ended(&what(commit), self.uri(), why)),
            }
        })
    }

    fn block_job(&self, machine: Uuid, target: &str) -> Result<Option<BlockJob>, LibvirtError> {
        let (what, machine) = (format!("say how far the disk {target} is"), machine.to_string());
        let values = [("--domain", &*machine), ("--path", target)];
        let order = Order { what: &what, verb: &["blockjob", "--raw"], values: &values };
        match self.patient_text(&order) {
            Ok(said) => Ok(block_job(&said)),
            Err(error) if error.kind() == LibvirtKind::WrongState => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn abort_block_job(&self, machine: Uuid, target: &str) -> Result<(), LibvirtError> {
        let (what, machine) = (format!("end the job of the disk {target}"), machine.to_string());
        let values = [("--domain", &*machine), ("--path", target)];
        let order = Order { what: &what, verb: &["blockjob", "--abort"], values: &values };
        match self.act(&order, b"").there() {
            Err(error) if error.kind() == LibvirtKind::WrongState => Ok(()),
            other => other.map(drop),
        }
    }
}

impl Libvirt {
    /// Merges images and waits for it; virsh hears from libvirt how the job ended.
    fn commit(&self, machine: Uuid, commit: &Commit<'_>) -> Result<(), LibvirtError> {
        let (what, machine) = (what(commit), machine.to_string());
        let verb: &'static [&'static str] = match commit.top {
            Some(_) => &["blockcommit", "--wait"],
            None => &["blockcommit", "--active", "--pivot", "--wait"],
        };
        let mut values = vec![("--domain", &*machine), ("--path", commit.target)];
        values.extend(commit.base.map(|base| ("--base", base)));
        values.extend(commit.top.map(|top| ("--top", top)));
        let order = Order { what: &what, verb, values: &values };
        self.timely_text(&order, commit.limit.saturating_add(END_LIMIT)).map(drop)
    }
}

fn what(commit: &Commit<'_>) -> String {
    format!("merge the images of the disk {}", commit.target)
}

/// Reads `virsh blockjob --raw`: ` cur=N` and ` end=N` among other lines, or nothing.
fn block_job(said: &str) -> Option<BlockJob> {
    let number = |head: &str| {
        let mut lines = said.lines().filter_map(|line| line.trim().strip_prefix(head));
        lines.next()?.parse().ok()
    };
    Some(BlockJob { done: number("cur=")?, total: number("end=")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_far_a_job_is() {
        let said = " type=Active Block Commit\n bandwidth=4\n cur=17104896\n end=67502080\n\n";
        assert_eq!(block_job(said), Some(BlockJob { done: 17_104_896, total: 67_502_080 }));
        assert_eq!(block_job("\n"), None);
        assert_eq!(block_job(" cur=-1\n end=5\n"), None);
    }
}
