//! The file with the firmware's variables.
//!
//! The setting `nvram` names it as `ovf:/file/ID`, by its bare name, emptily, or wrongly; some packages
//! have a `*.nvram` that nothing names. None of that keeps a machine from being built.

use ovf::{
    Envelope,
    descriptor::{File as DescribedFile, Hardware},
    selection::PackageFile,
};

use crate::source::{File, Nvram};

/// The ending of such a file.
const ENDING: &str = ".nvram";

/// What a descriptor says of it, with the file where one can be found.
///
/// A file that nothing names belongs to the one machine of a package; of several nobody can tell.
pub(super) fn read(envelope: &Envelope, hardware: &Hardware) -> Option<Nvram> {
    let stated = hardware.setting("nvram").map(str::trim).filter(|text| !text.is_empty());
    match stated {
        Some(text) => Some(Nvram { text: text.to_owned(), file: named(envelope, text) }),
        None if envelope.systems.len() == 1 => {
            let is_one = |file: &&DescribedFile| {
                file.href.as_ref().is_some_and(|href| href.to_ascii_lowercase().ends_with(ENDING))
            };
            let mut loose = envelope.files.iter().filter(is_one);
            let file = packed(loose.next()?);
            let text = file.as_ref()?.text().to_owned();
            loose.next().is_none().then_some(Nvram { text, file })
        }
        None => None,
    }
}

/// The file of a reference such as `ovf:/file/ID`, else the one of that name.
fn named(envelope: &Envelope, text: &str) -> Option<File> {
    let heads = ["ovf:/file/", "ovf://file/", "ovf:file/", "/file/", "file/"];
    let id = heads.iter().find_map(|head| text.strip_prefix(head));
    let is_meant = |file: &&DescribedFile| match id {
        Some(id) => file.id == id,
        None => file.href.as_deref() == Some(text) || file.id == text,
    };
    packed(envelope.files.iter().find(is_meant)?)
}

fn packed(file: &DescribedFile) -> Option<File> {
    Some(File::Packed(PackageFile {
        id: file.id.clone(),
        href: file.href.clone()?,
        size_bytes: file.size_bytes,
        chunk_bytes: file.chunk_bytes,
        compression: file.compression.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[&str], setting: Option<&str>) -> Option<(String, Option<String>)> {
        let descriptor = testkit::Descriptor::new("vm", "otherGuest");
        let descriptor = files.iter().fold(descriptor, |d, file| d.file(file));
        let descriptor = match setting {
            Some(value) => descriptor.setting("nvram", value),
            None => descriptor,
        };
        let envelope = Envelope::parse(descriptor.xml().as_bytes()).unwrap();
        let nvram = read(&envelope, &envelope.systems[0].hardware)?;
        Some((nvram.text, nvram.file.map(|file| file.text().to_owned())))
    }

    #[test]
    fn finds_the_file_that_the_setting_means() {
        let a = || Some("a.nvram".to_owned());
        for (files, setting, want) in [
            (&["a.nvram"][..], Some("ovf:/file/a.nvram"), Some(("ovf:/file/a.nvram", a()))),
            (&["a.nvram"], Some("a.nvram"), Some(("a.nvram", a()))),
            (&["a.nvram"], Some("ovf:/file/gone"), Some(("ovf:/file/gone", None))),
            (&[], Some("vm.nvram"), Some(("vm.nvram", None))),
            (&[], Some(" "), None),
            (&["a.nvram"], Some(""), Some(("a.nvram", a()))),
            (&["a.nvram"], None, Some(("a.nvram", a()))),
            (&["a.nvram", "b.NVRAM"], None, None),
            (&["a.vmdk"], None, None),
        ] {
            let want = want.map(|(text, file)| (text.to_owned(), file));
            assert_eq!(found(files, setting), want, "{files:?} {setting:?}");
        }
    }
}
