//! The names of internal snapshots, which are listed and not read.

use crate::{
    ReadAt, Result, Warning,
    error::shown,
    fields::{be16, be32, buffer_len},
    qcow2::header::Header,
};

/// How many snapshots are named in a message; the others are counted.
const NAMED: usize = 8;

/// The bytes of an entry before its extra data.
const ENTRY_BYTES: u64 = 40;

/// The most extra data of an entry: QEMU's limit.
const MAX_EXTRA_BYTES: u64 = 1024;

/// Warns that the snapshots of an image stay behind, by their names.
pub(super) fn warning(bytes: &dyn ReadAt, header: &Header) -> Result<Option<Warning>> {
    let (count, start) = header.snapshots();
    if count == 0 {
        return Ok(None);
    }
    let mut names = Vec::new();
    let mut at = start;
    while names.len() < NAMED.min(buffer_len(u64::from(count))) {
        let Some((name, behind)) = entry(bytes, at)? else { break };
        names.push(format!("'{}'", shown(&name)));
        at = behind;
    }
    let message =
        format!("{count} internal snapshots are not carried over ({}, …)", names.join(", "));
    let message = if names.len() as u64 == u64::from(count) {
        message.replace(", …)", ")")
    } else {
        message
    };
    Ok(Some(Warning::oddity(start, message)))
}

/// The name of the entry at `at`, and the byte behind the entry; `None` when it is damaged.
fn entry(bytes: &dyn ReadAt, at: u64) -> Result<Option<(String, u64)>> {
    let inside = |at: u64, len: u64| at.checked_add(len).filter(|end| *end <= bytes.len_bytes());
    if inside(at, ENTRY_BYTES).is_none() {
        return Ok(None);
    }
    let mut head = [0; 40];
    bytes.fill(&mut head, at)?;
    let id_bytes = u64::from(be16(&head, 12).unwrap_or_default());
    let name_bytes = u64::from(be16(&head, 14).unwrap_or_default());
    let extra_bytes = u64::from(be32(&head, 36).unwrap_or_default());
    let lead = extra_bytes.saturating_add(id_bytes).saturating_add(ENTRY_BYTES);
    let span = lead.saturating_add(name_bytes);
    let name_at = at.saturating_add(lead);
    if extra_bytes > MAX_EXTRA_BYTES || inside(at, span).is_none() {
        return Ok(None);
    }
    let mut name = vec![0; buffer_len(name_bytes)];
    bytes.fill(&mut name, name_at)?;
    let behind = at.saturating_add(span.next_multiple_of(8));
    Ok(Some((String::from_utf8_lossy(&name).into_owned(), behind)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qcow2::header::tests::{good, put32, put64};

    #[test]
    fn names_the_snapshots_that_stay_behind() {
        let mut bytes = good();
        put32(&mut bytes, 60, 2);
        put64(&mut bytes, 64, 0x8000);
        for (at, name) in [(0x8000, b"before\0\0"), (0x8000 + 64, b"after\n\0\0")] {
            bytes[at + 13] = 1;
            bytes[at + 15] = 6;
            put32(&mut bytes, at + 36, 16);
            bytes[at + 56] = b'1';
            bytes[at + 57..at + 64].copy_from_slice(&name[..7]);
        }
        let header = Header::parse(&bytes).unwrap();
        let warn = |bytes: &Vec<u8>, header| warning(bytes, header).unwrap().unwrap().to_string();
        assert_eq!(
            warn(&bytes, &header),
            "2 internal snapshots are not carried over ('before', 'after\\n'), at byte 32768"
        );
        bytes.truncate(0x8000 + 70);
        assert_eq!(
            warn(&bytes, &header),
            "2 internal snapshots are not carried over ('before', …), at byte 32768"
        );
    }
}
