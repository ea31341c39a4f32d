//! Whole packages, as they are opened for an import: from a file, and from a pipe.

use std::{io, sync::Arc};

use ovf::signature::Trust;
use restore::{Delivery, Error, Policy, Source, open_bytes, open_stream, source::Take};
use testkit::{Descriptor, NOW_SECONDS, Package, Signer, ZipMethod, gzip};

use crate::{Feed, steps::Steps, tar};

pub(crate) const PACKAGE: Feed = Feed {
    name: "package",
    read,
    seeds: || {
        let package = package();
        let signed = package.signed_by(&Signer::rsa("a"), "SHA256", &[]);
        vec![
            signed.ova(),
            package.clone().manifest_last().ova(),
            package.zip(ZipMethod::Deflated),
            gzip(&package.ova()),
        ]
    },
    words: &[
        b"ustar\x0000",
        b"PK\x01\x02",
        b"a.cert\0",
        b"a.mf\0",
        b"b.ovf\0",
        b"SHA1(",
        b"ovf:href",
    ],
    seal: Some(tar::seal),
};

/// A package of a descriptor, a disk that is no disk, and a manifest.
fn package() -> Package {
    let descriptor = Descriptor::new("a", "debian10_64Guest").file("a.iso");
    Package::new("a", &descriptor)
        .member("a.iso", vec![7; 700])
        .manifest(ovf::manifest::Algorithm::Sha256)
}

/// Opens a package both ways and takes everything that is in it.
///
/// # Panics
///
/// When both could be opened, and are not the same.
fn read(bytes: &[u8]) {
    let policy = Policy { trust: Trust::nobody(NOW_SECONDS), ..Policy::default() };
    let named = || restore::Named { name: "a.ova".to_owned(), folder: None };
    let whole = open_bytes(named(), Arc::new(bytes.to_vec()), &policy);
    let passing = open_stream(named(), Box::new(Steps::new(bytes)), &policy);
    if let (Ok(whole), Ok(passing)) = (&whole, &passing) {
        let descriptors = [whole, passing].map(|source| &source.facts().descriptor.bytes);
        assert_eq!(descriptors[0], descriptors[1], "the descriptor of a file and of a pipe");
    }
    for mut source in [whole, passing].into_iter().flatten() {
        drop(take_all(&mut *source));
    }
}

/// Takes every member, as a conversion does.
fn take_all(source: &mut dyn Source) -> Result<(), Error> {
    /// The most that is read of a member.
    const MAX_READ: u64 = 1 << 16;

    let take: &mut Take<'_> = &mut |_, delivery| {
        match delivery {
            Delivery::Whole(bytes, _) => {
                let most = usize::try_from(bytes.len_bytes().min(MAX_READ)).unwrap_or_default();
                drop(bytes.read_exact_at(&mut vec![0; most], 0));
            }
            Delivery::Stream { reader, .. } => {
                drop(io::copy(&mut io::Read::take(reader, MAX_READ), &mut io::sink()));
            }
        }
        Ok(())
    };
    source.deliver(&|_| true, take)
}
