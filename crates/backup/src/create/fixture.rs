//! A machine for tests: its images and its exports are real, its host is not.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::PathBuf,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use bundle::{Bundle, Form, Manifest, Options, Vm};
use disk::{FileBytes, Progress, Target as _, qcow2};
use host::{
    fake::{Fake, FakeGuest},
    guard,
    libvirt::BlockInfo,
    scratch::Scratch,
};
use testkit::NbdExport;
use vm::Uuid;

use super::{
    Bundled, CloneCopy, Doors, Keeps, Known, Made, Marking, Outcome, Request, Step, Watch, Wish,
    create,
};
use crate::{
    Error, Result,
    quiesce::{Armed, Guards, Quiesce},
    snapshot::{MemoryFile, Records},
};

/// The size of each disk.
pub(super) const CAPACITY_BYTES: u64 = 1 << 20;

/// The bytes that a change of [`Lab::write`] has.
pub(super) const CHANGE_BYTES: usize = 64 << 10;

/// The machine.
pub(super) const MACHINE: Uuid = Uuid([7; 16]);

/// A folder whose points count from these checkpoints.
pub(super) fn known(checkpoints: &[&str]) -> Known {
    let checkpoints = checkpoints.iter().map(|name| (*name).to_owned()).collect();
    Known { series: vec!["s".to_owned()], checkpoints }
}

/// What a guest wrote: its disk, and the clusters that changed since the last checkpoint.
#[derive(Clone)]
struct Content {
    bytes: Vec<u8>,
    dirty: Vec<usize>,
}

/// A folder with the images `vda.qcow2` and `vdb.qcow2`, and the bundle `web.tar`.
pub(super) struct Lab {
    folder: tempfile::TempDir,
    disks: Mutex<BTreeMap<String, Content>>,
    pub(super) records: Records,
}

impl Lab {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let content = Content { bytes: testkit::content(CAPACITY_BYTES), dirty: Vec::new() };
        let disks = ["vda", "vdb"].map(|target| (target.to_owned(), content.clone()));
        let records = Records::of(&folder.path().join("state"), MACHINE);
        let lab = Self { folder, disks: Mutex::new(disks.into()), records };
        for target in ["vda", "vdb"] {
            let file = File::create_new(lab.path(&format!("{target}.qcow2"))).unwrap();
            qcow2::Writer::create(Arc::new(file), CAPACITY_BYTES).unwrap().finish().unwrap();
        }
        lab
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder that scratch files are in while a run goes on.
    pub(super) fn scratch(&self) -> PathBuf {
        Scratch::folder_of(self.folder.path(), MACHINE)
    }

    /// The guest writes one cluster of a disk.
    pub(super) fn write(&self, target: &str, cluster: usize, byte: u8) {
        let mut disks = self.disks.lock().unwrap();
        let disk = disks.get_mut(target).unwrap();
        let start = cluster * CHANGE_BYTES;
        disk.bytes[start..start + CHANGE_BYTES].fill(byte);
        disk.dirty.push(cluster);
    }

    /// The guest sees this on a disk.
    pub(super) fn fill(&self, target: &str, bytes: Vec<u8>) {
        self.disks.lock().unwrap().get_mut(target).unwrap().bytes = bytes;
    }

    pub(super) fn content(&self, target: &str) -> Vec<u8> {
        self.disks.lock().unwrap()[target].bytes.clone()
    }

    pub(super) fn definition(&self) -> String {
        let disk = |target: &str| {
            let file = self.path(&format!("{target}.qcow2"));
            format!(
                "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
                 <source file='{}'/><target dev='{target}' bus='virtio'/></disk>",
                file.display()
            )
        };
        format!(
            "<domain type='qemu'><name>web</name><uuid>{MACHINE}</uuid><memory>16384</memory>\
             <vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>{}{}\
             <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>\
             </devices></domain>",
            disk("vda"),
            disk("vdb")
        )
    }

    /// The machine, which runs and has an agent.
    pub(super) fn guest(&self) -> FakeGuest {
        let info = BlockInfo {
            capacity_bytes: CAPACITY_BYTES,
            allocation_bytes: CAPACITY_BYTES,
            physical_bytes: CAPACITY_BYTES,
        };
        FakeGuest {
            definition: self.definition(),
            disks: ["vda", "vdb"].map(|target| (target.to_owned(), info)).into(),
            ..FakeGuest::default()
        }
    }

    pub(super) fn request(&self, unix_seconds: u64) -> Request {
        Request {
            machine: MACHINE,
            name: "web".to_owned(),
            wish: Wish::Auto,
            keeps: Keeps::Checkpoint,
            excluded: Vec::new(),
            with_media: false,
            memory: MemoryFile::None,
            quiesce: Quiesce::Auto,
            deadline: Some(Duration::from_secs(300)),
            workers: 2,
            unix_seconds,
            series: "s".to_owned(),
            known: known(&[]),
            doubt: None,
            unchanged_from: None,
            scratch: None,
            machines: Vec::new(),
            marking: Marking::default(),
            clone_copy: CloneCopy::default(),
        }
    }

    /// Makes a point in the bundle `web.tar`, which is begun if it is not there.
    pub(super) fn run(&self, request: &Request, fake: &Rc<Fake>) -> Result<Made> {
        self.run_with(request, &Keepers::of(fake))
    }

