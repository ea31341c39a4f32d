//! Files in QEMU's firmware configuration.

use std::collections::BTreeSet;

use vm::FwCfg;

use super::text::{Text, require_image_path};
use crate::{
    Error,
    error::{Item, Refusal},
};

/// The longest name: QEMU's entries have 56 bytes with the final zero (`FW_CFG_MAX_FILE_PATH`).
const MAX_NAME_BYTES: u64 = 55;
/// What a name that is not QEMU's own begins with (QEMU, "fw_cfg", externally provided items).
const PREFIX: &str = "opt/";

/// Checks names and paths of files.
pub(crate) fn check(files: &[FwCfg]) -> Result<(), Error> {
    let mut taken = BTreeSet::new();
    for (at, entry) in files.iter().enumerate() {
        let item = Item::FwCfg(at);
        let name = Text::new(item, "name", &entry.name);
        name.require_line()?;
        name.require_length(MAX_NAME_BYTES)?;
        let is_plain = |c: char| c.is_ascii_graphic() && c != ',';
        let rest = entry.name.strip_prefix(PREFIX).unwrap_or_default();
        if rest.is_empty() || !rest.chars().all(is_plain) {
            return Err(name.refuse("opt/ and printable ASCII without a comma"));
        }
        if !taken.insert(entry.name.as_str()) {
            let (value, why) = (entry.name.clone(), "is there twice");
            return Err(item.refuse(Refusal::Unusable { what: "name", value, why }));
        }
        require_image_path(item, &entry.file)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vm::{FwCfg, Machine};

    use super::super::tests::{Spoilt, assert_refusals, sound};

    fn add(machine: &mut Machine, name: &str, file: &str) {
        machine.fw_cfg.push(FwCfg { name: name.into(), file: file.into() });
    }

    #[test]
    fn lets_a_file_pass_and_refuses_what_qemu_or_libvirt_would() {
        let mut machine = sound();
        add(&mut machine, &format!("opt/{}", "x".repeat(51)), "/images/a b.xml");
        super::check(&machine.fw_cfg).unwrap();
        let cases: &[Spoilt] = &[
            (
                |machine| add(machine, "etc/x", "/x"),
                r#"fw_cfg 0: name "etc/x" is not opt/ and printable ASCII without a comma"#,
            ),
            (
                |machine| add(machine, "opt/", "/x"),
                r#"fw_cfg 0: name "opt/" is not opt/ and printable ASCII without a comma"#,
            ),
            (
                |machine| add(machine, "opt/a,b", "/x"),
                r#"fw_cfg 0: name "opt/a,b" is not opt/ and printable ASCII without a comma"#,
            ),
            (
                |machine| add(machine, &format!("opt/{}", "x".repeat(52)), "/x"),
                "fw_cfg 0: name has 56 bytes, 55 are allowed",
            ),
            (
                |machine| {
                    add(machine, "opt/x", "/x");
                    add(machine, "opt/x", "/y");
                },
                "fw_cfg 1: name opt/x is there twice",
            ),
            (
                |machine| add(machine, "opt/x", "x.xml"),
                r#"fw_cfg 0: image path "x.xml" is not absolute"#,
            ),
        ];
        assert_refusals(cases);
    }
}
