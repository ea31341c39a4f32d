//! qcow2 images of every layout, with right reference counts.

use std::collections::BTreeMap;

/// The clusters have 64 KiB, unless something else is asked for.
const CLUSTER_BITS: u32 = 16;

/// An entry that has the only reference to its cluster.
const COPIED: u64 = 1 << 63;

/// What the image says of one guest cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Qcow2Cluster {
    /// Zeros, whatever the backing file says.
    Zero,
    /// One cluster of bytes; shorter ones are padded with zeros.
    Data(Vec<u8>),
    /// A compressed stream.
    Stored(Vec<u8>),
    /// Subclusters: which are allocated (bits 0..=31) and zero (bits 32..=63), and a cluster of
    /// bytes. Makes the L2 entries of the image extended.
    Parts(u64, Vec<u8>),
}

/// A qcow2 image to be built: version 3, clusters of 64 KiB, 16-bit reference counts.
#[derive(Debug, Clone)]
pub struct Qcow2 {
    capacity_bytes: u64,
    cluster_bits: u32,
    version: u32,
    clusters: Clusters,
    snapshots: Vec<(String, Clusters)>,
    backing: Option<(String, Option<String>)>,
    data_file: Option<String>,
    is_zstd: bool,
}

type Clusters = BTreeMap<u64, Qcow2Cluster>;

/// A built image, and where its parts are.
#[derive(Debug, Clone)]
pub struct BuiltQcow2 {
    /// The image.
    pub bytes: Vec<u8>,
    /// The external data file, where the image has one.
    pub data: Vec<u8>,
    /// The first byte of the active L2 table.
    pub l2: usize,
    /// The first byte of the refcount block.
    pub refcounts: usize,
    /// The first byte of the snapshot table.
    pub snapshots: usize,
}

impl Qcow2 {
    /// An image without content; one L2 table has to do, so at most 256 MiB.
    #[must_use]
    pub fn new(capacity_bytes: u64) -> Self {
        assert!(capacity_bytes <= 256 << 20, "one L2 table describes no more");
        Self {
            capacity_bytes,
            cluster_bits: CLUSTER_BITS,
            version: 3,
            clusters: Clusters::new(),
            snapshots: Vec::new(),
            backing: None,
            data_file: None,
            is_zstd: false,
        }
    }

    /// Sets the size of a cluster to a power of two: small ones make small files.
    #[must_use]
    pub fn cluster_bits(mut self, bits: u32) -> Self {
        assert!(self.capacity_bytes <= 1 << (2 * bits - 4), "one L2 table describes no more");
        self.cluster_bits = bits;
        self
    }

    /// Makes it an image of version 2: its header ends before the features, and no cluster is zeros.
    #[must_use]
    pub fn version_2(mut self) -> Self {
        self.version = 2;
        self
    }

    /// Sets a guest cluster.
    #[must_use]
    pub fn cluster(mut self, index: u64, cluster: Qcow2Cluster) -> Self {
        self.clusters.insert(index, cluster);
        self
    }

    /// Takes a snapshot of the clusters as they are now.
    #[must_use]
    pub fn snapshot(mut self, name: &str) -> Self {
        self.snapshots.push((name.to_owned(), self.clusters.clone()));
        self
    }

    /// Names a backing file, and its format.
    #[must_use]
    pub fn backing(mut self, name: &str, format: Option<&str>) -> Self {
        self.backing = Some((name.to_owned(), format.map(str::to_owned)));
        self
    }

    /// Puts the guest's clusters into another file.
    #[must_use]
    pub fn data_file(mut self, name: &str) -> Self {
        self.data_file = Some(name.to_owned());
        self
    }

    /// Says that streams are zstd frames.
    #[must_use]
    pub fn zstd(mut self) -> Self {
        self.is_zstd = true;
        self
    }

    /// Builds the image.
    #[must_use]
    pub fn build(&self) -> BuiltQcow2 {
        Builder {
            image: self,
            bytes: Vec::new(),
            data: Vec::new(),
            counts: Vec::new(),
            placed: Vec::new(),
        }
        .build()
    }