    /// The same, with somebody who disturbs the host.
    pub(super) fn run_with(&self, request: &Request, keepers: &Keepers<'_>) -> Result<Made> {
        match self.come_of(request, keepers)? {
            Outcome::Made(made) => Ok(*made),
            Outcome::Unchanged { .. } => Err(Error::usage("nothing has changed")),
        }
    }

    /// The same, where perhaps nothing has changed.
    pub(super) fn come_of(&self, request: &Request, keepers: &Keepers<'_>) -> Result<Outcome> {
        let doors = Doors {
            host: &**keepers.fake,
            guards: keepers,
            watch: &Serves { lab: self, copying: keepers.copying, left_bytes: Mutex::default() },
            files: &**keepers.fake,
            records: &self.records,
            foreign: &[],
        };
        let path = self.path("web.tar");
        let form = Form::Tar;
        let options = Options { form, level: 3, unix_seconds: request.unix_seconds };
        let made = if path.exists() {
            let file = File::options().read(true).write(true).open(&path).unwrap();
            let bundle = Bundle::open(Arc::new(FileBytes::new(file.try_clone().unwrap()).unwrap()));
            let mut sink = Bundled::extend(&bundle.unwrap(), &file, options, true)?;
            create(request, &mut sink, &doors)
        } else {
            let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
            let vm = Vm { name: "web".to_owned(), uuid: None };
            let manifest = Manifest { vm, incrementable: true, ..Manifest::default() };
            let made = create(request, &mut Bundled::create(&file, options, manifest)?, &doors);
            if made.is_err() {
                std::fs::remove_file(&path).unwrap();
            }
            made
        };
        if made.is_ok() {
            for disk in self.disks.lock().unwrap().values_mut() {
                disk.dirty.clear();
            }
        }
        made
    }

    pub(super) fn bundle(&self) -> Bundle {
        let file = File::open(self.path("web.tar")).unwrap();
        Bundle::open(Arc::new(FileBytes::new(file).unwrap())).unwrap()
    }

    fn exports(&self) -> Vec<NbdExport> {
        let runs = |content: &Content| -> Vec<(u32, u32)> {
            let clusters = content.bytes.len() / CHANGE_BYTES;
            let is_dirty = |cluster| u32::from(content.dirty.contains(&cluster));
            let len = u32::try_from(CHANGE_BYTES).unwrap();
            (0..clusters).map(|cluster| (len, is_dirty(cluster))).collect()
        };
        let disks = self.disks.lock().unwrap();
        let export = |(target, content): (&String, &Content)| {
            let whole = [(u32::try_from(CAPACITY_BYTES).unwrap(), 0)];
            NbdExport::new(target, content.bytes.clone())
                .context("base:allocation", &whole)
                .context(&format!("qemu:dirty-bitmap:backup-{target}"), &runs(content))
        };
        disks.iter().map(export).collect()
    }
}

/// Serves the disks once the run has made its folder, as QEMU will, and sees that a disk is no more and no less
/// than what was said of it.
struct Serves<'a> {
    lab: &'a Lab,
    copying: fn(&Lab, &str),
    /// Of the disk that is being copied.
    left_bytes: Mutex<Option<u64>>,
}

impl Progress for Serves<'_> {
    fn advance(&self, done_bytes: u64) {
        if let Some(left) = &mut *self.left_bytes.lock().unwrap() {
            let more = left.checked_sub(done_bytes);
            *left = more.unwrap_or_else(|| panic!("{left} bytes are left, not {done_bytes}"));
        }
    }

    fn stopped(&self) -> bool {
        false
    }
}

impl Watch for Serves<'_> {
    fn begin(&self, step: Step<'_>) {
        let left = self.left_bytes.lock().unwrap().take();
        assert_eq!(left.unwrap_or(0), 0, "of the disk before");
        match step {
            Step::Freeze => {
                NbdExport::listen_all(self.lab.exports(), &self.lab.scratch().join("nbd"));
            }
            Step::Copy { target, total_bytes } => {
                *self.left_bytes.lock().unwrap() = Some(total_bytes);
                (self.copying)(self.lab, target);
            }
            _ => {}
        }
    }
}

/// Guards that thaw when they are left alone, and disturb the host just before and just after the moment;
/// and somebody who disturbs the images before each is copied.
pub(super) struct Keepers<'a> {
    pub(super) fake: &'a Rc<Fake>,
    pub(super) before: fn(&Fake),
    pub(super) after: fn(&Fake),
    pub(super) copying: fn(&Lab, &str),
}

impl<'a> Keepers<'a> {
    /// Guards that disturb nobody.
    pub(super) fn of(fake: &'a Rc<Fake>) -> Self {
        Self { fake, before: |_| (), after: |_| (), copying: |_, _| () }
    }
}

impl Guards for Keepers<'_> {
    fn arm(&self, _machine: Uuid, _deadline: Duration) -> io::Result<Box<dyn Armed>> {
        (self.before)(self.fake);
        Ok(Box::new(Keeper { fake: Rc::clone(self.fake), after: self.after }))
    }
}

struct Keeper {
    fake: Rc<Fake>,
    after: fn(&Fake),
}

impl Armed for Keeper {
    fn disarm(self: Box<Self>) -> guard::Outcome {
        (self.after)(&self.fake);
        guard::Outcome::Quiet
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.fake.disturb(|guest| guest.is_frozen = false);
    }
}
