//! `backup verify`: whether bundles are what they were when they were written.

use std::path::Path;

use bundle::{Bundle, Fault, Level, Report as Found};
use code::ExitStatus;
use serde::Serialize;

use super::form_name;
use crate::{
    args::{BackupVerifyArgs, BackupVerifyLevel},
    clock,
    failure::{Failure, Result},
    json::Message,
    progress::Gauge,
    report::Report,
    session::Session,
    show::table::Table,
    state,
};

#[derive(Debug, Serialize)]
struct Data {
    level: &'static str,
    files: Vec<FileData>,
}

#[derive(Debug, Serialize)]
struct FileData {
    path: String,
    form: Option<&'static str>,
    manifest: Option<bool>,
    members: Vec<MemberData>,
    faults: Vec<FaultData>,
}

#[derive(Debug, Serialize)]
struct MemberData {
    name: String,
    kind: &'static str,
    verdict: &'static str,
}

#[derive(Debug, Serialize)]
struct FaultData {
    code: &'static str,
    member: Option<String>,
    offset_bytes: Option<u64>,
    message: String,
}

/// Verifies each bundle; what is damaged in any of them is exit 5.
pub(in crate::verbs) fn run(
    args: &BackupVerifyArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    let level = match args.level {
        BackupVerifyLevel::Quick => Level::Quick,
        BackupVerifyLevel::Deep => Level::Deep,
    };
    let (mut files, mut failures, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for path in args.files.iter().map(|file| super::shelf::file(file)) {
        let path = path.as_path();
        match verify(path, level, gauge) {
            Ok((bundle, found)) => {
                remember(path, &bundle, &found, args.level, session);
                warnings.extend(super::warnings(&bundle, path));
                failures.extend(failure(path, &found.faults));
                files.push(file_data(path, Some((&bundle, &found)), &found.faults));
            }
            // A bundle that cannot be opened does not keep the others from being looked at.
            Err(failure) if failure.code.is_some() => {
                failures.push(failure);
                files.push(file_data(path, None, &[]));
            }
            Err(failure) => return Err(failure),
        }
    }
    let level = match level {
        Level::Quick => "quick",
        Level::Digests => "digests",
        Level::Deep => "deep",
    };
    let data = Data { level, files };
    let text = text(&data, session.show.width());
    Ok(Report::new(text, &data).warnings(warnings).failed(joined(failures)))
}

/// Writes down what was found, for lists and for what is pruned by them. A state that cannot be written
/// changes nothing about the result.
fn remember(
    path: &Path,
    bundle: &Bundle,
    found: &Found,
    level: BackupVerifyLevel,
    session: &Session,
) {
    let Ok(manifest) = bundle.manifest() else { return };
    let verified = backup::Verified {
        t: clock::now(),
        path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        digest: backup::digest(bundle, manifest.as_ref()),
        level: match level {
            BackupVerifyLevel::Quick => backup::Depth::Quick,
            BackupVerifyLevel::Deep => backup::Depth::Deep,
        },
        sound: found.faults.is_empty(),
    };
    if let Err(error) = state::of_environment().note_verified(&verified) {
        session.detail(&format!("what was found is not remembered: {error}"));
    }
}

/// What is wrong with a bundle, by every byte of it.
pub(in crate::verbs) fn digests(path: &Path, gauge: &Gauge<'_>) -> Result<Option<Box<Failure>>> {
    let (_, found) = verify(path, Level::Digests, gauge)?;
    Ok(failure(path, &found.faults))
}

pub(in crate::verbs) fn verify(
    path: &Path,
    level: Level,
    gauge: &Gauge<'_>,
) -> Result<(Bundle, Found)> {
    let cannot = |error: std::io::Error| super::unreadable(path, &error);
    let file = super::open_file(path).map_err(cannot)?;
    // Nobody deletes it meanwhile; who writes it now, this process perhaps, keeps others from that, too.
    let _is_pinned = bundle::pin(&file).is_ok();
    let bundle = super::of_file(file, path)?;
    let name = path.display().to_string();
    let total = (level != Level::Quick).then(|| bundle.archive_bytes());
    gauge.phase("verify", Some(&name), total);
    let found =
        bundle::verify(&bundle, level, gauge).map_err(|error| super::refused(error, path))?;
    Ok((bundle, found))
}

fn file_data(path: &Path, found: Option<(&Bundle, &Found)>, faults: &[Fault]) -> FileData {
    let members = found.iter().flat_map(|(_, found)| &found.members);
    FileData {
        path: path.display().to_string(),
        form: found.map(|(bundle, _)| form_name(bundle.form())),
        manifest: found.map(|(_, found)| found.has_manifest),
        members: members
            .map(|(member, verdict)| MemberData {
                name: member.name.to_string(),
                kind: member.role.as_str(),
                verdict: verdict.as_str(),
            })
            .collect(),
        faults: faults
            .iter()
            .map(|fault| FaultData {
                code: fault.code.as_str(),
                member: fault.member.clone(),
                offset_bytes: fault.offset_bytes,
                message: fault.message.clone(),
            })
            .collect(),
    }
}

/// The first fault of a bundle is its failure, the others are listed with it.
pub(in crate::verbs) fn failure(path: &Path, faults: &[Fault]) -> Option<Box<Failure>> {
    let (first, rest) = faults.split_first()?;
    let failure = Failure::new(first.code, sentence(first))
        .detail("bundle", path.display().to_string())
        .detail("faults", faults.len().to_string())
        .exit(ExitStatus::Integrity)
        .others(rest.iter().map(|fault| Message::new(fault.code, sentence(fault))).collect());
    Some(failure)
}

/// The member, what is wrong with it, and the byte.
fn sentence(fault: &Fault) -> String {
    let member = fault.member.as_ref().map(|member| format!("{member}: "));
    let at = fault.offset_bytes.map(|at| format!(", at byte {at}"));
    // The tables of a disk name their byte themselves.
    let at = at.filter(|at| !fault.message.ends_with(at.as_str()));
    format!("{}{}{}", member.unwrap_or_default(), fault.message, at.unwrap_or_default())
}

/// One failure for all bundles: that of the first, with the others beside it.
fn joined(failures: impl IntoIterator<Item = Box<Failure>>) -> Option<Box<Failure>> {
    let mut failures = failures.into_iter();
    let mut first = failures.next()?;
    for other in failures {
        first.others.push(Message::from(&*other));
        first.others.extend(other.others);
    }
    Some(first)
}

fn text(data: &Data, width: Option<usize>) -> String {
    let mut lines = Vec::new();
    for file in &data.files {
        let mut table = Table::new(&[]);
        for member in &file.members {
            table.row([member.verdict, member.kind, &member.name]);
        }
        lines.extend(table.lines(0, width));
        let name = crate::show::clean(&file.path);
        lines.push(match (file.manifest, file.faults.len()) {
            (None, _) => format!("{name}: cannot be read"),
            (Some(true), 0) => format!("{name}: sound, {} members", file.members.len()),
            (Some(false), 0) => {
                format!("{name}: readable, {} members, no digests to compare", file.members.len())
            }
            (_, 1) => format!("{name}: damaged, 1 fault"),
            (_, faults) => format!("{name}: damaged, {faults} faults"),
        });
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use code::Code;

    use super::*;

    #[test]
    fn a_fault_is_told_with_member_reason_and_byte() {
        let fault = |member: Option<&str>, offset_bytes, message: &str| Fault {
            code: Code::E0605,
            member: member.map(str::to_owned),
            offset_bytes,
            message: message.to_owned(),
        };
        let faults = [
            fault(Some("a.qcow2"), Some(7), "the digest differs"),
            fault(None, None, "no table"),
            fault(Some("b"), Some(9), "damaged, at byte 9"),
        ];
        let told: Vec<_> = faults.iter().map(sentence).collect();
        assert_eq!(
            told,
            ["a.qcow2: the digest differs, at byte 7", "no table", "b: damaged, at byte 9"]
        );
        let first = failure(Path::new("x.tar"), &faults).unwrap();
        assert_eq!((first.code, first.exit), (Some(Code::E0605), ExitStatus::Integrity));
        assert_eq!(first.others.len(), 2);
        let all = joined([first.clone(), first]).unwrap();
        assert_eq!(all.others.len(), 5);
        assert!(joined([]).is_none());
    }
}
