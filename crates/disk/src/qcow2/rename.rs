//! Another name for the parent of an image that is copied as it is.

use crate::{
    Error, Format, Result,
    error::Kind,
    fields::buffer_len,
    qcow2::{
        extensions::{BACKING_FORMAT, Entry, Extensions, entries},
        header::{Header, MAX_BACKING_BYTES},
        open::is_protocol,
    },
};

/// The autoclear features that stay true when only a name changes: bitmaps agree with the content.
const KEPT_AUTOCLEAR: u64 = 1;
/// Where the header says which autoclear features there are, in version 3.
const AUTOCLEAR_AT: usize = 88;
/// Where the header says where the name of the backing file stands; its length follows.
const BACKING_AT: usize = 8;

#[derive(Debug, thiserror::Error)]
enum RenameError {
    #[error("the image keeps its clusters in an external data file")]
    DataFile,
    #[error("a head of {found} bytes is shorter than the first cluster, which has {wanted}")]
    Short { found: usize, wanted: u64 },
    #[error("the first cluster holds something that is neither header nor extension nor name")]
    Foreign,
    #[error("the name of the backing file is empty")]
    Empty,
    #[error("the name of the backing file holds a NUL character")]
    Nul,
    #[error("the backing file name {0:?} is a protocol of QEMU and no file")]
    Protocol(String),
    #[error("a backing file name of {0} bytes is over the limit of {MAX_BACKING_BYTES}")]
    Length(usize),
    #[error("header, extensions and name of {needed} bytes are over the {cluster} of a cluster")]
    Room { needed: usize, cluster: usize },
}

/// Tells how many bytes [`rename_backing`] needs: the image's first cluster, 512 bytes ..= 2 MiB.
///
/// # Errors
///
/// `start` has less than 24 bytes, or is no qcow2 with a cluster size that QEMU allows.
pub fn head_len_bytes(start: &[u8]) -> Result<usize> {
    Ok(buffer_len(Header::cluster_bytes_at(start)?))
}

/// Gives the first cluster of an image another backing file, or none, and returns it.
///
/// Every other byte of the file can stay where it is. All extensions are kept; autoclear features
/// that are not known are cleared, as who changes an image has to ("Header", bytes 88 - 95). What the
/// guest reads stays the same only if the content of the backing file does: it is not looked at.
///
/// # Errors
///
/// A `head` that is shorter than the first cluster or no sound header of an image without an
/// external data file; bytes between the parts of the header that belong to none of them; a name that
/// QEMU would not take, or take for a protocol; a name that does not fit into the cluster.
pub fn rename_backing(head: &[u8], backing: Option<(&str, Format)>) -> Result<Vec<u8>> {
    let header = Header::parse(head)?;
    if header.has_data_file() {
        return Err(Error::new(Kind::Denied, RenameError::DataFile).at(72));
    }
    let short = || RenameError::Short { found: head.len(), wanted: header.cluster_bytes() };
    let cluster = head.get(..buffer_len(header.cluster_bytes()));
    let cluster = cluster.ok_or_else(|| Error::malformed(short()))?;
    Extensions::parse(&header, cluster)?;
    let entries = entries(&header, cluster)?;
    require_nothing_else(&header, &entries, cluster)?;
    if let Some((name, _)) = backing {
        check_name(name)?;
    }

    let mut new = cluster.get(..buffer_len(header.header_bytes())).unwrap_or_default().to_vec();
    if let Some((_, format)) = backing {
        push(&mut new, BACKING_FORMAT, format_name(format).as_bytes());
    }
    for entry in entries.iter().filter(|entry| entry.kind != BACKING_FORMAT) {
        push(&mut new, entry.kind, entry.data);
    }
    push(&mut new, 0, &[]);
    let name = backing.map_or("", |(name, _)| name);
    let offset = if name.is_empty() { 0 } else { new.len() };
    new.extend_from_slice(name.as_bytes());
    if new.len() > cluster.len() {
        let leaf = RenameError::Room { needed: new.len(), cluster: cluster.len() };
        return Err(Error::new(Kind::Limit, leaf));
    }
    new.resize(cluster.len(), 0);
    let (offset, len) = (u64::try_from(offset), u32::try_from(name.len()));
    put(&mut new, BACKING_AT, &offset.unwrap_or_default().to_be_bytes());
    put(&mut new, BACKING_AT.saturating_add(8), &len.unwrap_or_default().to_be_bytes());
    if header.version() >= 3 {
        let kept = header.autoclear() & KEPT_AUTOCLEAR;
        put(&mut new, AUTOCLEAR_AT, &kept.to_be_bytes());
    }
    Ok(new)
}

