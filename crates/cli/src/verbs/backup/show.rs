//! `backup show`: what is in a bundle.

use std::collections::BTreeMap;

use bundle::{Bundle, Manifest, Node, Template};
use serde::Serialize;
use vm::ByteSize;

use super::{
    form_name,
    points::{self, PointData},
};
use crate::{
    args::BackupShowArgs, clock, failure::Result, report::Report, session::Session,
    show::table::Table,
};

#[derive(Debug, Serialize)]
struct Data {
    form: &'static str,
    file_bytes: u64,
    archive_bytes: u64,
    vm: VmData,
    config: String,
    /// Who says what follows: the manifest, or the headers of the images.
    origin: &'static str,
    tool: Option<String>,
    created: Option<String>,
    consistency: Option<String>,
    source: Option<SourceData>,
    members: Vec<MemberData>,
    snapshots: Vec<SnapshotData>,
    points: Vec<PointData>,
    incrementable: bool,
    protected: bool,
    /// Whether it restores as a template.
    template: bool,
    /// The disks of its own template, which it needs beside itself.
    stands_on: Vec<StandsOnData>,
    note: Option<String>,
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct VmData {
    name: String,
    uuid: Option<String>,
}

#[derive(Debug, Serialize)]
struct StandsOnData {
    member: String,
    path: String,
    template: String,
    uuid: Option<String>,
}

#[derive(Debug, Serialize)]
struct SourceData {
    kind: String,
    producer: Option<String>,
    descriptor_sha256: String,
}

#[derive(Debug, Serialize)]
struct MemberData {
    name: String,
    kind: &'static str,
    length_bytes: u64,
    capacity_bytes: Option<u64>,
    backing: Option<String>,
    deleted: bool,
}

#[derive(Debug, Serialize)]
struct SnapshotData {
    name: String,
    parent: Option<String>,
    created: String,
    nodes: Vec<String>,
    memory: Option<String>,
}

/// Shows a bundle; no disk is read for it.
pub(in crate::verbs) fn run(args: &BackupShowArgs, session: &Session) -> Result<Report> {
    let file = super::shelf::file(&args.file);
    let bundle = super::open(&file)?;
    let data = data(&bundle).map_err(|error| super::refused(error, &file))?;
    let text = text(&file.display().to_string(), &data, session.show.width());
    Ok(Report::new(text, &data).warnings(super::warnings(&bundle, &file)))
}

fn data(bundle: &Bundle) -> bundle::Result<Data> {
    let config = bundle.config()?;
    let manifest = bundle.manifest()?;
    let nodes = bundle.nodes()?;
    let known = manifest.as_ref();
    let source = known.and_then(|manifest| manifest.source_facts.as_ref());
    Ok(Data {
        form: form_name(bundle.form()),
        file_bytes: bundle.file_bytes(),
        archive_bytes: bundle.archive_bytes(),
        vm: VmData { name: config.name, uuid: config.uuid },
        config: config.member,
        origin: if known.is_some() { "manifest" } else { "derived" },
        tool: known.map(|manifest| manifest.tool.clone()),
        created: known.map(|manifest| clock::told(manifest.created_unix_seconds)),
        consistency: known.and_then(|manifest| manifest.consistency.clone()),
        source: source.map(|facts| SourceData {
            kind: facts.kind.clone(),
            producer: facts.producer.clone(),
            descriptor_sha256: facts.descriptor_sha256.clone(),
        }),
        members: members(bundle, known, &nodes),
        snapshots: snapshots(known),
        points: points::of(known.map_or(&[][..], |manifest| &manifest.points)),
        incrementable: known.is_some_and(|manifest| manifest.incrementable),
        protected: known.is_some_and(|manifest| manifest.protected),
        template: known.is_some_and(|manifest| manifest.is_template),
        stands_on: stands_on(known.and_then(|manifest| manifest.template.as_ref())),
        note: known.and_then(|manifest| manifest.note.clone()),
        tags: known.map(|manifest| manifest.tags.clone()).unwrap_or_default(),
    })
}

fn members(bundle: &Bundle, manifest: Option<&Manifest>, nodes: &[Node]) -> Vec<MemberData> {
    let of = |member: &bundle::Member| {
        let name = member.name.to_string();
        let node = nodes.iter().find(|node| node.member == name);
        MemberData {
            kind: member.role.as_str(),
            length_bytes: member.length_bytes,
            capacity_bytes: node.map(|node| node.capacity_bytes),
            backing: node.and_then(|node| node.backing.clone()),
            deleted: manifest.is_some_and(|manifest| manifest.deleted.contains(&name)),
            name,
        }
    };
    bundle.members().map(of).collect()
}

fn stands_on(template: Option<&Template>) -> Vec<StandsOnData> {
    let disks = template.into_iter().flat_map(|template| {
        template.disks.iter().map(move |disk| StandsOnData {
            member: disk.member.clone(),
            path: disk.path.clone(),
            template: template.name.clone(),
            uuid: template.uuid.clone(),
        })
    });
    disks.collect()
}

fn snapshots(manifest: Option<&Manifest>) -> Vec<SnapshotData> {
    let all = manifest.into_iter().flat_map(|manifest| &manifest.snapshots);
    all.map(|snapshot| SnapshotData {
        name: snapshot.name.clone(),
        parent: snapshot.parent.clone(),
        created: clock::told(snapshot.created_unix_seconds),
        nodes: snapshot.nodes.clone(),
        memory: snapshot.memory.clone(),
    })
    .collect()
}

fn text(name: &str, data: &Data, width: Option<usize>) -> String {
    let clean = crate::show::clean;
    let packed = match data.form {
        "tar" => format!("{} plain", ByteSize(data.file_bytes)),
        _ => format!("{} packed of {}", ByteSize(data.file_bytes), ByteSize(data.archive_bytes)),
    };
    let mut lines = vec![format!("{}: backup of {}, {packed}", clean(name), clean(&data.vm.name))];
    if let Some(source) = &data.source {
        let producer = source.producer.as_deref().unwrap_or("an unknown product");
        lines.push(format!("  made from an {} of {}", clean(&source.kind), clean(producer)));
    }
    if data.protected {
        lines.push("  protected".to_owned());
    }
    if data.template {
        lines.push("  a template: restored as one".to_owned());
    }
    lines.extend(data.stands_on.iter().map(|disk| {
        let (member, path, name) = (clean(&disk.member), clean(&disk.path), clean(&disk.template));
        format!("  {member} stands on {path} of {name}, which is not in it")
    }));
    lines.extend(data.note.as_ref().map(|note| format!("  note: {}", clean(note))));
    let tags = data.tags.iter().map(|(key, value)| format!("  {}: {}", clean(key), clean(value)));
    lines.extend(tags);
    lines.push(String::new());
    let mut table = Table::new(&[2]);
    table.row(["MEMBER", "KIND", "SIZE", "NOTE"]);
    for member in &data.members {
        let size = ByteSize(member.length_bytes).to_string();
        table.row([&member.name, member.kind, &size, &note(member, &data.config)]);
    }
    lines.extend(table.lines(2, width));
    lines.extend(points::lines(&data.points, width));
    if !data.snapshots.is_empty() {
        lines.push(String::new());
        let mut table = Table::new(&[]);
        table.row(["SNAPSHOT", "PARENT", "IMAGES", "MEMORY"]);
        for one in &data.snapshots {
            let parent = one.parent.as_deref().unwrap_or("-");
            let memory = one.memory.as_deref().unwrap_or("-");
            table.row([&one.name, parent, &one.nodes.join(", "), memory]);
        }
        lines.extend(table.lines(2, width));
    }
    if data.origin == "derived" {
        lines.push(String::new());
        lines.push("  no manifest: the chain is read from the images, there are no digests".into());
    }
    lines.join("\n") + "\n"
}

/// What the other columns do not say of a member.
fn note(member: &MemberData, config: &str) -> String {
    let mut notes = Vec::new();
    if let Some(capacity) = member.capacity_bytes {
        notes.push(format!("disk of {}", ByteSize(capacity)));
    }
    notes.extend(member.backing.as_ref().map(|backing| format!("on {backing}")));
    if member.name == config {
        notes.push("current".to_owned());
    }
    if member.deleted {
        notes.push("deleted".to_owned());
    }
    notes.join(", ")
}
