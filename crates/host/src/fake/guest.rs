//! The machine of a fake host: what it answers, and what acts have made of it.

use std::collections::BTreeMap;

use crate::libvirt::{
    BlockError, BlockInfo, Job, JobKind, KnownSnapshot, LibvirtError, LibvirtKind, Power,
    VolumePlace,
};

/// A machine whose state a test sets, and acts change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeGuest {
    /// What it is doing.
    pub power: Power,
    /// Whether libvirt keeps its memory for the next start.
    pub has_saved_memory: bool,
    /// Its domain XML, both of them.
    pub definition: String,
    /// Its disks.
    pub disks: BTreeMap<String, BlockInfo>,
    /// The volumes of pools, by their names.
    pub volumes: BTreeMap<String, VolumePlace>,
    /// The disks that failed.
    pub block_errors: Vec<BlockError>,
    /// Whether it has an agent that answers while it runs.
    pub has_agent: bool,
    /// Whether its file systems are frozen.
    pub is_frozen: bool,
    /// What it is busy with.
    pub job: Job,
    /// What it looks busy with before that, the last look first; `None` is a job that libvirt has lost.
    pub first_looks: Vec<Option<JobKind>>,
    /// The document of the backup that runs.
    pub backup: Option<String>,
    /// Its checkpoints: names and documents, parents first.
    pub checkpoints: Vec<(String, String)>,
    /// The disks whose bitmaps are lost: no job counts from a checkpoint for them.
    pub lost_bitmaps: Vec<String>,
    /// Its snapshots, parents first.
    pub snapshots: Vec<KnownSnapshot>,
    /// The definition in each file with memory.
    pub memory_definition: String,
}

impl Default for FakeGuest {
    /// A machine that runs, with an agent and without disks.
    fn default() -> Self {
        Self {
            power: Power::Running,
            has_saved_memory: false,
            definition: "<domain/>".into(),
            disks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            block_errors: Vec::new(),
            has_agent: true,
            is_frozen: false,
            job: Job::default(),
            first_looks: Vec::new(),
            backup: None,
            checkpoints: Vec::new(),
            lost_bitmaps: Vec::new(),
            snapshots: Vec::new(),
            memory_definition: "<domain/>".into(),
        }
    }
}

impl FakeGuest {
    /// Whether an agent answers now.
    pub(super) fn answers(&self) -> bool {
        self.has_agent && self.power == Power::Running
    }

    /// Whether a backup job counts from a bitmap that is lost.
    pub(super) fn counts_from_nothing(&self, backup: &str) -> bool {
        let mut disks = backup.split("<disk ").map(|disk| disk.split('>').next().unwrap_or(disk));
        disks.any(|disk| {
            let is_it = |target: &String| disk.contains(&format!("\"{target}\""));
            disk.contains("incremental=") && self.lost_bitmaps.iter().any(is_it)
        })
    }

    /// Freezes or thaws two file systems; none changes whose state is the wanted one.
    pub(super) fn set_frozen(&mut self, is_frozen: bool) -> Result<u64, LibvirtError> {
        if !self.answers() {
            return Err(LibvirtError::refused_by_test("have an agent", LibvirtKind::NoAgent));
        }
        let count = if self.is_frozen == is_frozen { 0 } else { 2 };
        self.is_frozen = is_frozen;
        Ok(count)
    }
}
