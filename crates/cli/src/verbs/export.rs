//! `export`: the machine of a folder becomes an OVA or an OVF folder.

use std::path::Path;

use convert::{Action, Reader};
use ovf::manifest::Algorithm;
use restore::export::{Export, ExportChoices, Exported, Package};
use serde::Serialize;
use vm::ByteSize;

use super::plan::{
    document::{self, RowData},
    table,
};
use crate::{
    args::{CompatChoice, ExportArgs, ShaChoice},
    choices,
    events::Event,
    failure::{Failure, Result},
    json::Message,
    progress::Gauge,
    report::Report,
    session::Session,
    show::{clean, quoted, table::Table},
};

#[derive(Debug, Serialize)]
struct Data {
    name: String,
    compat: &'static str,
    output: String,
    members: Vec<MemberData>,
    rows: Vec<RowData>,
}

#[derive(Debug, Serialize)]
struct MemberData {
    name: String,
    file_bytes: u64,
    digest: Option<String>,
}

/// Exports a folder.
pub(super) fn run(args: &ExportArgs, session: &Session, gauge: &Gauge<'_>) -> Result<Report> {
    let package = package(&args.out)?;
    let choices = ExportChoices {
        reader: reader(args.compat),
        digest: algorithm(args.sha),
        level: args.compress_level,
    };
    let host = session.host();
    let with = Export {
        host: &host,
        watch: gauge,
        workers: choices::workers(args.jobs),
        keep_partial: args.keep_partial,
    };
    let done = restore::export::export(&args.source, &package, &choices, &with)?;
    for path in &done.paths {
        let file_bytes = path.metadata().map_or(0, |found| found.len());
        session.events.send(&Event::Item { path: &path.display().to_string(), file_bytes });
    }
    let data = data(&done, args);
    let text = text(&done, args, session);
    let told = done
        .rows
        .iter()
        .flat_map(|row| row.notes.iter().map(move |note| Message::of_row(row, note)));
    Ok(Report::new(text, &data).told(told).warnings(done.findings.iter().map(Message::from)))
}

/// What `-o OUT` means.
fn package(out: &Path) -> Result<Package> {
    let name = out.as_os_str().to_string_lossy();
    if out.is_dir() || name.ends_with('/') {
        return Ok(Package::Folder(out.to_owned()));
    }
    if out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("ova")) {
        return Ok(Package::Ova(out.to_owned()));
    }
    Err(Failure::usage(format!("-o {name} is neither an OVA nor a folder"))
        .tip(format!("name it {name}.ova, or {name}/ for the files side by side")))
}

const fn reader(choice: CompatChoice) -> Reader {
    match choice {
        CompatChoice::Vmware => Reader::Vmware,
        CompatChoice::Virtualbox => Reader::VirtualBox,
        CompatChoice::Generic => Reader::Generic,
    }
}

const fn algorithm(choice: ShaChoice) -> Algorithm {
    match choice {
        ShaChoice::Sha1 => Algorithm::Sha1,
        ShaChoice::Sha256 => Algorithm::Sha256,
        ShaChoice::Sha512 => Algorithm::Sha512,
    }
}

fn data(done: &Exported, args: &ExportArgs) -> Data {
    Data {
        name: done.name.clone(),
        compat: match args.compat {
            CompatChoice::Vmware => "vmware",
            CompatChoice::Virtualbox => "virtualbox",
            CompatChoice::Generic => "generic",
        },
        output: args.out.display().to_string(),
        members: done
            .members
            .iter()
            .map(|member| MemberData {
                name: member.name.to_string(),
                file_bytes: member.length_bytes,
                digest: member
                    .digest
                    .as_ref()
                    .map(|digest| format!("{}:{digest}", digest.algorithm().as_str())),
            })
            .collect(),
        rows: document::rows(&done.rows),
    }
}

fn text(done: &Exported, args: &ExportArgs, session: &Session) -> String {
    let shown = args.out.display().to_string();
    let mut lines = vec![format!("Exported {} to {}", clean(&done.name), clean(&shown))];
    lines.push(String::new());
    let changes =
        done.rows.iter().filter(|row| row.action != Action::Kept || !row.notes.is_empty());
    let changes: Vec<_> = changes.cloned().collect();
    if !changes.is_empty() {
        lines.extend(table::rows(&changes, "IN THE OVF", session.show.width()));
        lines.push(String::new());
    }
    let mut members = Table::new(&[1]);
    for member in &done.members {
        members.row([member.name.as_str(), &ByteSize(member.length_bytes).to_string()]);
    }
    lines.extend(members.lines(2, None));
    lines.push(String::new());
    lines.push(format!("Next:  relift verify {}", quoted(&shown)));
    lines.join("\n") + "\n"
}