/// Refuses bytes that would be lost: a cluster that a table points into the first one, for example.
fn require_nothing_else(header: &Header, entries: &[Entry<'_>], cluster: &[u8]) -> Result<()> {
    let extensions = entries.last().map_or(header.header_bytes(), Entry::end_bytes);
    let name = header.backing_range().unwrap_or(extensions..extensions);
    for gap in [extensions..name.start, name.end..header.cluster_bytes()] {
        let bytes = cluster.get(buffer_len(gap.start)..buffer_len(gap.end)).unwrap_or_default();
        if let Some(found) = bytes.iter().position(|byte| *byte != 0) {
            let found = u64::try_from(found).unwrap_or_default();
            let at = gap.start.saturating_add(found);
            return Err(Error::unsupported(RenameError::Foreign).at(at));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    let limit = buffer_len(MAX_BACKING_BYTES.into());
    let (kind, leaf) = if name.is_empty() {
        (Kind::Malformed, RenameError::Empty)
    } else if name.len() > limit {
        (Kind::Limit, RenameError::Length(name.len()))
    } else if name.contains('\0') {
        (Kind::Malformed, RenameError::Nul)
    } else if is_protocol(name) {
        (Kind::Unsafe, RenameError::Protocol(name.to_owned()))
    } else {
        return Ok(());
    };
    Err(Error::new(kind, leaf))
}

/// What QEMU calls a format.
fn format_name(format: Format) -> &'static str {
    match format {
        Format::Vhd => "vpc",
        other => other.as_str(),
    }
}

/// Appends an extension, padded to a multiple of 8 bytes.
fn push(new: &mut Vec<u8>, kind: u32, data: &[u8]) {
    new.extend_from_slice(&kind.to_be_bytes());
    new.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    new.extend_from_slice(data);
    new.resize(new.len().next_multiple_of(8), 0);
}

/// Writes a field of the header, which every cluster has room for.
fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    let end = at.saturating_add(field.len());
    if let Some(place) = bytes.get_mut(at..end) {
        place.copy_from_slice(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        FileName,
        qcow2::header::tests::{good, put32, put64},
    };

    /// The offset of a name behind the header, one extension and the end mark.
    const NAME_AT: usize = 112 + 16 + 8;

    /// A head with a feature name, the format `raw` and the parent `old.raw`.
    fn child() -> Vec<u8> {
        let mut b = good();
        put32(&mut b, 112, 0x6803_f857);
        put32(&mut b, 116, 3);
        b[120..123].copy_from_slice(b"abc");
        put32(&mut b, 128, BACKING_FORMAT);
        put32(&mut b, 132, 3);
        b[136..139].copy_from_slice(b"raw");
        b[152..159].copy_from_slice(b"old.raw");
        put64(&mut b, 8, 152);
        put32(&mut b, 16, 7);
        b
    }

    /// The parent's name, its format and the kinds of all extensions.
    fn facts(head: &[u8]) -> (Option<String>, Option<String>, Vec<u32>) {
        let header = Header::parse(head).unwrap();
        let found = Extensions::parse(&header, head).unwrap();
        let kinds = entries(&header, head).unwrap().iter().map(|entry| entry.kind).collect();
        (header.backing().map(FileName::text).map(str::to_owned), found.backing_format, kinds)
    }

    fn refusal(head: &[u8], name: &str) -> String {
        rename_backing(head, Some((name, Format::Qcow2))).err().unwrap().to_string()
    }

    #[test]
    fn gives_an_image_another_parent_and_keeps_every_other_extension() {
        let new = rename_backing(&child(), Some(("/i/new.qcow2", Format::Qcow2))).unwrap();
        let kinds = vec![BACKING_FORMAT, 0x6803_f857];
        assert_eq!(facts(&new), (Some("/i/new.qcow2".into()), Some("qcow2".into()), kinds));
        assert_eq!((new.len(), &new[20..112]), (65536, &child()[20..112]));
        let back = rename_backing(&new, Some(("old.raw", Format::Raw))).unwrap();
        assert_eq!(facts(&back).0.as_deref(), Some("old.raw"));
    }

    #[test]
    fn takes_a_parent_away_and_leaves_nothing_of_its_name() {
        let new = rename_backing(&child(), None).unwrap();
        assert_eq!(facts(&new), (None, None, vec![0x6803_f857]));
        assert!(new[128..].iter().all(|byte| *byte == 0));
        assert_eq!(new[8..20], [0; 12]);
    }

    #[test]
    fn gives_a_parent_to_an_image_without_one() {
        let new = rename_backing(&good(), Some(("b", Format::Vhd))).unwrap();
        assert_eq!(facts(&new), (Some("b".into()), Some("vpc".into()), vec![BACKING_FORMAT]));
        assert_eq!(new[NAME_AT], b'b');
        assert_eq!(rename_backing(&new, None).unwrap(), good());
    }

    #[test]
    fn renames_in_version_2_whose_header_is_shorter() {
        let mut b = good();
        put32(&mut b, 4, 2);
        b[72..].fill(0);
        let new = rename_backing(&b, Some(("base", Format::Raw))).unwrap();
        assert_eq!(facts(&new), (Some("base".into()), Some("raw".into()), vec![BACKING_FORMAT]));
        assert_eq!(rename_backing(&new, None).unwrap(), b);
    }

    #[test]
    fn clears_the_autoclear_features_that_it_does_not_know() {
        let mut b = child();
        put64(&mut b, 88, 1 << 40 | 1);
        let new = rename_backing(&b, None).unwrap();
        assert_eq!(new[88..96], 1_u64.to_be_bytes());
    }

    #[test]
    fn takes_a_name_up_to_the_limit_and_the_end_of_the_cluster() {
        let mut small = good();
        put32(&mut small, 20, 9);
        put64(&mut small, 24, 1 << 16);
        put32(&mut small, 36, 2);
        small.truncate(512);
        let longest = "n".repeat(512 - NAME_AT);
        let new = rename_backing(&small, Some((&longest, Format::Qcow2))).unwrap();
        assert_eq!(facts(&new).0, Some(longest.clone()));
        assert_eq!(
            refusal(&small, &(longest + "n")),
            "header, extensions and name of 513 bytes are over the 512 of a cluster"
        );
        rename_backing(&good(), Some((&"n".repeat(1023), Format::Qcow2))).unwrap();
        assert_eq!(
            refusal(&good(), &"n".repeat(1024)),
            "a backing file name of 1024 bytes is over the limit of 1023"
        );
    }

    #[test]
    fn refuses_names_that_qemu_would_not_take_for_a_file() {
        for (name, want) in [
            ("", "the name of the backing file is empty"),
            ("a\0b", "the name of the backing file holds a NUL character"),
            ("nbd:h:1", r#"the backing file name "nbd:h:1" is a protocol of QEMU and no file"#),
            ("json:{}", r#"the backing file name "json:{}" is a protocol of QEMU and no file"#),
        ] {
            assert_eq!(refusal(&good(), name), want);
        }
        rename_backing(&good(), Some(("/a:b", Format::Raw))).unwrap();
    }

    #[test]
    fn refuses_what_would_be_lost() {
        let mut b = child();
        put32(&mut b, 76, 4);
        assert_eq!(
            refusal(&b, "n"),
            "the image keeps its clusters in an external data file, at byte 72"
        );
        // In the end mark, behind the name, at the end.
        for at in [150, 159, 65535] {
            let mut b = child();
            b[at] = 1;
            let want = format!(
                "the first cluster holds something that is neither header nor extension nor name, at byte {at}"
            );
            assert_eq!(refusal(&b, "n"), want);
        }
    }

    #[test]
    fn refuses_a_head_that_is_cut() {
        let want = "a head of 65535 bytes is shorter than the first cluster, which has 65536";
        assert_eq!(refusal(&child()[..65535], "n"), want);
        for len in (0..159).chain([4096]) {
            assert!(rename_backing(&child()[..len], None).is_err(), "{len}");
        }
    }

    #[test]
    fn tells_how_much_it_needs_from_the_first_bytes() {
        assert_eq!(head_len_bytes(&good()[..24]).unwrap(), 65536);
        let message = |start: &[u8]| head_len_bytes(start).unwrap_err().to_string();
        assert_eq!(message(&good()[..23]), "a header of 23 bytes is cut, at byte 0");
        assert_eq!(message(b"QFI"), "the magic number is not QFI\\xfb, at byte 0");
        let mut b = good();
        put32(&mut b, 20, 22);
        assert_eq!(message(&b), "cluster_bits 22 is not in 9..=21, at byte 20");
    }
}
