//! A real libvirt: backups, checkpoints and snapshots of a machine that does not need a guest.
//!
//! The machine is started and paused, so that QEMU is there and no guest boots. They run where
//! `qemu:///system` answers, as the tests of `libvirt` do. What needs a guest with an agent is asked of
//! the machine that `RELIFT_AGENT_MACHINE` names by its UUID.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use disk::Unheard;
use domain::{
    BackedUpDisk, BackupJob, DiskMode, Kept, KeptMemory, NewCheckpoint, NewSnapshot, SnapshotState,
    Tracked,
};
use host::libvirt::{
    Agent as _, BackupJobs as _, BlockJobs as _, Checkpoints as _, Commit, Definition, Detail,
    Extent, Guest as _, Hypervisor as _, JobKind, Keeps, Libvirt, LibvirtKind, Power, Scope,
    Snapshots as _, Wake,
};
use vm::Uuid;

use crate::{
    bench::Bench,
    libvirt::{skip, skips},
};

/// How long an agent may take.
const LIMIT: Duration = Duration::from_secs(20);

const HOST: &str = "qemu:///system";

/// A machine with the disks vda and vdb; it is gone with its folder when the test is over.
struct Machine {
    host: Libvirt,
    uuid: Uuid,
    folder: tempfile::TempDir,
}

impl Machine {
    /// Defines and starts it; `None`, and a word about it, where no libvirt answers.
    fn start(test: u8) -> Option<Self> {
        let bench = Bench::empty();
        if skips(&bench) {
            return None;
        }
        // The user of QEMU makes the socket and the images.
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        for disk in ["vda", "vdb"] {
            let file = folder.path().join(disk).display().to_string();
            let made = bench.shell(&format!("qemu-img create -q -f qcow2 {file} 64M"));
            assert_eq!(made.code, Some(0), "{made:?}");
        }
        let mut digest = [test; 32];
        digest[..4].copy_from_slice(&std::process::id().to_be_bytes());
        let machine = Self {
            host: Libvirt::connect(HOST).unwrap(),
            uuid: Uuid::from_digest(&digest),
            folder,
        };
        machine.host.define("a test", &machine.definition()).unwrap();
        machine.host.start_paused(machine.uuid).unwrap();
        Some(machine)
    }

