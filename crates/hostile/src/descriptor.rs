//! OVF descriptors.

use ovf::{Choices, Envelope};
use testkit::fixtures;

use crate::Feed;

pub(crate) const OVF: Feed = Feed {
    name: "ovf",
    read: |bytes| {
        let Ok(envelope) = Envelope::parse(bytes) else { return };
        drop(envelope.select(&Choices::default()));
    },
    seeds: || {
        let files = fixtures().into_iter().filter_map(|path| std::fs::read(path).ok());
        files.collect()
    },
    words: &[
        b"ovf:",
        b"rasd:",
        b"<!DOCTYPE x [",
        b"<![CDATA[",
        b"]]>",
        b"&#x0;",
        b"&lt;",
        b"xmlns:a=\"b\"",
    ],
    seal: None,
};
