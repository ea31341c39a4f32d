//! What is not an item: vendor settings, properties, licences, sections.

use code::Code;
use ovf::descriptor::UnknownSection;

use super::{Scene, storage};
use crate::{FW_CFG_NAME, Note, Row, wants_guest_info};

/// Rows for everything that is said beside the items.
pub(crate) fn rows(scene: &Scene<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(vendor_keys(scene));
    rows.extend(environment(scene));
    rows.extend(properties(scene));
    if !scene.system.remarks.eulas.is_empty() {
        let note = Note::new(Code::W0402, "its text: relift inspect --full");
        rows.push(Row::kept("eula", "EULA", "licence", "not accepted").note(note));
    }
    if scene.system.remarks.has_saved_state {
        let text = "the machine was saved while it ran; its disks may be as after a power cut";
        rows.push(Row::dropped(
            "state",
            "saved state",
            "saved state",
            Note::new(Code::W0502, text),
        ));
    }
    rows.extend(scene.system.remarks.sections.iter().map(|section| self::section(scene, section)));
    rows
}

fn vendor_keys(scene: &Scene<'_>) -> Option<Row> {
    let keys = &scene.system.remarks.vendor_keys;
    let first = keys.first()?;
    let shown = match keys.len() {
        1 => first.clone(),
        count => format!("{first} and {} more", count - 1),
    };
    let note = Note::new(Code::W0205, "settings of VMware's host; list: relift inspect --full");
    Some(Row::dropped("settings", "vendor settings", shown, note))
}

/// The environment: a CD, since what VMware's tools ask is not there.
fn environment(scene: &Scene<'_>) -> Option<Row> {
    let remarks = &scene.system.remarks;
    if !remarks.wants_environment {
        return None;
    }
    let from = match remarks.transports.as_slice() {
        [] => "properties".to_owned(),
        words => words.join(" "),
    };
    let (id, label) = (storage::ENVIRONMENT, "OVF environment");
    if !storage::wants_environment(scene) {
        let note = Note::new(Code::W0203, "left out on request");
        return Some(Row::dropped(id, label, from, note));
    }
    if !wants_guest_info(scene.system) {
        return Some(Row::kept(id, label, from, "ovf-env.xml on a CD of its own"));
    }
    let row =
        Row::kept(id, label, from, format!("ovf-env.xml on a CD, and as fw_cfg {FW_CFG_NAME}"));
    let text = "a guest that reads guestinfo through VMware's tools only finds neither";
    let note = Note::new(Code::W0205, text).hint("cloud-init reads the CD");
    Some(row.changed().note(note))
}

/// Properties: the guest finds each one in its environment.
fn properties<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = Row> + use<'a> {
    scene.system.remarks.properties.iter().map(|property| {
        let id = format!("property.{}", property.key);
        let label = format!("property {}", property.key);
        let shown = match &property.value {
            Some(_) if property.password => "***",
            Some(value) if !value.is_empty() => value,
            _ => "",
        };
        if shown.is_empty() && property.user_configurable {
            let note = Note::new(Code::W0401, "the guest may wait for it")
                .hint(format!("--prop {}=…", property.key));
            return Row::blocked(&id, &label, "no value", note);
        }
        if !storage::wants_environment(scene) {
            let text = "the guest gets no OVF environment; set it inside the guest";
            return Row::dropped(&id, &label, shown, Note::new(Code::W0203, text));
        }
        Row::kept(&id, &label, shown, "in the OVF environment")
    })
}

/// A section that is not acted upon: a required one of a foreign vendor waits for somebody.
fn section(scene: &Scene<'_>, section: &UnknownSection) -> Row {
    let id = section.item();
    let path = &section.origin.path;
    let dropped = |note| Row::dropped(&id, "section", &section.name, note).at(path);
    if scene.choices.ignores(&id, None) {
        return dropped(Note::new(Code::W0203, "left out on request"));
    }
    if section.code == Code::E0305 {
        let note =
            Note::blocker(section.code, "the section is not known, and the package requires it")
                .hint(format!("--ignore section:{}, if the guest works without it", section.name));
        return Row::blocked(&id, "section", &section.name, note).at(path);
    }
    dropped(Note::new(section.code, section.message.clone()))
}
