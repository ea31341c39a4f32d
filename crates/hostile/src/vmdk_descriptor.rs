//! Descriptors of VMDKs, alone and in an extent, and what they name.

use std::sync::LazyLock;

use disk::{Format, Image, Result};
use testkit::{Files, SparseMap, VmdkDescriptor, content, stream_optimized};

use crate::{Feed, image};

/// The size of each extent.
const EXTENT: usize = 8 << 10;

/// The disk that the deltas stand on has this content id.
const BASE_ID: u32 = 0x1234_5678;

pub(crate) const VMDK_DESCRIPTOR: Feed = Feed {
    name: "vmdk_descriptor",
    read: |bytes| image::judge(open(bytes)),
    seeds: || {
        let texts =
            [every_extent(), delta("VMFSSPARSE", "cowd.vmdk"), delta("SESPARSE", "se.vmdk")];
        let mut seeds: Vec<_> = texts.map(String::into_bytes).into();
        let line = "RW 16 SPARSE \"input.vmdk\"";
        let alone = VmdkDescriptor::new("monolithicSparse").extent(line);
        let above = alone.clone().parent(BASE_ID, "base.vmdk");
        let map = SparseMap::of(&content(EXTENT as u64), 4096);
        seeds.extend([alone, above].map(|descriptor| map.hosted(&descriptor.text())));
        seeds
    },
    words: &[
        b"# Disk DescriptorFile\n",
        b"createType=\"monolithicSparse\"\n",
        b"createType=\"twoGbMaxExtentFlat\"\n",
        b"createType=\"vmfsRawDeviceMap\"\n",
        b"CID=12345678\n",
        b"parentCID=12345678\n",
        b"parentCID=ffffffff\n",
        b"parentFileNameHint=\"base.vmdk\"\n",
        b"RW 16 FLAT \"flat.vmdk\" 0\n",
        b"RDONLY 16 SPARSE \"stream.vmdk\"\n",
        b"RW 16 VMFSSPARSE \"cowd.vmdk\"\n",
        b"RW 16 SESPARSE \"se.vmdk\"\n",
        b"RW 16 ZERO\n",
        b"NOACCESS 16 FLAT \"flat.vmdk\"\n",
        b"RW 18446744073709551615 ZERO\n",
        b"encoding=\"GBK\"\n",
        b"encoding=\"windows-1252\"\n",
        b"ddb.encryption",
        b"encryptedDescriptor",
        b"\xef\xbb\xbf",
        b"\0",
    ],
    seal: None,
};

pub(crate) fn open(bytes: &[u8]) -> Result<Box<dyn Image>> {
    FILES.clone().with("input.vmdk", bytes.to_vec()).open_image("input.vmdk", Format::Vmdk)
}

/// What a descriptor may name.
static FILES: LazyLock<Files> = LazyLock::new(|| {
    let disk = content(EXTENT as u64);
    let line = format!("RW {} FLAT \"flat.vmdk\" 0", EXTENT / 512);
    let base = VmdkDescriptor::new("monolithicFlat").cid(BASE_ID).extent(&line);
    Files::default()
        .with("flat.vmdk", disk.clone())
        .with("sparse.vmdk", SparseMap::of(&disk, 4096).hosted(""))
        .with("cowd.vmdk", SparseMap::of(&disk, 512).cowd())
        .with("se.vmdk", SparseMap::of(&disk, 4096).sesparse())
        .with("stream.vmdk", stream_optimized(&disk, "stream.vmdk"))
        .with("base.vmdk", base.text().into_bytes())
});

/// A disk with an extent of each kind.
fn every_extent() -> String {
    let disk = VmdkDescriptor::new("custom");
    let disk = disk.extent("RW 16 FLAT \"flat.vmdk\" 0").extent("RW 4 VMFS \"flat.vmdk\" 12");
    let disk = disk.extent("RW 16 SPARSE \"sparse.vmdk\"").extent("RW 8 ZERO");
    let disk = disk.extent("RW 16 VMFSSPARSE \"cowd.vmdk\"").extent("RW 16 SESPARSE \"se.vmdk\"");
    disk.extent("RDONLY 16 SPARSE \"stream.vmdk\"").extent("NOACCESS 8 FLAT \"none\"").text()
}

/// A delta of one extent.
fn delta(kind: &str, name: &str) -> String {
    let disk = VmdkDescriptor::new("vmfsSparse").parent(BASE_ID, "/vmfs/volumes/a/base.vmdk");
    disk.extent(&format!("RW {} {kind} \"{name}\"", EXTENT / 512)).text()
}
