//! From a file of the descriptor to a member of the package.

use code::Code;
use convert::Note;
use disk::{Declared, Format};
use ovf::{
    EntryName, Finding,
    descriptor::{Compression, ImageFormat},
    selection::PackageFile,
};

use super::Href;
use crate::{Error, Facts};

/// A member that was found, or that is to come.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: EntryName,
    pub(super) href: Option<Href>,
    pub(super) finding: Option<Finding>,
}

/// Finds the member that a file means.
///
/// A pipe has not shown its members yet: there the member is known when it passes, and missed at the
/// end.
pub(super) fn resolve(facts: &Facts, file: &PackageFile) -> Result<Found, Error> {
    if !facts.is_complete {
        ovf::check_href(&file.href)?;
        let href = Href { text: file.href.clone(), descriptor: facts.descriptor.name.clone() };
        let name = EntryName::parse(&file.href)?;
        return Ok(Found { name, href: Some(href), finding: None });
    }
    let names = facts.names();
    match ovf::resolve_href(&file.href, &facts.descriptor.name, &names) {
        Ok(resolved) => {
            Ok(Found { name: resolved.name.clone(), href: None, finding: resolved.finding })
        }
        Err(error) => {
            Err(Error::from(error).detail("package", &facts.name).detail("file", &file.href))
        }
    }
}

/// Why a file cannot be converted whatever its bytes are.
pub(super) fn refusal(file: &PackageFile, has_parent: bool) -> Option<Note> {
    if has_parent {
        let text = "the disk is a delta: its parent must be merged with it";
        return Some(
            Note::blocker(Code::E0402, text)
                .hint("consolidate the snapshots of the machine and export it again"),
        );
    }
    match &file.compression {
        Compression::Identity => None,
        Compression::Gzip => Some(
            Note::blocker(
                Code::E0405,
                format!("{} is a gzip'd disk, which is not read yet", file.href),
            )
            .hint("unpack it with gunzip beside the .ovf and take the compression attribute out"),
        ),
        other => {
            let text = format!("{} is stored as {other:?}, which is not known", file.href);
            Some(Note::blocker(Code::E0303, text))
        }
    }
}

/// What is known of an image's format before it is opened: what the descriptor states, else what
/// the name says of a raw image.
pub(super) fn declared(stated: Option<ImageFormat>, name: &EntryName) -> Declared {
    match stated {
        Some(ImageFormat::Vmdk) => Declared::Claimed(Format::Vmdk),
        Some(ImageFormat::Vhd) => Declared::Claimed(Format::Vhd),
        Some(ImageFormat::Vhdx) => Declared::Claimed(Format::Vhdx),
        Some(ImageFormat::Vdi) => Declared::Claimed(Format::Vdi),
        Some(ImageFormat::Qcow2) => Declared::Claimed(Format::Qcow2),
        Some(ImageFormat::Raw) => Declared::Claimed(Format::Raw),
        _ if ["raw", "img", "iso"].iter().any(|ending| name.has_extension(ending)) => {
            Declared::Claimed(Format::Raw)
        }
        _ => Declared::Unknown,
    }
}
