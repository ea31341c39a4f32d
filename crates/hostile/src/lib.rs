//! Every parser as one function from bytes to nothing, for those who feed it bad bytes.
//!
//! ```text
//!             FEEDS: name, read(bytes), seeds, words, seal
//!              |                                    |
//!  tests/it: mutate(seed) 10,000 times each     fuzz/: libFuzzer, one target each
//!            panics, time and memory are faults          the same faults
//! ```
//!
//! A feed reads as the product reads: whatever it is given, it has to come back, soon and with little
//! memory. What a reader says of the bytes is not judged here, only that what it hands out holds
//! together.

mod image;
mod mutate;
mod random;
mod several;
mod sparse_file;
mod steps;
mod stream;

mod bundle;
mod bundle_manifest;
mod certificate;
mod descriptor;
mod domain_xml;
mod machine;
mod manifest;
mod names;
mod package;
mod plan_toml;
mod tar;
mod units;
mod vmx;
mod zip;

mod chain;
mod chunked;
mod copy;
mod cowd;
mod detect;
mod gzip;
mod nbd;
mod qcow2;
mod sesparse;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk_descriptor;
mod vmdk_sparse;
mod vmdk_stream;

pub use mutate::Mutator;
pub use random::Random;

/// A parser and what to feed it with.
#[derive(Debug, Clone, Copy)]
pub struct Feed {
    /// The name of the test and of the fuzz target.
    pub name: &'static str,
    /// Reads the bytes as the product does.
    pub read: fn(&[u8]),
    /// Sound inputs, small ones, that between them use every part of the format.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Texts and numbers that mean something in the format.
    pub words: &'static [&'static [u8]],
    /// Makes checksums right again, so that what lies behind them is reached too.
    pub seal: Option<fn(&mut [u8])>,
}

/// Every feed: texts and archives, then disks.
pub const FEEDS: &[Feed] = &[
    bundle::BUNDLE_FRAMES,
    bundle_manifest::BUNDLE_MANIFEST,
    bundle::BUNDLE_TAR,
    certificate::CERTIFICATE,
    certificate::CERTIFICATE_DER,
    domain_xml::DOMAIN_XML,
    manifest::MANIFEST,
    names::NAMES,
    descriptor::OVF,
    descriptor::OVF_MACHINE,
    package::PACKAGE,
    plan_toml::PLAN_TOML,
    tar::TAR,
    tar::TAR_PACKED,
    units::UNITS,
    vmx::VMX,
    zip::ZIP,
    // The disks.
    vmdk_descriptor::VMDK_DESCRIPTOR,
    vmdk_sparse::VMDK_SPARSE,
    vmdk_stream::VMDK_STREAM,
    cowd::COWD,
    sesparse::SESPARSE,
    vhd::VHD,
    vhdx::VHDX,
    vdi::VDI,
    qcow2::QCOW2,
    gzip::GZIP,
    detect::DETECT,
    chunked::CHUNKED,
    chain::CHAIN,
    copy::COPY,
    nbd::NBD,
];

impl Feed {
    /// The feed of this name.
    ///
    /// # Panics
    ///
    /// When there is none: the caller is wrong.
    #[must_use]
    pub fn named(name: &str) -> &'static Self {
        FEEDS.iter().find(|feed| feed.name == name).expect("a feed of that name")
    }

    /// Reads the bytes as they are and, where the format has checksums, once more with right ones.
    pub fn run(&self, bytes: &[u8]) {
        (self.read)(bytes);
        if let Some(seal) = self.seal {
            let mut sealed = bytes.to_vec();
            seal(&mut sealed);
            (self.read)(&sealed);
        }
    }
}
