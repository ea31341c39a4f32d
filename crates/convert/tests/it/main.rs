//! The hardware map, from the text of a descriptor to the devices of a machine.

mod boot;
mod copy;
mod copy_clone;
mod copy_encoded;
mod copy_increment;
mod copy_out;
mod copy_stream_optimized;
mod devices;
mod hardware_map;
mod names;
mod network;
mod storage;
mod vmx;

use convert::{Choices, Converted, Identity, Row, from_ovf, map_hardware, source::System};
use ovf::Envelope;
use testkit::Descriptor;

/// Maps the one machine of a descriptor.
fn map(descriptor: &Descriptor, choices: &Choices) -> Converted {
    map_xml(&descriptor.xml(), choices)
}

/// Maps the one machine of a text.
fn map_xml(xml: &str, choices: &Choices) -> Converted {
    map_changed(xml, choices, |_| {})
}

/// Maps the one machine of a text after somebody looked into it.
fn map_changed(xml: &str, choices: &Choices, look: impl FnOnce(&mut System)) -> Converted {
    let envelope = Envelope::parse(xml.as_bytes()).expect("a sound descriptor");
    let selection = envelope.select(&ovf::Choices::default()).expect("a sound selection");
    let mut system = from_ovf(&envelope, &selection.systems[0]);
    look(&mut system);
    let identity = Identity::new(xml.as_bytes(), &system.handle, "vm");
    map_hardware(&system, choices, "vm", &identity)
}

/// The row of an item.
fn row<'a>(converted: &'a Converted, item: &str) -> &'a Row {
    let items: Vec<&str> = converted.rows.iter().map(|row| row.item.as_str()).collect();
    converted
        .rows
        .iter()
        .find(|row| row.item == item)
        .unwrap_or_else(|| panic!("no row {item} in {items:?}"))
}

/// A row as one line: action, target, codes.
fn line(row: &Row) -> String {
    let codes: Vec<&str> = row.notes.iter().map(|note| note.code.as_str()).collect();
    format!("{} | {} | {}", row.action.as_str(), row.to, codes.join(" "))
}
