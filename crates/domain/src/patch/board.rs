//! What executes the guest, and what its firmware is told.

use std::collections::BTreeSet;

use quick_xml::escape::escape;
use vm::{Accelerator, FwCfg};

use super::Editor;
use crate::{
    Error, check,
    document::{Element, Shown},
};

/// Modes of a processor that only the host's own one can have.
const OF_THE_HOST: [&str; 2] = ["host-model", "host-passthrough"];

/// What a `<cpu>` says of the host's processor, and nothing of how the guest's ones are grouped.
const MODEL_PARTS: [&str; 4] = ["model", "vendor", "feature", "maxphysaddr"];

/// The feature that guests of QEMU's emulator are better without, as in a document that is written.
const WITHOUT: &str = "<feature policy=\"disable\" name=\"la57\"/>";

/// Says by what the guest is executed; without KVM there is no processor of the host to pass on.
pub(super) fn execute_by(editor: &mut Editor<'_>, accelerator: Accelerator) {
    let root = editor.root();
    let name = match accelerator {
        Accelerator::Kvm => "kvm",
        Accelerator::Qemu => "qemu",
    };
    editor.set_attribute(root, "type", name);
    let is_of_host =
        |cpu: &&Element<'_>| cpu.value("mode").is_some_and(|mode| OF_THE_HOST.contains(&mode));
    let Some(cpu) = root.first("cpu").filter(is_of_host) else { return };
    if accelerator == Accelerator::Kvm {
        return;
    }
    editor.set_attribute(cpu, "mode", "maximum");
    for attribute in ["check", "match", "migratable"] {
        editor.remove_attribute(cpu, attribute);
    }
    for part in MODEL_PARTS.iter().flat_map(|part| cpu.all(part)) {
        editor.remove(part);
    }
    editor.prepend(cpu, WITHOUT);
}

/// Puts files into the firmware's configuration, in the place of those of the same names.
pub(super) fn tell_firmware(editor: &mut Editor<'_>, files: &[FwCfg]) -> Result<(), Error> {
    check::check_fw_cfg(files)?;
    if files.is_empty() {
        return Ok(());
    }
    let root = editor.root();
    let names: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let infos = root.all("sysinfo").filter(|info| info.value("type") == Some("fwcfg"));
    let infos: Vec<&Element<'_>> = infos.collect();
    for entry in infos.iter().flat_map(|info| info.all("entry")) {
        if entry.value("name").is_some_and(|name| names.contains(name)) {
            editor.remove(entry);
        }
    }
    let entries: String = files
        .iter()
        .map(|file| {
            let (name, path) = (escape(&file.name), file.file.to_string_lossy());
            format!("<entry name=\"{name}\" file=\"{}\"/>", escape(&*path))
        })
        .collect();
    match (infos.first(), root.first("name")) {
        (Some(info), _) => editor.prepend(info, &entries),
        (None, Some(name)) => {
            editor.append(name, format!("<sysinfo type=\"fwcfg\">{entries}</sysinfo>"));
        }
        (None, None) => {
            let first = files.first().map(|file| file.name.as_str()).unwrap_or_default();
            return Err(editor.missing(&format!("no name, and no place for {}", Shown(first))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Changes, patch};

    fn on(accelerator: Accelerator, text: &str) -> String {
        let changes = Changes { accelerator: Some(accelerator), ..Changes::default() };
        patch(text.as_bytes(), &changes).unwrap()
    }

    #[test]
    fn a_machine_without_kvm_has_no_processor_of_the_host() {
        for (cpu, want) in [
            (
                "<cpu mode='host-passthrough' check='none' migratable='on'/>",
                "<cpu mode=\"maximum\"><feature policy=\"disable\" name=\"la57\"/></cpu>",
            ),
            (
                "<cpu mode='host-model'><model>x</model><topology sockets='1'/><feature name='vmx'/></cpu>",
                "<cpu mode=\"maximum\"><feature policy=\"disable\" name=\"la57\"/><topology sockets='1'/></cpu>",
            ),
            (
                "<cpu mode='custom'><model>qemu64</model></cpu>",
                "<cpu mode='custom'><model>qemu64</model></cpu>",
            ),
            ("", ""),
        ] {
            let document =
                |kind: &str, cpu: &str| format!("<domain {kind}><name>n</name>{cpu}</domain>");
            let patched = on(Accelerator::Qemu, &document("type='kvm'", cpu));
            assert_eq!(patched, document("type=\"qemu\"", want));
        }
    }

    #[test]
    fn a_machine_with_kvm_keeps_its_processor() {
        let text = "<domain type='qemu'><name>n</name><cpu mode='host-model'/></domain>";
        let want = "<domain type=\"kvm\"><name>n</name><cpu mode='host-model'/></domain>";
        assert_eq!(on(Accelerator::Kvm, text), want);
    }

    #[test]
    fn a_file_of_the_firmware_takes_the_place_of_the_one_of_its_name() {
        let file = |name: &str, path: &str| FwCfg { name: name.to_owned(), file: path.into() };
        let changes = Changes { fw_cfg: vec![file("opt/a", "/new/a&b")], ..Changes::default() };
        let entry = "<entry name=\"opt/a\" file=\"/new/a&amp;b\"/>";
        for (sysinfo, want) in [
            ("", format!("<sysinfo type=\"fwcfg\">{entry}</sysinfo>")),
            ("<sysinfo type='fwcfg'/>", format!("<sysinfo type='fwcfg'>{entry}</sysinfo>")),
            (
                "<sysinfo type='fwcfg'><entry name='opt/a' file='/old'/><entry name='opt/b'>b</entry></sysinfo>",
                format!("<sysinfo type='fwcfg'>{entry}<entry name='opt/b'>b</entry></sysinfo>"),
            ),
        ] {
            let text = format!("<domain><name>n</name>{sysinfo}</domain>");
            let patched = patch(text.as_bytes(), &changes).unwrap();
            assert_eq!(patched, format!("<domain><name>n</name>{want}</domain>"));
        }
        let bad = Changes { fw_cfg: vec![file("etc/x", "/x")], ..Changes::default() };
        assert_eq!(
            patch(b"<domain><name>n</name></domain>", &bad).unwrap_err().to_string(),
            r#"fw_cfg 0: name "etc/x" is not opt/ and printable ASCII without a comma"#
        );
    }
}
