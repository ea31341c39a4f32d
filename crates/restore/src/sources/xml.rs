//! A libvirt domain XML alone: hardware, and no disk.

use std::{fs::File, io::Read as _, path::Path, sync::Arc};

use code::Code;
use disk::ReadAt;
use ovf::{EntryName, Signature};

use crate::{
    Description, Error, Facts, Native, Source, SourceKind,
    source::{Take, Text},
};

/// The longest definition that is read (ours; libvirt's own are some ten thousand bytes).
const MAX_BYTES: u64 = 16 << 20;

/// What stands before the root of a document.
const BEFORE_ROOT: [(&[u8], &[u8]); 2] = [(b"<?", b"?>"), (b"<!--", b"-->")];

/// A libvirt domain XML.
pub(super) struct DomainFile {
    facts: Facts,
}

/// Whether a text has the root `domain`, behind its declaration and comments.
pub(super) fn is_one(head: &[u8]) -> bool {
    let mut rest = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    while let Some((_, end)) = BEFORE_ROOT.iter().find(|(start, _)| rest.starts_with(start)) {
        let Some(at) = rest.windows(end.len()).position(|window| window == *end) else {
            return false;
        };
        rest = rest.get(at + end.len()..).unwrap_or_default().trim_ascii_start();
    }
    rest.strip_prefix(b"<domain")
        .and_then(<[u8]>::first)
        .is_some_and(|next| !next.is_ascii_alphanumeric())
}

impl DomainFile {
    pub(super) fn open(path: &Path, file: &File) -> Result<Self, Error> {
        let shown = path.display().to_string();
        let mut text = String::new();
        let read = file.take(MAX_BYTES + 1).read_to_string(&mut text);
        read.map_err(|source| Error::io(format!("cannot read {shown}"), source))?;
        if text.len() as u64 > MAX_BYTES {
            let text = format!("{shown} has more than {MAX_BYTES} bytes");
            return Err(Error::new(Code::E0106, text));
        }
        let bytes = text.clone().into_bytes();
        let native = Native::parse(text).map_err(|error| error.detail("package", &shown))?;
        let base = path.file_name().unwrap_or_default().to_string_lossy();
        let name = EntryName::parse(&base).or_else(|_| EntryName::parse("domain.xml"))?;
        let facts = Facts {
            kind: SourceKind::DomainXml,
            name: shown,
            folder: path.parent().map(Path::to_owned),
            package_bytes: Some(bytes.len() as u64),
            descriptor: Text { name, bytes },
            description: Description::Native(Box::new(native)),
            manifest: None,
            certificate: None,
            signature: Signature::default(),
            bundles: Vec::new(),
            members: Vec::new(),
            is_complete: true,
            findings: Vec::new(),
        };
        Ok(Self { facts })
    }
}

impl Source for DomainFile {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn bytes(&self, _name: &EntryName) -> Result<Option<Arc<dyn ReadAt>>, Error> {
        Ok(None)
    }

    fn deliver(
        &mut self,
        _wanted: &dyn Fn(&EntryName) -> bool,
        _take: &mut Take<'_>,
    ) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_tells_a_definition_from_other_documents() {
        for good in [
            "<domain type='kvm'>",
            "\u{feff}<?xml version='1.0'?>\n<!-- made by hand -->\n<domain>",
            "  <!-- a --> <!-- b --><domain\n",
        ] {
            assert!(is_one(good.as_bytes()), "{good}");
        }
        for bad in ["<domainsnapshot>", "<Envelope/>", "<!-- <domain> ", "", "domain"] {
            assert!(!is_one(bad.as_bytes()), "{bad}");
        }
    }
}
