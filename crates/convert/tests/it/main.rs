//! The hardware map, from the text of a descriptor to the devices of a machine.

mod boot;
mod copy;
mod copy_clone;
mod copy_encoded;
mod copy_out;
mod copy_stream_optimized;
mod devices;
mod names;
mod network;
mod storage;
mod vmx;

use convert::{Choices, Converted, Identity, Row, from_ovf, map_hardware};
use ovf::Envelope;
use testkit::Descriptor;

/// Maps the one machine of a descriptor.
fn map(descriptor: &Descriptor, choices: &Choices) -> Converted {
    let xml = descriptor.xml();
    let envelope = Envelope::parse(xml.as_bytes()).expect("a sound descriptor");
    let selection = envelope.select(&ovf::Choices::default()).expect("a sound selection");
    let system = &selection.systems[0];
    let identity = Identity::new(xml.as_bytes(), &system.handle, "vm");
    map_hardware(&from_ovf(&envelope, system), choices, "vm", &identity)
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
