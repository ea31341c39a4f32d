//! No item of a descriptor is lost: each one is in exactly one row.
//!
//! The descriptors are those of `fixtures/ovf`; `RELIFT_CORPUS` names a folder with more of them.

use std::fs;

use ovf::{Envelope, selection::SelectedSystem};

use crate::{Choices, Identity, Row, from_ovf, map_hardware};

/// The rows of each system of a descriptor; none where it is none that is read.
fn rows(bytes: &[u8]) -> Vec<(SelectedSystem, Vec<Row>)> {
    let Ok(envelope) = Envelope::parse(bytes) else { return Vec::new() };
    let Ok(selection) = envelope.select(&ovf::Choices::default()) else { return Vec::new() };
    let map = |system: SelectedSystem| {
        let identity = Identity::new(bytes, &system.handle, "vm");
        let source = from_ovf(&envelope, &system);
        (system, map_hardware(&source, &Choices::default(), "vm", &identity).rows)
    };
    selection.systems.into_iter().map(map).collect()
}

/// What is wrong with the rows of a descriptor.
fn complaints(bytes: &[u8]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (system, rows) in rows(bytes) {
        for item in &system.items {
            let path = &item.origin.path;
            let told: Vec<&str> = rows
                .iter()
                .filter(|row| row.path.as_ref() == Some(path))
                .map(|row| row.item.as_str())
                .collect();
            if told.len() != 1 {
                complaints.push(format!("{path}, {}: {told:?}", item.display_name()));
            }
        }
        let mut ids: Vec<&str> = rows.iter().map(|row| row.item.as_str()).collect();
        ids.sort_unstable();
        let twice = ids.windows(2).filter(|pair| pair[0] == pair[1]);
        complaints.extend(twice.map(|pair| format!("two rows are called {}", pair[0])));
    }
    complaints
}

#[test]
fn each_item_is_in_exactly_one_row() {
    let mut wrong = Vec::new();
    let mut items = 0;
    for path in testkit::fixtures().into_iter().chain(testkit::corpus()) {
        let bytes = fs::read(&path).unwrap();
        items += rows(&bytes).iter().map(|(system, _)| system.items.len()).sum::<usize>();
        let found = complaints(&bytes);
        wrong.extend(found.into_iter().map(|text| format!("{}: {text}", path.display())));
    }
    assert!(items >= 250, "only {items} items");
    assert_eq!(wrong, Vec::<String>::new());
}
