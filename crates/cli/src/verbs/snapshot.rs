//! `snapshot …`: moments on a machine's own storage that it can be taken back to.

mod clone;
mod create;
mod delete;
mod list;
mod revert;
mod show;

use std::path::PathBuf;

use backup::snapshot::{Found, Records, Subject};
use bundle::LeftOut;
use code::Code;
use host::{
    dir::Dir,
    here,
    libvirt::{KnownMachine, Libvirt},
};
use serde::Serialize;

use crate::{
    args::SnapshotCommand,
    clock,
    failure::{Failure, Result},
    json::Message,
    progress::Gauge,
    report::Report,
    session::Session,
    show::clean,
    state,
};

/// Does what a command about snapshots says.
pub(super) fn run(
    command: &SnapshotCommand,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    match command {
        SnapshotCommand::Create(args) => create::run(args, session, gauge),
        SnapshotCommand::List(args) => list::run(args, session),
        SnapshotCommand::Tree(args) => list::draw(args, session),
        SnapshotCommand::Show(args) => show::run(args, session),
        SnapshotCommand::Revert(args) => revert::run(args, session, gauge),
        SnapshotCommand::Delete(args) => delete::run(args, session, gauge),
        SnapshotCommand::Clone(args) => clone::run(args, session, gauge),
    }
}

/// A machine of the host, and what is known of its snapshots.
struct Machine {
    host: Libvirt,
    files: Dir,
    known: KnownMachine,
    records: Records,
    /// The images of the other machines.
    foreign: Vec<PathBuf>,
}

impl Machine {
    /// Finds the machine that somebody means, by its name or UUID.
    fn find(name: &str, session: &Session) -> Result<Self> {
        let uri = &session.hypervisor.uri;
        let host = Libvirt::connect(uri)?;
        if !host.is_local() {
            let text = format!("{uri} is another computer: the images of its machines are there");
            return Err(Failure::usage(text).tip("run relift on that computer"));
        }
        let (own, others): (Vec<_>, Vec<_>) = host
            .machines()?
            .into_iter()
            .partition(|one| one.name == name || one.uuid.to_string() == name);
        let Some(known) = own.into_iter().next() else {
            let names: Vec<_> = others.iter().map(|one| clean(&one.name)).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let text = format!("{uri} has no machine '{}'", clean(name));
            return Err(Failure::new(Code::E0505, text).cause(format!("its machines: {names}")));
        };
        let records = Records::of(state::of_environment().folder(), known.uuid);
        let foreign = others.into_iter().flat_map(|one| one.disks).collect();
        Ok(Self { host, files: Dir::new(here::name()), known, records, foreign })
    }

    fn subject(&self) -> Subject<'_, Libvirt> {
        Subject {
            host: &self.host,
            files: &self.files,
            machine: self.known.uuid,
            name: &self.known.name,
            records: &self.records,
            foreign: &self.foreign,
        }
    }
}

/// A snapshot as documents show it.
#[derive(Debug, Serialize)]
struct SnapshotData {
    name: String,
    description: Option<String>,
    parent: Option<String>,
    created: String,
    state: Option<&'static str>,
    internal: bool,
    current: bool,
    phase: &'static str,
    error: Option<String>,
    indications: Vec<&'static str>,
    size_bytes: Option<u64>,
    disks: Vec<DiskData>,
    memory: Option<String>,
    left_out: Vec<LeftOutData>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DiskData {
    target: String,
    image: String,
    format: String,
}

#[derive(Debug, Serialize)]
struct LeftOutData {
    target: String,
    reason: String,
}

impl SnapshotData {
    fn of(found: &Found) -> Self {
        let disk = |(target, (image, format)): (&String, &(PathBuf, String))| DiskData {
            target: target.clone(),
            image: image.display().to_string(),
            format: format.clone(),
        };
        Self {
            name: found.name.clone(),
            description: found.description.clone(),
            parent: found.parent.clone(),
            created: clock::told(found.unix_seconds),
            state: found.content.map(backup::snapshot::Content::as_str),
            internal: found.is_internal,
            current: found.is_current,
            phase: found.record.phase.as_str(),
            error: found.record.error.clone(),
            indications: found.record.indications.iter().map(|it| it.as_str()).collect(),
            size_bytes: found.size_bytes,
            disks: found.images.iter().map(disk).collect(),
            memory: found.memory.as_ref().map(|file| file.display().to_string()),
            left_out: left_out(&found.record.left_out),
            notes: found.notes(),
        }
    }

    /// The state as people read it.
    fn shown_state(&self) -> &'static str {
        match self.state {
            None => "—",
            Some("disk_only") => "disk-only",
            Some(other) => other,
        }
    }
}

fn left_out(disks: &[LeftOut]) -> Vec<LeftOutData> {
    let one =
        |disk: &LeftOut| LeftOutData { target: disk.target.clone(), reason: disk.reason.clone() };
    disks.iter().map(one).collect()
}

/// What people should know of how quiet a guest was.
fn restless(notes: &[String]) -> Vec<Message> {
    notes.iter().map(|note| Message::new(Code::W0611, note)).collect()
}
