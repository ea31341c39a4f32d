//! `verify`: whether a package is what its manifest says.

mod native;

use code::{Code, ExitStatus};
use restore::{Checked, Level, Verdict};
use serde::Serialize;

use super::source::Need;
use crate::{
    args::{VerifyArgs, VerifyLevel},
    choices,
    failure::{Failure, Result},
    json::{Message, SignerData},
    progress::Gauge,
    report::Report,
    session::Session,
    show::table::Table,
};

#[derive(Debug, Serialize)]
struct Data {
    kind: &'static str,
    level: &'static str,
    manifest: Option<&'static str>,
    signature: &'static str,
    signer: Option<SignerData>,
    files: Vec<FileData>,
}

#[derive(Debug, Serialize)]
struct FileData {
    name: String,
    verdict: &'static str,
    detail: String,
}

/// Checks a package; a file that is not as it should be is exit 5.
pub(super) fn run(args: &VerifyArgs, session: &Session, gauge: &Gauge<'_>) -> Result<Report> {
    let level = match args.level {
        VerifyLevel::Quick => Level::Quick,
        VerifyLevel::Digests => Level::Digests,
        VerifyLevel::Deep => Level::Deep,
    };
    let policy = choices::papers(&args.signature)?;
    if super::backup::is_one(&args.source) {
        return native::run(args, level, session, gauge);
    }
    let need = if level == Level::Quick { Need::Headers } else { Need::Everything };
    let mut source = super::source::open(&args.source, need, &policy, session)?;
    gauge.phase("verify", None, None);
    let rows = restore::verify(&mut *source, level, gauge)?;
    let facts = source.facts();
    let strongest = facts.manifest.as_ref().and_then(|(_, manifest)| manifest.strongest());
    let data = Data {
        kind: facts.kind.as_str(),
        level: match level {
            Level::Quick => "quick",
            Level::Digests => "digests",
            Level::Deep => "deep",
        },
        manifest: strongest.map(ovf::manifest::Algorithm::as_str),
        signature: facts.signature.as_str(),
        signer: SignerData::of(&facts.signature),
        files: rows
            .iter()
            .map(|row| FileData {
                name: row.name.clone(),
                verdict: row.verdict.as_str(),
                detail: row.detail.clone(),
            })
            .collect(),
    };
    let text = text(&data, session.show.width());
    let findings: Vec<Message> = facts.findings.iter().map(Message::from).collect();
    // A manifest that nobody signed says nothing, so its signature is judged first.
    let failure = match restore::check_signature(facts, policy.signature) {
        Err(error) => Some(error.into()),
        Ok(()) => failure(&facts.name, &rows),
    };
    Ok(Report::new(text, &data).warnings(findings).failed(failure))
}

fn text(data: &Data, width: Option<usize>) -> String {
    let mut table = Table::new(&[]);
    for file in &data.files {
        table.row([file.verdict, &file.name, &file.detail]);
    }
    let mut lines = table.lines(0, width);
    let ok = data.files.iter().filter(|file| file.verdict == Verdict::Ok.as_str()).count();
    let manifest = match data.manifest {
        Some(algorithm) => format!("manifest {}", super::inspect::algorithm_name(algorithm)),
        None => "no manifest".to_owned(),
    };
    lines.push(format!("{ok} of {} files ok, {manifest}, {}", data.files.len(), data.signature));
    lines.join("\n") + "\n"
}

/// The first fault is the failure, the others are listed with it.
pub(super) fn failure(package: &str, rows: &[Checked]) -> Option<Box<Failure>> {
    let mut faults = rows.iter().filter(|row| row.verdict.is_fault()).map(|row| {
        let (code, text) = match row.verdict {
            Verdict::Missing => (Code::E0104, format!("{} is missing", row.name)),
            Verdict::Damaged => (Code::E0404, format!("{} is damaged", row.name)),
            _ => (Code::E0203, format!("checksum does not match for {}", row.name)),
        };
        (code, text, &row.detail)
    });
    let (code, text, detail) = faults.next()?;
    let others = faults.map(|(code, text, _)| Message::new(code, text)).collect();
    let failure = Failure::new(code, text)
        .detail("package", package)
        .detail("found", detail)
        .exit(ExitStatus::Integrity)
        .others(others);
    Some(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, verdict: Verdict) -> Checked {
        Checked { name: name.to_owned(), verdict, detail: "d".to_owned() }
    }

    #[test]
    fn every_fault_is_exit_5_and_has_its_code() {
        let rows = [
            row("a", Verdict::Ok),
            row("b", Verdict::Missing),
            row("c", Verdict::Mismatch),
            row("d", Verdict::Damaged),
            row("e", Verdict::Extra),
        ];
        let failure = failure("p.ova", &rows).unwrap();
        assert_eq!((failure.code, failure.exit), (Some(Code::E0104), ExitStatus::Integrity));
        assert_eq!(failure.message, "b is missing");
        let others: Vec<_> = failure.others.iter().filter_map(|other| other.code).collect();
        assert_eq!(others, ["E0203", "E0404"]);
        assert!(super::failure("p.ova", &rows[..1]).is_none());
    }

    #[test]
    fn prints_one_row_a_file() {
        let data = Data {
            kind: "ova",
            level: "digests",
            manifest: Some("sha256"),
            signature: "unsigned",
            signer: None,
            files: vec![
                FileData {
                    name: "a.ovf".to_owned(),
                    verdict: "ok",
                    detail: "sha256 01".to_owned(),
                },
                FileData { name: "b".to_owned(), verdict: "missing", detail: "x".to_owned() },
            ],
        };
        assert_eq!(
            text(&data, None),
            "ok        a.ovf   sha256 01
missing   b       x
1 of 2 files ok, manifest SHA-256, unsigned
"
        );
    }
}
