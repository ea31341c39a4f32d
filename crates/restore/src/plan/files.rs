//! From a file of the descriptor to the members of the package.

use code::Code;
use convert::{
    Note,
    source::{File, ImageFormat},
};
use disk::{Declared, Format};
use ovf::{EntryName, Finding, descriptor::Compression};

use super::Href;
use crate::{Error, Facts, PackedImage, locate};

/// An image that was found, or that is to come.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) image: PackedImage,
    pub(super) href: Option<Href>,
    pub(super) findings: Vec<Finding>,
}

/// Finds the members that a file means, and those of the disks that it is a difference to; a note
/// says why they cannot be read.
///
/// A pipe has not shown its members yet: there the member is known when it passes, and missed at the
/// end.
pub(super) fn resolve(
    facts: &Facts,
    file: &File,
    parents: &[File],
    stated: Option<ImageFormat>,
) -> Result<Result<Found, Note>, Error> {
    let is_gzip = match is_gzip(file) {
        Ok(is_gzip) => is_gzip,
        Err(note) => return Ok(Err(note)),
    };
    if !facts.is_complete {
        if !parents.is_empty() {
            let text = format!("{} is a delta, and its parent may pass behind it", file.text());
            let note = Note::blocker(Code::E0402, text).hint("save the package to a file first");
            return Ok(Err(note));
        }
        if is_chunked(file) {
            let text = format!("{} is cut into chunks, which a pipe cannot join", file.text());
            let note = Note::blocker(Code::E0405, text).hint("save the package to a file first");
            return Ok(Err(note));
        }
        ovf::check_href(file.text())?;
        let text = file.text().to_owned();
        let href = Href { text, descriptor: facts.descriptor.name.clone() };
        let name = EntryName::parse(file.text())?;
        let declared = declared(stated, &name);
        let image = PackedImage { is_gzip, ..PackedImage::plain(name, declared) };
        return Ok(Ok(Found { image, href: Some(href), findings: Vec::new() }));
    }
    let (mut members, mut findings) = match members(facts, file) {
        Err(error) if error.code() == Code::E0104 => return Ok(Err(missing(&error))),
        other => other?,
    };
    let further = members.split_off(members.len().min(1));
    let name = match members.pop() {
        Some(name) => name,
        None => EntryName::parse(file.text())?,
    };
    let mut below = Vec::new();
    for parent in parents {
        let (members, noted) = match self::members(facts, parent) {
            Err(error) if error.code() == Code::E0104 => return Ok(Err(missing(&error))),
            other => other?,
        };
        below.extend(members.into_iter().take(1));
        findings.extend(noted);
    }
    let declared = declared(stated, &name);
    let plain = PackedImage::plain(name, declared);
    let image = PackedImage { further, is_gzip, parents: below, ..plain };
    Ok(Ok(Found { image, href: None, findings }))
}

/// A plan can be made without a file; what it cannot be is carried out.
fn missing(error: &Error) -> Note {
    let fix = error.fix_text().unwrap_or("put the file beside the descriptor");
    Note::blocker(error.code(), error.to_string()).hint(fix)
}

/// The members that hold a file, in order, and what had to be tolerated to find them.
fn members(facts: &Facts, file: &File) -> Result<(Vec<EntryName>, Vec<Finding>), Error> {
    let parts = locate(facts, file)
        .map_err(|error| error.detail("package", &facts.name).detail("file", file.text()))?;
    let mut names = Vec::new();
    let mut findings = Vec::new();
    for part in parts {
        names.push(part.name);
        findings.extend(part.finding);
    }
    Ok((names, findings))
}

/// Whether a file is cut into several chunks.
fn is_chunked(file: &File) -> bool {
    let File::Packed(file) = file else { return false };
    file.size_bytes.zip(file.chunk_bytes).is_some_and(|(size, chunk)| size > chunk)
}

/// Whether a file is gzip'd, or why it cannot be read whatever its bytes are.
fn is_gzip(file: &File) -> Result<bool, Note> {
    let File::Packed(file) = file else { return Ok(false) };
    match &file.compression {
        Compression::Identity => Ok(false),
        Compression::Gzip => Ok(true),
        other => {
            let text = format!("{} is stored as {other:?}, which is not known", file.href);
            Err(Note::blocker(Code::E0303, text))
        }
    }
}

/// What is known of an image's format before it is opened: what the descriptor states, else what
/// the name says of a raw image.
fn declared(stated: Option<ImageFormat>, name: &EntryName) -> Declared {
    match stated {
        Some(ImageFormat::Vmdk) => Declared::Claimed(Format::Vmdk),
        Some(ImageFormat::Vhd) => Declared::Claimed(Format::Vhd),
        Some(ImageFormat::Vhdx) => Declared::Claimed(Format::Vhdx),
        Some(ImageFormat::Vdi) => Declared::Claimed(Format::Vdi),
        Some(ImageFormat::Qcow2) => Declared::Claimed(Format::Qcow2),
        Some(ImageFormat::Raw) => Declared::Claimed(Format::Raw),
        _ if is_raw_by_name(name) => Declared::Claimed(Format::Raw),
        _ => Declared::Unknown,
    }
}

/// Whether the name says raw, with or without an ending for gzip.
fn is_raw_by_name(name: &EntryName) -> bool {
    let unpacked = EntryName::parse(name.stem()).ok().filter(|_| name.has_extension("gz"));
    let name = unpacked.as_ref().unwrap_or(name);
    ["raw", "img", "iso"].iter().any(|ending| name.has_extension(ending))
}
