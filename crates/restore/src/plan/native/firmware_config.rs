//! Files that the firmware hands to the guest (`fw_cfg`), such as its OVF environment.
//!
//! One that is in the backup becomes a file of the new machine; any other is one of the old host, and
//! goes.

use code::Code;
use convert::{Note, Row};
use domain::Finding;
use ovf::EntryName;
use vm::FwCfg;

use super::{Draft, Inputs, place::Places};
use crate::{
    PackedImage, XmlTrust,
    native::is_member_of,
    plan::{FilePlan, FileRole},
    source::Member,
};

/// Where a definition has these files.
const SYSINFO: &str = "/domain/sysinfo";

/// Plans each file.
pub(super) fn plan(inputs: &Inputs<'_>, places: &mut Places<'_>, draft: &mut Draft) {
    for stated in &inputs.native.stated.machine.fw_cfg {
        let item = format!("fw_cfg.{}", stated.name);
        let from = stated.file.display().to_string();
        let row = Row::kept(&item, &item, &from, &from);
        draft.rows.push(match (member(inputs, stated), inputs.choices.trust_xml) {
            (Some(member), _) => {
                let placed = places.place(
                    Some(stated.file.as_path()).filter(|path| path.is_absolute()),
                    member.name.as_str(),
                    member.length_bytes,
                );
                let to = placed.path.display().to_string();
                draft.files.push(file(&member.name, placed.path.clone()));
                let file = FwCfg { name: stated.name.clone(), file: placed.path };
                draft.changes.fw_cfg.push(file);
                let row = if to == from { row } else { Row { to, ..row }.changed() };
                row.note_if(placed.note)
            }
            (None, XmlTrust::AsItStands) => row.because("taken as it stands: --trust-xml"),
            (None, XmlTrust::Scrubbed) => {
                let text = "a file of the old host is not handed to the firmware";
                Row::dropped(&item, &item, &from, Note::new(Code::W0205, text))
            }
        });
    }
}

/// Whether a finding is about one of these files, which have rows of their own.
pub(super) fn tells(inputs: &Inputs<'_>, finding: &Finding) -> bool {
    let is_one = |finding: &&Finding| finding.path.starts_with(SYSINFO);
    let native = inputs.native;
    is_one(&finding)
        && native.removed.iter().filter(is_one).count() == native.stated.machine.fw_cfg.len()
}

fn member<'a>(inputs: &Inputs<'a>, stated: &FwCfg) -> Option<&'a Member> {
    inputs.native.backup.as_ref()?;
    let source = domain::DriveSource::File(stated.file.clone());
    inputs.facts.members.iter().find(|member| is_member_of(&source, member.name.as_str()))
}

fn file(name: &EntryName, to: std::path::PathBuf) -> FilePlan {
    let declared = disk::Declared::Stated(disk::Format::Raw);
    let image = Some(PackedImage::plain(name.clone(), declared));
    FilePlan { image, href: None, to, role: FileRole::Kept }
}

#[cfg(test)]
mod tests {
    use crate::plan::fixture::{Case, domain, paths};

    /// What a backup hands to the firmware is any text: it must not become one that the host trusts.
    #[test]
    fn a_file_for_the_firmware_never_becomes_one_of_a_users_own() {
        for (old, want) in [
            ("/vm/env.xml", "/vm/env.xml"),
            ("/root/.ssh/authorized_keys", "/backups/authorized_keys"),
        ] {
            let entry = format!(
                "<sysinfo type='fwcfg'><entry name='opt/com.example/a' file='{old}'/></sysinfo><os>"
            );
            let document = domain("").replacen("<os>", &entry, 1);
            let mut case = Case::definition(&document).at(old, host::PathKind::Nothing);
            case.facts.kind = crate::SourceKind::Bundle;
            case.native().backup = Some(crate::native::Backup::default());
            let name = old.rsplit_once('/').unwrap().1;
            assert_eq!(paths(&case.member(name).plan()), [want]);
        }
    }
}