    fn cluster_bytes(&self) -> usize {
        1 << self.cluster_bits
    }

    fn is_extended(&self) -> bool {
        let all = self.snapshots.iter().map(|(_, clusters)| clusters).chain([&self.clusters]);
        all.flat_map(BTreeMap::values).any(|cluster| matches!(cluster, Qcow2Cluster::Parts(..)))
    }
}

struct Builder<'a> {
    image: &'a Qcow2,
    bytes: Vec<u8>,
    data: Vec<u8>,
    /// The references to each cluster of the file.
    counts: Vec<u16>,
    /// Clusters that lie in the file, with their number and place: states share those that are the
    /// same in both, but no two clusters of one state.
    placed: Vec<(u64, Qcow2Cluster, u64)>,
}

impl Builder<'_> {
    fn build(mut self) -> BuiltQcow2 {
        let image = self.image;
        self.take(1);
        let states: Vec<_> = [&image.clusters]
            .into_iter()
            .chain(image.snapshots.iter().map(|(_, clusters)| clusters))
            .map(|clusters| (clusters, self.take(1), self.take(1)))
            .collect();
        for (clusters, _, _) in &states {
            clusters.iter().for_each(|(index, cluster)| self.place(*index, cluster));
        }
        for (clusters, l1, l2) in &states {
            self.put(*l1, *l2 as u64 | COPIED);
            self.write_l2(*l2, clusters);
        }
        let snapshots = if image.snapshots.is_empty() { 0 } else { self.take(1) };
        for (number, (name, _)) in image.snapshots.iter().enumerate() {
            self.write_snapshot(snapshots + number * 64, number, name, states[number + 1].1);
        }
        let (table, refcounts) = (self.take(1), self.take(1));
        self.put(table, refcounts as u64);
        for (number, count) in self.counts.clone().into_iter().enumerate() {
            self.put_bytes(refcounts + number * 2, &count.to_be_bytes());
        }
        self.write_header(states[0].1, table, snapshots);
        BuiltQcow2 { bytes: self.bytes, data: self.data, l2: states[0].2, refcounts, snapshots }
    }

    /// Takes clusters at the end of the file.
    fn take(&mut self, clusters: usize) -> usize {
        let at = self.bytes.len();
        self.bytes.resize(at + clusters * self.image.cluster_bytes(), 0);
        self.counts.resize(self.bytes.len() / self.image.cluster_bytes(), 1);
        at
    }

    /// Places what a state refers to, or refers once more to what lies there.
    fn place(&mut self, index: u64, cluster: &Qcow2Cluster) {
        let content = match cluster {
            Qcow2Cluster::Zero => return,
            Qcow2Cluster::Data(content)
            | Qcow2Cluster::Stored(content)
            | Qcow2Cluster::Parts(_, content) => content,
        };
        if let Some(at) = self.place_of(index, cluster) {
            self.counts[usize::try_from(at).expect("small") / self.image.cluster_bytes()] += 1;
            return;
        }
        let at = if self.image.data_file.is_some() {
            let at = self.data.len();
            self.data.resize(at + self.image.cluster_bytes(), 0);
            self.data[at..at + content.len()].copy_from_slice(content);
            at
        } else {
            // A stream begins in the middle of a sector.
            let skip = if matches!(cluster, Qcow2Cluster::Stored(_)) { 700 } else { 0 };
            let at = self.take((skip + content.len()).div_ceil(self.image.cluster_bytes())) + skip;
            self.put_bytes(at, content);
            at
        };
        self.placed.push((index, cluster.clone(), at as u64));
    }

    /// Where a cluster lies that was placed.
    fn place_of(&self, index: u64, cluster: &Qcow2Cluster) -> Option<u64> {
        let mut placed = self.placed.iter();
        let found = placed.find(|(number, placed, _)| *number == index && placed == cluster);
        found.map(|(_, _, at)| *at)
    }

    fn write_l2(&mut self, l2: usize, clusters: &Clusters) {
        let is_extended = self.image.is_extended();
        for (index, cluster) in clusters {
            let slot =
                usize::try_from(*index).expect("one table") * if is_extended { 16 } else { 8 };
            let place = self.place_of(*index, cluster).unwrap_or_default();
            let copied = if self.is_shared(place) { 0 } else { COPIED };
            let (word, bitmap) = match cluster {
                Qcow2Cluster::Zero => (u64::from(!is_extended), u64::from(u32::MAX) << 32),
                Qcow2Cluster::Data(_) => (place | copied, u64::from(u32::MAX)),
                Qcow2Cluster::Parts(bitmap, _) => (place | copied, *bitmap),
                Qcow2Cluster::Stored(stream) => {
                    let sectors = (place % 512 + stream.len() as u64).div_ceil(512) - 1;
                    (1 << 62 | sectors << (70 - self.image.cluster_bits) | place, 0)
                }
            };
            self.put(l2 + slot, word);
            if is_extended {
                self.put(l2 + slot + 8, bitmap);
            }
        }
    }

    fn is_shared(&self, place: u64) -> bool {
        let count =
            self.counts.get(usize::try_from(place).expect("small") / self.image.cluster_bytes());
        self.image.data_file.is_none() && count.is_some_and(|count| *count > 1)
    }

    fn write_snapshot(&mut self, at: usize, number: usize, name: &str, l1: usize) {
        let id = (number + 1).to_string();
        assert!(name.len() + id.len() <= 8, "an entry has 64 bytes here");
        self.put(at, l1 as u64);
        self.put32(at + 8, 1);
        self.put_bytes(at + 12, &[0, id.len() as u8, 0, name.len() as u8]);
        self.put32(at + 36, 16);
        self.put(at + 48, self.image.capacity_bytes);
        self.put_bytes(at + 56, id.as_bytes());
        self.put_bytes(at + 56 + id.len(), name.as_bytes());
    }

    fn write_header(&mut self, l1: usize, refcount_table: usize, snapshots: usize) {
        let image = self.image;
        self.put_bytes(0, b"QFI\xfb");
        self.put(24, image.capacity_bytes);
        self.put(40, l1 as u64);
        self.put(48, refcount_table as u64);
        self.put(64, snapshots as u64);
        let features =
            [(image.data_file.is_some(), 4), (image.is_zstd, 8), (image.is_extended(), 16)];
        let incompatible = features.iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum();
        for (at, value) in [
            (4, image.version),
            (20, image.cluster_bits),
            (36, 1),
            (56, 1),
            (60, u32::try_from(image.snapshots.len()).expect("few")),
        ] {
            self.put32(at, value);
        }
        let mut at = 72;
        if image.version == 3 {
            for (at, value) in [(76, incompatible), (96, 4), (100, 112)] {
                self.put32(at, value);
            }
            self.bytes[104] = u8::from(image.is_zstd);
            at = 112;
        }
        if let Some((name, format)) = &image.backing {
            let name_at = self.image.cluster_bytes() / 16;
            self.put(8, name_at as u64);
            self.put32(16, u32::try_from(name.len()).expect("short"));
            self.put_bytes(name_at, name.as_bytes());
            if let Some(format) = format {
                at = self.write_extension(at, 0xe279_2aca, format);
            }
        }
        if let Some(name) = &image.data_file {
            self.write_extension(at, 0x4441_5441, name);
        }
    }

    fn write_extension(&mut self, at: usize, kind: u32, text: &str) -> usize {
        self.put32(at, kind);
        self.put32(at + 4, u32::try_from(text.len()).expect("short"));
        self.put_bytes(at + 8, text.as_bytes());
        at + 8 + text.len().next_multiple_of(8)
    }

    fn put(&mut self, at: usize, value: u64) {
        self.put_bytes(at, &value.to_be_bytes());
    }

    fn put32(&mut self, at: usize, value: u32) {
        self.put_bytes(at, &value.to_be_bytes());
    }

    fn put_bytes(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}
