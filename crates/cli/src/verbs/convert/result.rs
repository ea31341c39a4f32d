//! `relift.result.json`: what a run made of what; the last file that it writes.

use std::path::{Path, PathBuf};

use convert::Licences;
use restore::{
    Outcome, Output, Plan,
    plan::{Licence, Replacing},
};
use serde::{Deserialize, Serialize};

use crate::{
    json::{self, Message, SignerData},
    verbs::plan::{
        document::{self, RowData, SourceData},
        package::{self, StartupData},
    },
};

/// The name of the schema.
const SCHEMA: &str = "relift.result/1";

#[derive(Debug, Serialize)]
pub(super) struct Data {
    schema: &'static str,
    source: SourceData,
    configuration: Option<String>,
    startup: Vec<StartupData>,
    manifest_matches: bool,
    signature: &'static str,
    signer: Option<SignerData>,
    machines: Vec<MachineData>,
    outputs: Vec<OutputData>,
    domains: Vec<String>,
    findings: Vec<Message>,
}

#[derive(Debug, Serialize)]
struct MachineData {
    id: String,
    name: String,
    uuid: Option<String>,
    licences: Vec<LicenceData>,
    rows: Vec<RowData>,
    /// The files of the machine that it has replaced, where they are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept_before: Vec<String>,
}

/// A licence of the package, and whether the user accepted it.
#[derive(Debug, Serialize)]
struct LicenceData {
    sha256: String,
    accepted: bool,
}

#[derive(Debug, Serialize)]
struct OutputData {
    machine: String,
    path: String,
    member: Option<String>,
    member_digest: Option<String>,
    capacity_bytes: u64,
    data_bytes: u64,
    file_bytes: u64,
}

/// What of a result file is read back: which files a run wrote.
#[derive(Debug, Deserialize)]
pub(super) struct Written {
    schema: String,
    outputs: Vec<WrittenOutput>,
    domains: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct WrittenOutput {
    path: String,
    #[serde(default)]
    file_bytes: u64,
}

impl Written {
    /// Whether the file is ours.
    pub(super) fn is_ours(&self) -> bool {
        self.schema == SCHEMA
    }

    /// The names of the files, relative to the folder.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.named().map(|(name, _)| name)
    }

    /// The names of the files with the length of each image.
    pub(super) fn named(&self) -> impl Iterator<Item = (&str, Option<u64>)> {
        let outputs =
            self.outputs.iter().map(|output| (output.path.as_str(), Some(output.file_bytes)));
        outputs.chain(self.domains.iter().map(|name| (name.as_str(), None)))
    }
}

/// The result file, laid out for people as well.
pub(super) fn render(plan: &Plan, done: &Outcome) -> Vec<u8> {
    let text =
        serde_json::to_string_pretty(&of(plan, done)).expect("our own types have a JSON form");
    let mut bytes = json::harmless(text).into_bytes();
    bytes.push(b'\n');
    bytes
}

fn licence(licence: &Licence) -> LicenceData {
    LicenceData { sha256: licence.sha256.clone(), accepted: licence.answer == Licences::Accepted }
}

/// The result of a run. Paths are relative to the folder, which can then be moved.
pub(super) fn of(plan: &Plan, done: &Outcome) -> Data {
    let relative =
        |path: &Path| path.strip_prefix(&plan.target).unwrap_or(path).display().to_string();
    let output = |output: &Output| OutputData {
        machine: output.machine.clone(),
        path: relative(&output.path),
        member: output.member.as_ref().map(ToString::to_string),
        member_digest: output
            .member_digest
            .as_ref()
            .map(|digest| format!("{}:{digest}", digest.algorithm().as_str())),
        capacity_bytes: output.capacity_bytes,
        data_bytes: output.data_bytes,
        file_bytes: output.file_bytes,
    };
    let shown = |path: PathBuf| path.display().to_string();
    let machines = plan.machines.iter().map(|machine| MachineData {
        id: machine.id.clone(),
        name: machine.machine.name.clone(),
        uuid: machine.machine.uuid.map(|uuid| uuid.to_string()),
        licences: machine.licences.iter().map(licence).collect(),
        rows: document::rows(&machine.rows),
        kept_before: machine.replacing.iter().flat_map(Replacing::kept).map(shown).collect(),
    });
    Data {
        schema: SCHEMA,
        source: document::source(plan, done.source_digest.as_deref()),
        configuration: plan.configuration.clone(),
        startup: package::startup(plan),
        manifest_matches: done.manifest_matches,
        signature: done.signature.as_str(),
        signer: SignerData::of(&done.signature),
        machines: machines.collect(),
        outputs: done.outputs.iter().map(output).collect(),
        domains: done.domains.iter().map(|path| relative(path)).collect(),
        findings: plan.findings.iter().chain(&done.findings).map(Message::from).collect(),
    }
}
