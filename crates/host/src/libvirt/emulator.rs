//! Which devices a QEMU has: what libvirt's capabilities do not list.

use std::{collections::BTreeSet, ffi::OsStr, path::Path, time::Duration};

use crate::program::{Call, call};

/// How long QEMU may take to list its devices.
const LIST_LIMIT: Duration = Duration::from_secs(10);

/// The most devices that are kept (ours; QEMU 7.2 for x86 has 400).
const MAX_DEVICES: usize = 10_000;

/// Asks a QEMU of this machine for its devices; `None` where it gives no list.
pub(super) fn devices(emulator: &Path) -> Option<BTreeSet<String>> {
    let words = ["-device", "help"].map(OsStr::new);
    let program = emulator.as_os_str();
    let said = call(&Call { program, words: &words, input: b"", limit: LIST_LIMIT }).ok()?;
    let devices = read(&String::from_utf8_lossy(&said.out));
    (said.status.success() && !devices.is_empty()).then_some(devices)
}

/// The names of the lines `name "pvscsi", bus PCI, …`.
pub(super) fn read(text: &str) -> BTreeSet<String> {
    let names = text.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("name \"")?.split_once('"')?;
        Some(name.to_owned())
    });
    names.take(MAX_DEVICES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_names_of_devices_and_nothing_else() {
        let text = "Storage devices:\n\
                    name \"ich9-ahci\", bus PCI, alias \"ahci\"\n\
                    name \"nvdimm\", desc \"DIMM memory module\"\n\
                    name \"cut\n\
                    \n\
                    Uncategorized devices:\n";
        assert_eq!(Vec::from_iter(read(text)), ["ich9-ahci", "nvdimm"]);
    }

    #[test]
    fn a_program_that_is_no_qemu_has_no_list() {
        assert_eq!(devices(Path::new("/bin/true")), None);
        assert_eq!(devices(Path::new("/bin/false")), None);
        assert_eq!(devices(Path::new("/nonexistent/qemu")), None);
    }
}
