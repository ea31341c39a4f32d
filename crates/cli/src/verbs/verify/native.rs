//! A backup, in the words in which other packages are verified; `backup verify` tells the bytes.

use bundle::{Bundle, Fault};
use restore::{Level, SignaturePolicy, Verdict};

use super::{Data, FileData, text};
use crate::{
    args::VerifyArgs,
    choices,
    failure::{Failure, Result},
    json::Message,
    progress::Gauge,
    report::Report,
    session::Session,
    verbs::backup,
};

/// Checks a backup; what is not as it should be is exit 5.
pub(super) fn run(
    args: &VerifyArgs,
    level: Level,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    if choices::papers(&args.signature)?.signature == SignaturePolicy::Require {
        return Err(Failure::usage("a backup has no signature that --signature could require"));
    }
    let (of_bundle, word) = match level {
        Level::Quick => (bundle::Level::Quick, "quick"),
        Level::Digests => (bundle::Level::Digests, "digests"),
        Level::Deep => (bundle::Level::Deep, "deep"),
    };
    let (bundle, found) = backup::verify::verify(&args.source, of_bundle, gauge)?;
    let data = Data {
        kind: "bundle",
        level: word,
        manifest: found.has_manifest.then_some("blake3"),
        signature: "unsigned",
        signer: None,
        files: files(&bundle, &found),
    };
    let findings = bundle.findings().iter().map(Message::from);
    Ok(Report::new(text(&data, session.show.width()), &data)
        .warnings(findings)
        .failed(backup::verify::failure(&args.source, &found.faults)))
}

/// A row a member, and one a fault that is about none.
fn files(bundle: &Bundle, found: &bundle::Report) -> Vec<FileData> {
    let fault_of =
        |name: &str| found.faults.iter().find(|fault| fault.member.as_deref() == Some(name));
    let members = found.members.iter().map(|(member, verdict)| {
        let name = member.name.to_string();
        let (word, detail) = match verdict {
            bundle::Verdict::Same => (Verdict::Ok, "blake3 as listed".to_owned()),
            bundle::Verdict::Read => (Verdict::Ok, "read, no digest is listed".to_owned()),
            bundle::Verdict::There => (Verdict::Listed, "not read".to_owned()),
            bundle::Verdict::Damaged => (Verdict::Damaged, said(fault_of(&name))),
        };
        FileData { name, verdict: word.as_str(), detail }
    });
    let others = found.faults.iter().filter_map(|fault| {
        let (name, verdict) = match fault.member.as_deref() {
            Some(name) if bundle.member(name).is_some() => return None,
            Some(name) => (name, Verdict::Missing),
            None => ("the archive", Verdict::Damaged),
        };
        let detail = said(Some(fault));
        Some(FileData { name: name.to_owned(), verdict: verdict.as_str(), detail })
    });
    members.chain(others).collect()
}

fn said(fault: Option<&Fault>) -> String {
    fault.map(|fault| fault.message.clone()).unwrap_or_default()
}
