//! A qcow2 image that can be read at any place.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Codec, Error, Extent, ExtentKind, Extents, Format, Image, Info, Progress, ReadAt, Reference,
    Result, Role, Warning, Workbench,
    audit::Finding,
    error::Failure,
    fields::buffer_len,
    image::{Joined, check_buffer, read_part},
    qcow2::{
        clusters::Clusters,
        entry::{Cluster, ClusterError, Entry, FileLengths},
        extensions::Extensions,
        header::Header,
        l1::{L1, L2Place},
        refcounts,
        state::State,
    },
};

/// The unit of every disk.
const SECTOR_BYTES: u64 = 512;

/// The number of the data file among the files of an image.
const DATA_FILE: u32 = 1;

/// One state of a qcow2 image, without what a backing file would show in its holes.
pub(crate) struct Reader {
    pub(super) bytes: Arc<dyn ReadAt>,
    pub(super) header: Header,
    pub(super) extensions: Extensions,
    pub(super) state: State,
    pub(super) l1: L1,
    /// The file that has the guest's clusters, where it is not the image itself.
    data: Option<Arc<dyn ReadAt>>,
    info: Info,
    files: Vec<String>,
    /// The last L2 table that [`Image::read_at`] used.
    cache: Mutex<Option<(L2Place, Arc<Vec<u8>>)>>,
}

impl Reader {
    /// Reads and checks the L1 table of a state; `data` is the data file, where there is one.
    pub(super) fn new(
        bytes: Arc<dyn ReadAt>,
        (header, extensions): (Header, Extensions),
        state: State,
        data: Option<Arc<dyn ReadAt>>,
    ) -> Result<Self> {
        let l1 = L1::read(&*bytes, &header, &state)?;
        let data_name = extensions.data_file.as_ref();
        let references = [(Role::BackingFile, header.backing()), (Role::DataFile, data_name)];
        let references = references.into_iter().filter_map(|(role, name)| {
            Some(Reference { role: role.as_str(), name: name?.text().to_owned() })
        });
        let info = Info {
            format: Format::Qcow2,
            variant: format!("qcow2 v{}", header.version()),
            capacity_bytes: state.size_bytes.next_multiple_of(SECTOR_BYTES),
            file_bytes: bytes.len_bytes(),
            unit_bytes: Some(header.cluster_bytes()),
            references: references.collect(),
            warnings: header.warnings(),
        };
        let mut files = vec![String::new()];
        files.extend(data.as_ref().and(data_name).map(|name| name.text().to_owned()));
        let cache = Mutex::default();
        let mut reader = Self { bytes, header, extensions, state, l1, data, info, files, cache };
        reader.warn_of_size();
        Ok(reader)
    }

    fn warn_of_size(&mut self) {
        let (found, capacity_bytes) = (self.state.size_bytes, self.info.capacity_bytes);
        if capacity_bytes != found {
            self.info.warnings.push(Warning::interpreted(format!(
                "a virtual size of {found} bytes is rounded up to {capacity_bytes}"
            )));
        }
    }

    /// Adds what is known of the image beyond the state that is read.
    pub(super) fn warn(&mut self, warnings: impl IntoIterator<Item = Warning>) {
        self.info.warnings.extend(warnings);
    }

    /// The file that plain clusters lie in, and its number.
    fn data(&self) -> (&Arc<dyn ReadAt>, u32) {
        self.data.as_ref().map_or((&self.bytes, 0), |data| (data, DATA_FILE))
    }

    pub(super) fn read_table(&self, place: L2Place) -> Result<Vec<u8>> {
        let mut table = vec![0; buffer_len(self.header.cluster_bytes())];
        self.bytes.fill(&mut table, place.offset_bytes)?;
        Ok(table)
    }

