//! What lies behind the end of an archive, and whether an append may cut it off.
//!
//! ```text
//! .tar      … last member | 0 | 0 | zeros                              padding of tar's records
//!           … last member | 0 | 0 | header | …                         an append that was not published
//! .tar.zst  … end frame | table | header's frame | …                   the same
//! ```
//!
//! Everything else there was lost to the archive by damage: a zeroed header ends it for every reader, with
//! the rest of the members behind it. An append of ours begins at one place only, with a header as only we
//! write it, and makes that first write durable before the next one. So what does not begin so and is
//! longer than a first write is not ours, and neither is what holds a second append or a member that the
//! archive has already.

use std::collections::HashSet;

use disk::{ReadAt, is_zero};

use crate::{
    Bundle, Error, Form, Result, Role,
    frames::{self, Piece},
    tar::{self, BLOCK},
};

/// The longest padding that is looked through (ours; tar's largest usual record has 1 MiB).
const MAX_PADDING_BYTES: u64 = 1 << 30;
/// The most members or frames of an append that are looked at (ours).
const MAX_STEPS: usize = 4 << 20;
/// What the first write of an append to a compressed file has at most: the frame of one header.
const FIRST_FRAME_BYTES: u64 = 1024;
/// How much of the padding is read at once.
const STEP_BYTES: usize = 1 << 20;

/// The byte of the file behind all that counts, where an append begins.
pub(crate) fn start(bundle: &Bundle) -> Result<u64> {
    let archive = &bundle.archive;
    let Some(unpacked) = &archive.unpacked else {
        return Ok(archive.end_bytes.saturating_add(tar::END_BYTES));
    };
    let end = unpacked.frames().packed_bytes();
    Ok(end.saturating_add(frames::table_bytes(archive.file(), end)?))
}

/// Refuses a file with bytes behind its end that neither are padding nor come of an unfinished append.
///
/// # Errors
/// `E0605` with the byte; when reading fails.
pub(crate) fn check(bundle: &Bundle) -> Result<()> {
    let start = start(bundle)?;
    let tail = Tail { bundle, file: bundle.archive.file(), start };
    let is_ours = match bundle.form() {
        Form::Tar => {
            tail.check_end_blocks()?;
            tail.is_plain_append()?
        }
        Form::TarZst => tail.is_packed_append()?,
    };
    if is_ours {
        return Ok(());
    }
    let message = "bytes behind the end of the archive that no unfinished append has left there";
    Err(Error::damaged(message).at(start))
}

/// What lies behind an archive.
struct Tail<'a> {
    bundle: &'a Bundle,
    file: &'a dyn ReadAt,
    start: u64,
}

