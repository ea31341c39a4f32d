//! A worker's part: from the parts of a batch to what its clusters are.

use std::ops::Range;

use disk::{
    CLUSTER_BYTES, Codec, Encoder, Extent, ExtentKind, Image, Kept, Workbench, is_zero, qcow2,
};

use super::{
    batch::{Batch, CLUSTER, Content, Part, PartSource},
    tools::Tools,
};
use crate::Error;

/// How the clusters of a batch become what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// As the guest sees them.
    Plain,
    /// Compressed; streams of the source as they are, where that can be.
    Encoded,
    /// Where they are in a copy of the image's bytes, which begins at this byte of the target.
    Kept {
        /// The first byte of the copy.
        start_bytes: u64,
    },
}

/// Decodes the batches of one copy.
#[derive(Clone, Copy)]
pub(super) struct Decoder<'a> {
    pub(super) image: Option<&'a dyn Image>,
    pub(super) mode: Mode,
    pub(super) capacity_bytes: u64,
}

impl Decoder<'_> {
    /// Decodes every part of a batch and says what each of its clusters is.
    pub(super) fn decode(&self, batch: &mut Batch, tools: &mut Tools) -> Result<(), Error> {
        let parts = batch.take_parts();
        let done = match self.mode {
            Mode::Plain => self.plain(&parts, batch, tools),
            Mode::Encoded | Mode::Kept { .. } => self.groups(&parts, batch, tools),
        };
        batch.give_back_parts(parts);
        done
    }

    /// Decodes into the batch itself, which is written as it is.
    fn plain(&self, parts: &[Part], batch: &mut Batch, tools: &mut Tools) -> Result<(), Error> {
        let used = batch.clusters.len() * CLUSTER;
        if batch.buffer.len() < used {
            batch.buffer.resize(used, 0);
        }
        let buffer = &mut batch.buffer[..used];
        self.read_all(parts, 0, buffer, &mut tools.bench)?;
        let clusters = buffer.chunks_exact(CLUSTER).zip((0..).step_by(CLUSTER));
        batch.contents.extend(
            clusters.map(
                |(bytes, at)| {
                    if is_zero(bytes) { Content::Zero } else { Content::Plain { at } }
                },
            ),
        );
        Ok(())
    }

    /// Goes through the runs of clusters that must be decoded together: mostly one cluster.
    fn groups(&self, parts: &[Part], batch: &mut Batch, tools: &mut Tools) -> Result<(), Error> {
        batch.buffer.clear();
        let mut parts = parts;
        while let Some(first) = parts.first() {
            let start = first.at / CLUSTER;
            let mut end = first.end().div_ceil(CLUSTER);
            let mut count = 1;
            while let Some(next) = parts.get(count).filter(|next| next.at < end * CLUSTER) {
                end = end.max(next.end().div_ceil(CLUSTER));
                count += 1;
            }
            let (group, rest) = parts.split_at(count);
            self.group(group, start..end, batch, tools)?;
            parts = rest;
        }
        Ok(())
    }

    fn group(
        &self,
        parts: &[Part],
        clusters: Range<usize>,
        batch: &mut Batch,
        tools: &mut Tools,
    ) -> Result<(), Error> {
        if let [part] = parts
            && clusters.len() == 1
            && let Some(content) = self.as_it_is(part, &mut batch.buffer, tools)
        {
            batch.contents.push(content);
            return Ok(());
        }
        let Tools { bench, encoder, plain, .. } = tools;
        plain.resize(clusters.len() * CLUSTER, 0);
        self.read_all(parts, clusters.start * CLUSTER, plain, bench)?;
        for cluster in plain.chunks_exact(CLUSTER) {
            let content = self.encode(cluster, &mut batch.buffer, encoder)?;
            batch.contents.push(content);
        }
        Ok(())
    }

    /// A cluster that need not be encoded, or not even be moved; `None` for any other.
    ///
    /// A stream that is damaged is none: decoding it tells what is wrong.
    fn as_it_is(&self, part: &Part, out: &mut Vec<u8>, tools: &mut Tools) -> Option<Content> {
        let Tools { bench, encoder, plain, stored } = tools;
        let whole = |codec, len_bytes| len_bytes == CLUSTER_BYTES && encoder.adopts(codec);
        let (codec, stream) = match &part.source {
            PartSource::Piece(piece) => {
                piece.stored().filter(|(codec, _)| whole(*codec, piece.len_bytes))?
            }
            PartSource::Extent(extent) => {
                let ExtentKind::Stored { codec, .. } = extent.kind else {
                    return self.kept_data(extent).map(Content::Kept);
                };
                let image = self.image.filter(|_| whole(codec, extent.len_bytes))?;
                image.stored(extent, stored).ok()?;
                (codec, stored.as_slice())
            }
        };
        plain.resize(plain.len().max(CLUSTER), 0);
        let cluster = &mut plain[..CLUSTER];
        let range = encoder.adopt(codec, stream, bench, cluster)?;
        if is_zero(cluster) {
            return Some(Content::Zero);
        }
        if let Some(kept) = self.kept_stream(part, codec, &range) {
            return Some(Content::Kept(kept));
        }
        let at = out.len();
        Some(match encoder.append_adopted(codec, &stream[range], cluster, out) {
            Some(len) => Content::Stream { at, len },
            None => Content::Plain { at: append(out, cluster) },
        })
    }

    /// Where in the target a stream of the image is, when the image's bytes are copied: also one that
    /// is longer than a plain cluster, since its bytes are there anyway.
    fn kept_stream(&self, part: &Part, codec: Codec, range: &Range<usize>) -> Option<Kept> {
        let (Mode::Kept { start_bytes }, PartSource::Extent(extent)) = (self.mode, &part.source)
        else {
            return None;
        };
        let ExtentKind::Stored { offset_bytes: record, .. } = extent.kind else { return None };
        if range.len() as u64 > qcow2::MAX_KEPT_BYTES {
            return None;
        }
        let offset_bytes = start_bytes + record + codec.record_header_bytes() + range.start as u64;
        Some(Kept::Stored { offset_bytes, len_bytes: range.len() as u64 })
    }

    /// Where in the target some data of the image are, when the image's bytes are copied.
    fn kept_data(&self, extent: &Extent) -> Option<Kept> {
        let Mode::Kept { start_bytes } = self.mode else { return None };
        let offset_bytes = keepable_data(extent, self.image?)?;
        Some(Kept::Plain { offset_bytes: start_bytes + offset_bytes })
    }

    /// Puts a decoded cluster into what is written.
    fn encode(
        &self,
        cluster: &[u8],
        out: &mut Vec<u8>,
        encoder: &mut Encoder,
    ) -> Result<Content, Error> {
        if is_zero(cluster) {
            return Ok(Content::Zero);
        }
        if self.mode == Mode::Encoded {
            let at = out.len();
            if let Some(len) = encoder.encode(cluster, out).map_err(Error::target_image)? {
                return Ok(Content::Stream { at, len });
            }
        }
        Ok(Content::Plain { at: append(out, cluster) })
    }

    /// Decodes parts into `out`, which is what lies from byte `start` of the batch on.
    fn read_all(
        &self,
        parts: &[Part],
        start: usize,
        out: &mut [u8],
        bench: &mut Workbench,
    ) -> Result<(), Error> {
        let covered: usize = parts.iter().map(Part::len).sum();
        if covered < out.len() {
            out.fill(0);
        }
        for part in parts {
            let out = &mut out[part.at - start..part.end() - start];
            let decoded = match &part.source {
                PartSource::Extent(extent) => {
                    let image = self.image.expect("extents come from an image");
                    image.read_extent(extent, bench, out)
                }
                PartSource::Piece(piece) => piece.decode(bench, out),
            };
            decoded.map_err(Error::source_image)?;
        }
        Ok(())
    }
}

/// The byte of the image that some data start at, when they fill a cluster both in the disk and in
/// the image. The last cluster may be short only where the image ends, too: the written disk may be
/// larger, now or later, and its guest then sees what is behind.
pub(super) fn keepable_data(extent: &Extent, image: &dyn Image) -> Option<u64> {
    let ExtentKind::Data { offset_bytes } = extent.kind else { return None };
    let aligned = (extent.start_bytes | offset_bytes).is_multiple_of(CLUSTER_BYTES);
    let whole = extent.len_bytes >= CLUSTER_BYTES
        || offset_bytes.saturating_add(extent.len_bytes) >= image.bytes().len_bytes();
    (aligned && whole && extent.file == 0).then_some(offset_bytes)
}

/// Appends bytes and says where they start.
fn append(out: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let at = out.len();
    out.extend_from_slice(bytes);
    at
}