    fn definition(&self) -> String {
        let disk = |name: &str| {
            let file = self.file(name).display().to_string();
            format!(
                "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
                 <source file='{file}'/><target dev='{name}' bus='virtio'/></disk>"
            )
        };
        format!(
            "<domain type='qemu'><name>relift-test-{0}</name><uuid>{0}</uuid>\
             <memory unit='MiB'>32</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os>\
             <devices>{1}{2}<memballoon model='none'/></devices></domain>",
            self.uuid,
            disk("vda"),
            disk("vdb")
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Begins a full backup of vdb, and a checkpoint of it.
    fn begin(&self, checkpoint: &str) -> Result<(), LibvirtKind> {
        let scratch = self.file("b.scratch");
        self.begin_with(checkpoint, DiskMode::LeftOut, DiskMode::Full { scratch: &scratch })
    }

    /// Begins an increment of vdb beside a full backup of vda, and a checkpoint of vdb.
    fn begin_since(&self, checkpoint: &str, since: &str) -> Result<(), LibvirtKind> {
        let (a, b) = (self.file("a.scratch"), self.file("b.scratch"));
        let since = DiskMode::Since { checkpoint: since, scratch: &b };
        self.begin_with(checkpoint, DiskMode::Full { scratch: &a }, since)
    }

    fn begin_with(
        &self,
        checkpoint: &str,
        vda: DiskMode<'_>,
        vdb: DiskMode<'_>,
    ) -> Result<(), LibvirtKind> {
        let socket = self.file("sock");
        let disks = [("vda", vda), ("vdb", vdb)];
        let disks = disks.map(|(target, mode)| BackedUpDisk { target, mode }).into();
        let job = domain::write_backup_job(&BackupJob { socket: &socket, disks }).unwrap();
        let disks = vec![("vda", Tracked::No), ("vdb", Tracked::Yes)];
        let checkpoint = NewCheckpoint { name: checkpoint, description: None, disks };
        let checkpoint = domain::write_checkpoint(&checkpoint).unwrap();
        let begun = self.host.begin_backup(self.uuid, &job, Some(&checkpoint));
        begun.map_err(|error| error.kind())
    }

    /// Takes a snapshot of vdb.
    fn snapshot(&self, name: &str, keeps: Keeps, memory: Option<&Path>) {
        let overlay = self.file(&format!("vdb.{name}"));
        let disks = vec![("vda", None), ("vdb", Some(overlay.as_path()))];
        let new = NewSnapshot { name, description: Some("a <test>"), memory, disks };
        let xml = domain::write_new_snapshot(&new).unwrap();
        self.host.create_snapshot(self.uuid, &xml, keeps).unwrap();
    }

    /// What vdb is written to now.
    fn image(&self) -> PathBuf {
        let xml = self.host.definition(self.uuid, Definition::Live).unwrap();
        let drives = domain::drives(xml.as_bytes()).unwrap();
        let vdb = drives.into_iter().find(|drive| drive.target == "vdb").unwrap();
        let domain::DriveSource::File(file) = vdb.source else { panic!("{:?}", vdb.source) };
        file
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let virsh = format!("timeout 60 virsh -q -c {HOST}");
        let bench = Bench::empty();
        bench.shell(&format!("{virsh} destroy {}", self.uuid));
        let all = "--snapshots-metadata --checkpoints-metadata";
        bench.shell(&format!("{virsh} undefine {all} {}", self.uuid));
    }
}

#[test]
fn a_paused_machine_is_backed_up_in_full_and_by_disk_as_an_increment() {
    let Some(machine) = Machine::start(1) else { return };
    let (host, uuid) = (&machine.host, machine.uuid);
    assert_eq!(host.power(uuid).unwrap(), Power::Paused { by_error: false });
    assert_eq!(host.block_info(uuid, "vdb").unwrap().capacity_bytes, 64 << 20);
    assert_eq!(host.block_info(uuid, "vdz").unwrap_err().kind(), LibvirtKind::NotFound);
    assert_eq!(host.block_errors(uuid).unwrap(), []);
    assert_eq!(host.frozen(uuid, LIMIT).unwrap(), None);
    machine.begin("relift-1").unwrap();
    let job = host.job(uuid).unwrap();
    assert_eq!((job.kind, job.temporary_total_bytes), (JobKind::Backup, 64 << 20));
    host.abort_job(uuid).unwrap();
    host.abort_job(uuid).unwrap();
    assert_eq!(host.job(uuid).unwrap().kind, JobKind::None);
    assert_eq!(host.running_backup(uuid).unwrap(), None);
    machine.begin_since("relift-2", "relift-1").unwrap();
    let running = host.running_backup(uuid).unwrap().unwrap();
    let running = domain::read_backup_job(running.as_bytes()).unwrap();
    assert_eq!(running.socket, Some(machine.file("sock")));
    let disks: Vec<_> =
        running.disks.iter().map(|it| (&*it.target, it.bitmap.as_deref())).collect();
    assert_eq!(disks, [("vda", None), ("vdb", Some("backup-vdb"))]);
    assert_eq!(running.disks[1].scratch, Some(machine.file("b.scratch")));
    host.abort_job(uuid).unwrap();
    assert!(!machine.file("sock").exists() && !machine.file("b.scratch").exists());
}

#[test]
fn checkpoints_are_told_measured_forgotten_and_told_again() {
    let Some(machine) = Machine::start(2) else { return };
    let (host, uuid) = (&machine.host, machine.uuid);
    assert_eq!(machine.begin_since("relift-2", "relift-1"), Err(LibvirtKind::BadCheckpoint));
    assert_eq!(host.checkpoints(uuid).unwrap(), [""; 0]);
    for name in ["relift-1", "relift-2"] {
        machine.begin(name).unwrap();
        host.abort_job(uuid).unwrap();
    }
    assert_eq!(machine.begin("relift-2"), Err(LibvirtKind::MomentExists));
    assert_eq!(host.checkpoints(uuid).unwrap(), ["relift-1", "relift-2"]);
    let xml = host.checkpoint_xml(uuid, "relift-2", Detail::Size).unwrap();
    let checkpoint = domain::read_checkpoint(xml.as_bytes()).unwrap();
    assert_eq!(checkpoint.parent.as_deref(), Some("relift-1"));
    let [disk] = &*checkpoint.disks else { panic!("{checkpoint:?}") };
    assert_eq!((&*disk.target, &*disk.bitmap, disk.dirty_bytes), ("vdb", "relift-2", Some(0)));
    let xml = host.checkpoint_xml(uuid, "relift-2", Detail::Definition).unwrap();
    host.delete_checkpoint(uuid, "relift-2", Scope::One, Extent::Metadata).unwrap();
    let missing = host.checkpoint_xml(uuid, "relift-2", Detail::Definition).unwrap_err();
    assert_eq!(missing.kind(), LibvirtKind::NotFound);
    host.redefine_checkpoint(uuid, &xml).unwrap();
    machine.begin_since("relift-3", "relift-2").unwrap();
    host.abort_job(uuid).unwrap();
    host.delete_checkpoint(uuid, "relift-1", Scope::WithChildren, Extent::Whole).unwrap();
    assert_eq!(host.checkpoints(uuid).unwrap(), [""; 0]);
}

#[test]
fn a_snapshot_of_disks_is_taken_and_merged_again() {
    let Some(machine) = Machine::start(3) else { return };
    let (host, uuid) = (&machine.host, machine.uuid);
    assert!(host.snapshots(uuid).unwrap().is_empty());
    machine.snapshot("s1", Keeps::Disks, None);
    assert_eq!(machine.image(), machine.file("vdb.s1"));
    let [known] = &*host.snapshots(uuid).unwrap() else { panic!("no snapshot") };
    assert!(known.is_current && known.name == "s1");
    let read = domain::read_snapshot(known.xml.as_bytes()).unwrap();
    assert_eq!(read.description.as_deref(), Some("a <test>"));
    assert_eq!((read.state, read.memory), (SnapshotState::DisksOnly, KeptMemory::No));
    assert_eq!(read.disks[1].kept, Kept::External(Some(machine.file("vdb.s1"))));
    for text in [read.domain, read.inactive_domain].into_iter().flatten() {
        assert_eq!(domain::drives(text.as_bytes()).unwrap().len(), 2);
    }
    let commit = Commit { target: "vdb", base: None, top: None, limit: LIMIT };
    host.commit_disk(uuid, &commit, &Unheard).unwrap();
    assert_eq!(machine.image(), machine.file("vdb"));
    assert_eq!(host.block_job(uuid, "vdb").unwrap(), None);
    host.abort_block_job(uuid, "vdb").unwrap();
    let absent = Commit { top: Some("/nonexistent"), ..commit };
    let error = host.commit_disk(uuid, &absent, &Unheard).unwrap_err();
    assert_eq!(error.kind(), LibvirtKind::NotFound);
    host.delete_snapshot(uuid, "s1", Scope::One, Extent::Metadata).unwrap();
    host.define_current_snapshot(uuid, &known.xml).unwrap();
    assert_eq!(host.snapshots(uuid).unwrap().len(), 1);
}

#[test]
fn a_machine_that_is_off_goes_back_to_a_snapshot_inside_its_images() {
    let Some(machine) = Machine::start(5) else { return };
    let (host, uuid) = (&machine.host, machine.uuid);
    host.destroy(uuid).unwrap();
    let xml = "<domainsnapshot><name>i1</name></domainsnapshot>";
    host.create_snapshot(uuid, xml, Keeps::Internal).unwrap();
    let [known] = &*host.snapshots(uuid).unwrap() else { panic!("no snapshot") };
    let read = domain::read_snapshot(known.xml.as_bytes()).unwrap();
    assert_eq!((read.state, &read.disks[0].kept), (SnapshotState::Off, &Kept::Internal));
    host.revert(uuid, "i1").unwrap();
    assert_eq!(host.revert(uuid, "i2").unwrap_err().kind(), LibvirtKind::NotFound);
    host.delete_snapshot(uuid, "i1", Scope::WithChildren, Extent::Whole).unwrap();
    assert!(host.snapshots(uuid).unwrap().is_empty());
}

#[test]
fn a_snapshot_with_memory_starts_again_by_another_definition() {
    let Some(machine) = Machine::start(4) else { return };
    let (host, uuid) = (&machine.host, machine.uuid);
    let memory = machine.file("memory");
    machine.snapshot("m1", Keeps::Memory, Some(&memory));
    let [known] = &*host.snapshots(uuid).unwrap() else { panic!("no snapshot") };
    let read = domain::read_snapshot(known.xml.as_bytes()).unwrap();
    assert_eq!(read.state, SnapshotState::Paused);
    assert_eq!(read.memory, KeptMemory::External(memory.clone()));
    host.destroy(uuid).unwrap();
    assert_eq!(host.power(uuid).unwrap(), Power::Off);
    assert_eq!(host.resume(uuid).unwrap_err().kind(), LibvirtKind::WrongState);
    let xml = host.memory_definition(&memory).unwrap();
    let changes = domain::Changes::default();
    let other = domain::patch(xml.as_bytes(), &changes).unwrap();
    host.restore_memory(&memory, &other, Wake::Paused).unwrap();
    assert_eq!(host.power(uuid).unwrap(), Power::Paused { by_error: false });
    host.resume(uuid).unwrap();
    assert_eq!(host.power(uuid).unwrap(), Power::Running);
}

#[test]
fn a_guest_with_an_agent_is_frozen_and_thawed() {
    let Ok(uuid) = std::env::var("RELIFT_AGENT_MACHINE") else {
        return skip("RELIFT_AGENT_MACHINE names no machine");
    };
    let (host, uuid) = (Libvirt::connect(HOST).unwrap(), uuid.parse().unwrap());
    assert!(host.agent_answers(uuid, LIMIT).unwrap());
    let count = host.freeze(uuid, LIMIT).unwrap();
    assert_eq!(host.frozen(uuid, LIMIT).unwrap(), Some(true));
    assert_eq!(host.freeze(uuid, LIMIT).unwrap_err().kind(), LibvirtKind::Refused);
    assert_eq!(host.thaw(uuid, LIMIT).unwrap(), count);
    assert_eq!(host.thaw(uuid, LIMIT).unwrap(), 0);
    assert_eq!(host.frozen(uuid, LIMIT).unwrap(), Some(false));
}
