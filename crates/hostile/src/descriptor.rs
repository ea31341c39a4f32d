//! OVF descriptors, as they are read and selected from, and on their way to a machine.

use convert::source::System;
use ovf::{Choices, Envelope, Selection};
use testkit::fixtures;

use crate::{Feed, machine};

/// The most configurations of a descriptor that are selected.
const MAX_CONFIGURATIONS: usize = 8;

/// The largest descriptor whose machines are built: a small one has the same items.
const MAX_BUILT_BYTES: usize = 5 << 10;

/// A file with messages, which any descriptor gets that asks for one.
const MESSAGES: &[u8] = b"<Strings xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" xml:lang=\"de\">\
    <Msg ovf:msgid=\"note\" xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\">Text</Msg></Strings>";

/// What means something in a descriptor.
const WORDS: &[&[u8]] = &[
    b"ovf:",
    b"rasd:",
    b"vmw:",
    b"vbox:",
    b"<!DOCTYPE x [",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"&#x0;",
    b"&lt;",
    b"xmlns:a=\"b\"",
    b"</Item>",
    b"<Item>",
    b"<rasd:Parent>3</rasd:Parent>",
    b"<rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>",
    b"<rasd:ResourceType>17</rasd:ResourceType>",
    b"<rasd:AddressOnParent>99999999999</rasd:AddressOnParent>",
    b" ovf:configuration=\"small\"",
    b" ovf:bound=\"min\"",
    b" ovf:required=\"true\"",
    b" ovf:parentRef=\"vmdisk1\"",
    b" ovf:chunkSize=\"1\"",
    b"byte * 2^60",
    b"18446744073709551615",
    b"${capacity}",
    b"\xff\xfe",
];

pub(crate) const OVF: Feed = Feed {
    name: "ovf",
    read: |bytes| {
        drop(select(bytes, usize::MAX));
    },
    seeds: || {
        let mut seeds = descriptors(usize::MAX);
        let utf16: Vec<Vec<u8>> = seeds
            .iter()
            .take(2)
            .filter_map(|seed| std::str::from_utf8(seed).ok())
            .map(utf16)
            .collect();
        seeds.extend(utf16);
        seeds
    },
    words: WORDS,
    seal: None,
};

pub(crate) const OVF_MACHINE: Feed = Feed {
    name: "ovf_machine",
    read: |bytes| {
        for systems in systems(bytes) {
            machine::build(&systems);
        }
    },
    seeds: || descriptors(MAX_BUILT_BYTES),
    words: WORDS,
    seal: None,
};

/// The descriptors of this project up to a length.
fn descriptors(max_bytes: usize) -> Vec<Vec<u8>> {
    let read = fixtures().into_iter().map(|path| std::fs::read(path).expect("a fixture"));
    read.filter(|bytes| bytes.len() <= max_bytes).collect()
}

/// What relift writes for libvirt of some of them.
pub(crate) fn definitions() -> Vec<String> {
    let wanted = ["windows-11.ovf", "iso-and-floppy.ovf", "three-cards.ovf"];
    let paths =
        fixtures().into_iter().filter(|path| wanted.iter().any(|name| path.ends_with(name)));
    let read = paths.map(|path| std::fs::read(path).expect("a fixture"));
    let systems = read.flat_map(|bytes| systems(&bytes).into_iter().next().unwrap_or_default());
    systems.filter_map(|system| machine::definition(&system)).collect()
}

/// What the default configuration says, without values for its properties and with them.
fn systems(bytes: &[u8]) -> Vec<Vec<System>> {
    let Some((envelope, selections)) = select(bytes, 1) else { return Vec::new() };
    let of = |one: &Selection| -> Vec<System> {
        one.systems.iter().map(|system| convert::from_ovf(&envelope, system)).collect()
    };
    selections.iter().map(of).collect()
}

/// A text in UTF-16, the lowest byte first, with its mark.
fn utf16(text: &str) -> Vec<u8> {
    let text = text.replace("UTF-8", "UTF-16");
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// Reads a descriptor and selects its first configurations, each property having its default.
fn select(bytes: &[u8], max: usize) -> Option<(Envelope, Vec<Selection>)> {
    let envelope = Envelope::parse_with(bytes, &mut |_| Ok(MESSAGES.to_vec())).ok()?;
    let properties = envelope.systems.iter().flat_map(|system| &system.products);
    let properties: Vec<(String, String)> = properties
        .flat_map(|product| &product.properties)
        .filter_map(|property| Some((property.full_key.clone(), property.default.clone()?)))
        .collect();
    let configurations = envelope.configurations.iter().take(MAX_CONFIGURATIONS);
    let mut ids: Vec<Option<&str>> = configurations.map(|known| Some(known.id.as_str())).collect();
    ids.insert(0, None);
    let mut selections = Vec::new();
    for configuration in ids.into_iter().take(max) {
        let chosen = Choices { configuration, ..Choices::default() };
        for properties in [&[], properties.as_slice()] {
            selections.extend(envelope.select(&Choices { properties, ..chosen }));
        }
    }
    for selection in &selections {
        drop(selection.used_files());
    }
    Some((envelope, selections))
}
