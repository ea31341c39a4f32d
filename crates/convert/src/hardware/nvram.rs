//! The variables of the old host's firmware.

use code::Code;

use super::Scene;
use crate::{Note, Row, SourceNvram};

/// What becomes of the file: the machine starts with fresh variables, and the file is kept beside it,
/// for people, where the package has it.
///
/// A BIOS has no variables that a machine needs.
pub(crate) fn keep(scene: &Scene<'_>) -> Option<(Row, Option<SourceNvram>)> {
    let nvram = scene.system.remarks.nvram.as_ref()?;
    if !scene.firmware.is_uefi() {
        return None;
    }
    let row = "nvram";
    if scene.choices.ignores(row, None) {
        let note = Note::new(Code::W0203, "left out on request");
        return Some((Row::dropped(row, LABEL, &nvram.text, note), None));
    }
    let name = nvram.file.as_ref().map_or(nvram.text.as_str(), |file| file.text());
    let note = Note::new(
        Code::W0104,
        format!("the boot entries in {name} are for VMware's firmware; fresh variables are made"),
    )
    .hint(
        "if it does not boot, pick the loader once in the firmware's Boot Manager (Boot From File) \
         and write its entry again",
    );
    let kept = nvram.file.clone().map(|file| SourceNvram { file, row: row.to_owned() });
    let row = match &kept {
        Some(_) => {
            Row::kept(row, LABEL, &nvram.text, "kept beside the machine, not used").changed()
        }
        None => Row { action: crate::Action::Dropped, ..Row::kept(row, LABEL, &nvram.text, "") },
    };
    Some((row.note(note), kept))
}

/// What people call it.
const LABEL: &str = "firmware variables";
