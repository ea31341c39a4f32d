//! `inspect`: what is in a package, from headers and the descriptor alone.

mod document;
mod image;
mod look;
mod native;
mod text;

use std::{fs::File, path::Path};

use disk::FileBytes;
use restore::{Level, SourceKind};

use super::source::Need;
use crate::{
    args::InspectArgs, choices, failure::Result, json::Message, progress::Gauge, report::Report,
    session::Session,
};
use look::Look;

/// Describes a package, or a single disk image.
pub(super) fn run(args: &InspectArgs, session: &Session, gauge: &Gauge<'_>) -> Result<Report> {
    if is_image(&args.source) {
        return image::run(&args.source);
    }
    let policy = choices::papers(&args.signature)?;
    let need = if args.check_digests { Need::Everything } else { Need::Headers };
    let mut source = super::source::open(&args.source, need, &policy, session)?;
    if let Some(native) = source.facts().description.native().filter(|_| !args.xml) {
        let closer = args.check_digests && source.facts().kind == SourceKind::Bundle;
        let failure = match closer {
            true => super::backup::verify::digests(&args.source, gauge)?,
            false => None,
        };
        return Ok(native::report(source.facts(), native, session, failure));
    }
    if args.xml {
        return Ok(Report::new(source.facts().descriptor.bytes.clone(), &()));
    }
    let checked = if args.check_digests {
        gauge.phase("verify", None, None);
        Some(restore::verify(&mut *source, Level::Digests, gauge)?)
    } else {
        super::source::pass(&mut *source)?;
        None
    };
    let look = Look::at(&*source)?;
    let data = document::of(&look);
    let view = text::View {
        look: &look,
        source: &args.source.display().to_string(),
        full: args.full,
        checked: checked.as_deref(),
        show: session.show,
    };
    let signature = restore::check_signature(look.facts, policy.signature).err();
    let failure = match (signature, &look.unusable) {
        (Some(error), _) => Some(error.into()),
        (None, Some(failure)) => Some(failure.clone()),
        (None, None) => {
            checked.as_deref().and_then(|rows| super::verify::failure(&look.facts.name, rows))
        }
    };
    Ok(Report::new(text::of(&view), &data).warnings(look.warnings.clone()).failed(failure))
}

/// Whether the file is a disk image and no package: its magic says so, or its name says raw.
fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "ova" | "ovf" | "vmx" => false,
        "raw" | "img" => path.is_file(),
        _ if !path.is_file() => false,
        _ => File::open(path)
            .and_then(FileBytes::new)
            .is_ok_and(|bytes| matches!(disk::detect(&bytes), Ok(Some(_)))),
    }
}

/// A digest algorithm as people write it.
pub(super) fn algorithm_name(algorithm: &str) -> String {
    algorithm.to_ascii_uppercase().replacen("SHA", "SHA-", 1)
}

/// What was tolerated, in the order in which it was found.
fn messages<'a>(findings: impl Iterator<Item = &'a ovf::Finding>) -> Vec<Message> {
    findings.map(Message::from).collect()
}