    fn cached_table(&self, place: L2Place) -> Result<Arc<Vec<u8>>> {
        let lock = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((cached, table)) = &*lock()
            && *cached == place
        {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(self.read_table(place)?);
        *lock() = Some((place, Arc::clone(&table)));
        Ok(table)
    }

    /// Where cluster `index` is, which the L2 table at `place` describes.
    pub(super) fn cluster(&self, table: &[u8], place: L2Place, index: u64) -> Result<Cluster> {
        let slot = index.checked_rem(self.header.l2_entries()).unwrap_or_default();
        let files = FileLengths {
            image_bytes: self.info.file_bytes,
            data_bytes: self.data().0.len_bytes(),
        };
        Entry::read(table, slot, &self.header).decode(&self.header, index, files).map_err(|leaf| {
            let entry_at = slot.saturating_mul(self.header.entry_bytes());
            Error::malformed(leaf).at(place.offset_bytes.saturating_add(entry_at))
        })
    }

    /// The extents of cluster `index`, up to the capacity.
    pub(super) fn extents_of(
        &self,
        cluster: Cluster,
        index: u64,
    ) -> impl Iterator<Item = Extent> + use<> {
        let (whole, parts) = match cluster {
            Cluster::Whole(kind) => (Some((0..self.header.cluster_bytes(), kind)), None),
            Cluster::Parts(parts) => (None, Some(parts.runs())),
        };
        let start_bytes = index.saturating_mul(self.header.cluster_bytes());
        let room = self.info.capacity_bytes.saturating_sub(start_bytes);
        let (_, data_file) = self.data();
        whole.into_iter().chain(parts.into_iter().flatten()).filter_map(move |(range, kind)| {
            let len_bytes = range.end.min(room).checked_sub(range.start).filter(|len| *len > 0)?;
            let file = if matches!(kind, ExtentKind::Data { .. }) { data_file } else { 0 };
            let start_bytes = start_bytes.saturating_add(range.start);
            Some(Extent { start_bytes, len_bytes, kind, file })
        })
    }

    fn inflate(
        &self,
        extent: &Extent,
        (offset_bytes, len_bytes): (u64, u64),
        bench: &mut Workbench,
        out: &mut [u8],
    ) -> Result<()> {
        let index = extent.start_bytes >> self.header.cluster_bits();
        let fail = |leaf| Error::malformed(ClusterError::Inflate(index, leaf)).at(offset_bytes);
        let Workbench { inflater, record, grain, .. } = bench;
        record.resize(buffer_len(len_bytes.min(self.max_record_bytes())), 0);
        self.bytes.fill(record, offset_bytes)?;
        let mut exactly = |out: &mut [u8]| match self.header.codec() {
            Codec::Zstd => inflater.zstd_exact(record, out),
            _ => inflater.deflate_exact(record, out),
        };
        let cluster_bytes = buffer_len(self.header.cluster_bytes());
        if out.len() == cluster_bytes {
            return exactly(out).map_err(fail);
        }
        // The last cluster of a disk is stored whole.
        grain.resize(cluster_bytes, 0);
        exactly(grain).map_err(fail)?;
        if let Some(front) = grain.get(..out.len()) {
            out.copy_from_slice(front);
        }
        Ok(())
    }

    /// The most bytes that an entry can give to a compressed cluster.
    fn max_record_bytes(&self) -> u64 {
        self.header.cluster_bytes().saturating_mul(2)
    }
}

impl Image for Reader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extents(&self) -> Extents<'_> {
        Box::new(Joined::new(Clusters::new(self)))
    }

    fn files(&self) -> &[String] {
        &self.files
    }

    fn read_extent(&self, extent: &Extent, bench: &mut Workbench, out: &mut [u8]) -> Result<()> {
        check_buffer(extent, out)?;
        match extent.kind {
            ExtentKind::Hole | ExtentKind::Zero => out.fill(0),
            ExtentKind::Data { offset_bytes } => {
                // The last cluster of a file may be cut: what is missing is zeros.
                let (file, _) = self.data();
                let filled = file.fill_padded(out, offset_bytes, file.len_bytes());
                filled.map_err(|error| match self.files.get(1) {
                    Some(name) => error.in_file(name),
                    None => error,
                })?;
            }
            ExtentKind::StoredPart { .. } => read_part(self, extent, bench, out)?,
            ExtentKind::Stored { offset_bytes, len_bytes, .. } => {
                self.inflate(extent, (offset_bytes, len_bytes), bench, out)?;
            }
        }
        Ok(())
    }

    fn stored(&self, extent: &Extent, buf: &mut Vec<u8>) -> Result<()> {
        let ExtentKind::Stored { offset_bytes, len_bytes, .. } = extent.kind else {
            return Err(Error::malformed(Failure::NotStored(extent.start_bytes)));
        };
        buf.resize(buffer_len(len_bytes.min(self.max_record_bytes())), 0);
        self.bytes.fill(buf, offset_bytes)
    }

    fn extent_at(&self, offset_bytes: u64) -> Result<Extent> {
        let index = offset_bytes >> self.header.cluster_bits();
        let number = index.checked_div(self.header.l2_entries()).unwrap_or_default();
        let cluster = match self.l1.table(number) {
            Some(place) => self.cluster(&self.cached_table(place)?, place, index)?,
            None => Cluster::Whole(ExtentKind::Hole),
        };
        let mut extents = self.extents_of(cluster, index);
        let around = extents.find(|extent| offset_bytes < extent.end_bytes());
        // Behind the capacity there is nothing.
        Ok(around.unwrap_or_else(|| Extent::new(offset_bytes, 1, ExtentKind::Zero)))
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        &self.bytes
    }

    fn check_unchanged(&self) -> Result<()> {
        self.bytes.check_unchanged()?;
        let (data, _) = self.data();
        data.check_unchanged().map_err(|error| match self.files.get(1) {
            Some(name) => Error::from(error).in_file(name),
            None => error.into(),
        })
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        let cluster_bytes = self.header.cluster_bytes();
        let span = |start: u64, len: u64| start..start.saturating_add(len);
        let (refcounts, refcount_bytes) = self.header.refcount_table();
        let fixed = [
            span(0, cluster_bytes),
            span(self.state.l1_offset_bytes, self.state.needed_l1_bytes(&self.header)),
            span(refcounts, refcount_bytes),
        ];
        let tables =
            self.l1.places().iter().map(move |place| span(place.offset_bytes, cluster_bytes));
        Box::new(fixed.into_iter().chain(tables).map(|range| (0, range)))
    }

    fn audit(&self, progress: &dyn Progress, found: &mut dyn FnMut(Finding)) -> Result<()> {
        refcounts::audit(self, progress, found)
    }
}