impl Tail<'_> {
    /// The two blocks at the end are zeros, or the header of which only a part arrived.
    fn check_end_blocks(&self) -> Result<()> {
        let end = self.bundle.archive.end_bytes;
        let there = self.file.len_bytes().saturating_sub(end).min(tar::END_BYTES);
        let mut blocks = vec![0; usize::try_from(there).unwrap_or(0)];
        self.file.read_exact_at(&mut blocks, end)?;
        let (first, second) = blocks.split_at(blocks.len().min(tar::BLOCK_LEN));
        let is_torn = first.first_chunk().is_some_and(tar::is_torn_pad);
        if (is_torn || is_zero(first)) && is_zero(second) {
            return Ok(());
        }
        let message =
            "the blocks behind the last member are not zero, the archive does not end there";
        Err(Error::damaged(message).at(end))
    }

    /// Whether it is padding, or one append to a plain archive.
    fn is_plain_append(&self) -> Result<bool> {
        let known = self.known();
        let mut at = self.start;
        for _ in 0..MAX_STEPS {
            let Some(block) = self.block(at)? else { return Ok(true) };
            let Some((name, length_bytes)) = tar::own_header(&block) else {
                // Behind a sound beginning anything may be missing. A torn one has nothing behind it.
                return Ok(at > self.start || self.is_padding(at.saturating_add(BLOCK))?);
            };
            if !self.may_be_new(&known, &name) {
                return Ok(false);
            }
            let Some(next) =
                tar::blocks_bytes(length_bytes).and_then(|blocks| at.checked_add(blocks))
            else {
                return Ok(false);
            };
            if matches!(Role::of(&name), Role::Manifest { .. }) {
                // The manifest is the last member of an append.
                return self.is_padding(next);
            }
            at = next;
        }
        Ok(false)
    }

    /// Whether it is nothing, or one append to a compressed archive.
    fn is_packed_append(&self) -> Result<bool> {
        let length = self.file.len_bytes();
        let (mut at, mut is_sound) = (self.start, false);
        for _ in 0..MAX_STEPS {
            if at >= length {
                return Ok(true);
            }
            let (piece, piece_bytes) = frames::piece(self.file, at)?;
            let next = at.saturating_add(piece_bytes);
            match piece {
                Piece::Content if is_sound => {}
                Piece::Content if self.is_header_frame(at)? => is_sound = true,
                Piece::End => {
                    let table = frames::table_bytes(self.file, next)?;
                    return Ok(table == 0 || next.saturating_add(table) == length);
                }
                Piece::Filler => {}
                Piece::Content | Piece::Skipped => return Ok(false),
                Piece::Unknown => {
                    let left = length.saturating_sub(at);
                    return Ok(is_sound || left <= FIRST_FRAME_BYTES);
                }
            }
            at = next;
        }
        Ok(false)
    }

    /// Whether the frame at a place holds the header of a member that could have been added.
    fn is_header_frame(&self, at: u64) -> Result<bool> {
        let Some(block) = frames::block_at(self.file, at)? else { return Ok(false) };
        let header = tar::own_header(&block);
        Ok(header.is_some_and(|(name, _)| self.may_be_new(&self.known(), &name)))
    }

    /// Whether an append to this archive may have written a member of this name.
    fn may_be_new(&self, known: &HashSet<&str>, name: &ovf::EntryName) -> bool {
        match Role::of(name) {
            Role::Pad => false,
            Role::Manifest { .. } if self.bundle.current_manifest().is_none() => false,
            _ => !known.contains(name.as_str()),
        }
    }

    fn known(&self) -> HashSet<&str> {
        self.bundle.members().map(|member| member.name.as_str()).collect()
    }

    /// The whole block at a place; `None` where the file has no whole one.
    fn block(&self, at: u64) -> Result<Option<[u8; tar::BLOCK_LEN]>> {
        if at.saturating_add(BLOCK) > self.file.len_bytes() {
            return Ok(None);
        }
        let mut block = [0; tar::BLOCK_LEN];
        self.file.read_exact_at(&mut block, at)?;
        Ok(Some(block))
    }

    /// Whether nothing but zeros follows, and not too many of them.
    fn is_padding(&self, from: u64) -> Result<bool> {
        let left = self.file.len_bytes().saturating_sub(from);
        if left > MAX_PADDING_BYTES {
            return Ok(false);
        }
        let step = STEP_BYTES.min(usize::try_from(left).unwrap_or(STEP_BYTES));
        let mut buffer = vec![0; step];
        for at in (from..from.saturating_add(left)).step_by(step.max(1)) {
            let rest = from.saturating_add(left).saturating_sub(at);
            let count = usize::try_from(rest).unwrap_or(usize::MAX).min(step);
            let bytes = buffer.get_mut(..count).unwrap_or_default();
            self.file.read_exact_at(bytes, at)?;
            if !is_zero(bytes) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use code::Code;
    use disk::Unheard;

    use super::*;
    use crate::{Level, append, fake::Memory, sample, verify};

    const STRANGE: &str =
        "bytes behind the end of the archive that no unfinished append has left there";

    /// A bundle with some appends.
    fn grown(form: Form, generations: u64) -> Vec<u8> {
        let medium = Memory::with(sample::bundle(form));
        for generation in 1..=generations {
            let bundle = sample::open(medium.bytes());
            append(&bundle, &medium, &sample::increment(generation), &Unheard).unwrap();
        }
        medium.bytes()
    }

    /// That an append is refused, changes nothing, and that verify says the same.
    fn refused(bytes: &[u8], generation: u64, want: &str) {
        let bundle = sample::open(bytes.to_vec());
        let medium = Memory::with(bytes.to_vec());
        let error = append(&bundle, &medium, &sample::increment(generation), &Unheard).unwrap_err();
        assert_eq!((error.message(), error.code()), (want, Code::E0605));
        assert!(medium.bytes() == bytes && medium.acts() == 0);
        let report = verify(&bundle, Level::Quick, &Unheard).unwrap();
        assert!(report.faults.iter().any(|fault| fault.message == want), "{:?}", report.faults);
    }

    /// The byte of a member's header in a plain archive.
    fn header_of(bytes: &[u8], name: &str) -> usize {
        let bundle = sample::open(bytes.to_vec());
        let member = bundle.archive.members.iter().rfind(|member| member.name.as_str() == name);
        usize::try_from(member.unwrap().offset_bytes).unwrap() - tar::BLOCK_LEN
    }

    fn zeroed(bytes: &[u8], name: &str, length: usize) -> Vec<u8> {
        let (mut bytes, at) = (bytes.to_vec(), header_of(bytes, name));
        bytes[at..at + length].fill(0);
        bytes
    }

    #[test]
    fn zeros_in_the_middle_of_an_archive_never_cost_what_lies_behind_them() {
        let bytes = grown(Form::Tar, 2);
        let not_zero =
            "the blocks behind the last member are not zero, the archive does not end there";
        for (name, length, want) in [
            ("web-disk0.qcow2", 512, not_zero),
            ("web-disk0.qcow2", 4096, STRANGE),
            ("tools.iso", 512, not_zero),
            // The whole member: the next header lies where an append of ours would begin.
            ("tools.iso", 512 + 1024, STRANGE),
            ("1700000000-manifest.json", 1024, STRANGE),
        ] {
            refused(&zeroed(&bytes, name, length), 3, want);
        }
        // The manifest that is left does not list what the lost one listed.
        for name in ["1700000001-web.xml", "1700000001-manifest.json"] {
            let bytes = zeroed(&bytes, name, 1024);
            let error = append(
                &sample::open(bytes.clone()),
                &Memory::with(bytes),
                &sample::increment(3),
                &Unheard,
            );
            assert_eq!(
                error.unwrap_err().to_string(),
                "web-1.snapshot: the manifest does not list it"
            );
        }
        // An append that was published and has another one behind it.
        let pad = bytes.windows(512).position(|block| *block == tar::pad_header()).unwrap();
        let mut unpublished = bytes.clone();
        unpublished[pad..pad + 512].fill(0);
        refused(&unpublished, 3, STRANGE);
    }

    #[test]
    fn a_lost_write_that_published_an_append_never_costs_the_next_one() {
        let bytes = grown(Form::TarZst, 2);
        let passed = frames::PASSED_END_FRAME;
        let at = bytes.windows(passed.len()).position(|part| part == passed).unwrap();
        let mut lost = bytes;
        lost[at..at + passed.len()].copy_from_slice(&frames::END_FRAME);
        refused(&lost, 3, STRANGE);
    }

    #[test]
    fn a_table_that_is_none_is_not_cut_off() {
        let mut bytes = sample::bundle(Form::TarZst);
        let table = frames::find(&bytes).unwrap().frames.packed_bytes();
        bytes[usize::try_from(table).unwrap()] ^= 1;
        refused(&bytes, 1, STRANGE);
    }

    #[test]
    fn bytes_of_another_origin_are_not_cut_off() {
        for form in [Form::Tar, Form::TarZst] {
            let mut bytes = grown(form, 1);
            bytes.extend([0xff; 5000]);
            refused(&bytes, 2, STRANGE);
        }
        let mut foreign = sample::foreign(Form::Tar, &[("1-a.xml", sample::xml("a"))]);
        foreign.extend(&sample::bundle(Form::Tar));
        refused(&foreign, 1, STRANGE);
    }

    #[test]
    fn padding_and_every_part_of_an_append_are_cut_off() {
        for form in [Form::Tar, Form::TarZst] {
            let first = sample::bundle(form);
            let whole = grown(form, 1);
            let mut lengths: Vec<usize> = (first.len()..whole.len()).step_by(77).collect();
            lengths.push(whole.len());
            for length in lengths {
                // All of it but the write that publishes.
                let mut bytes = first.clone();
                bytes.extend(&whole[first.len()..length]);
                let bundle = sample::open(bytes);
                assert_eq!(bundle.members().count(), 4, "{form:?} {length}");
                check(&bundle).unwrap_or_else(|error| panic!("{form:?} {length}: {error}"));
            }
        }
        let mut padded = sample::bundle(Form::Tar);
        padded.resize(padded.len() + (1 << 20) + 5, 0);
        check(&sample::open(padded.clone())).unwrap();
        padded.push(1);
        refused(&padded, 1, STRANGE);
        let hole = Sparse(sample::bundle(Form::Tar), 1 << 60);
        check(&Bundle::open(Arc::new(hole)).unwrap()).unwrap_err();
    }

    /// A file with a long hole at its end.
    #[derive(Debug)]
    struct Sparse(Vec<u8>, u64);

    impl ReadAt for Sparse {
        fn len_bytes(&self) -> u64 {
            self.1
        }

        fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> std::io::Result<()> {
            for (byte, at) in buf.iter_mut().zip(offset_bytes..) {
                *byte =
                    usize::try_from(at).ok().and_then(|at| self.0.get(at)).copied().unwrap_or(0);
            }
            Ok(())
        }
    }
}
