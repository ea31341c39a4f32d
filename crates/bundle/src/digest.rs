//! The digest of a member, and what the manifest says of it.

use blake3::Hasher;
use disk::Progress;

use crate::{Bundle, Error, Member, MemberDigest, Result, Role, writer::for_each_step};

impl Bundle {
    /// Reads a whole member and compares it with the manifest: whoever uses its bytes can call this beside
    /// the copy.
    ///
    /// In a bundle without a manifest there is nothing to compare with, and nothing is read. A manifest
    /// is compared with the digest that it carries itself.
    ///
    /// # Errors
    /// `E0605`, naming the member, when it is not what the manifest says or the manifest does not list it,
    /// and when the manifest itself is damaged; when reading fails or `progress` says stop.
    pub fn check_member(&self, member: &Member, progress: &dyn Progress) -> Result<()> {
        let Some(manifest) = self.manifest()? else { return Ok(()) };
        if matches!(member.role, Role::Manifest { .. }) {
            return self.parsed(member).map(drop);
        }
        let name = member.name.as_str();
        let due = manifest.member(name).ok_or_else(unlisted);
        due.and_then(|due| compare(due, &digest_of(self, member, progress)?))
            .map_err(|error| error.in_member(name))
    }
}

/// A member that came into the archive by another hand.
pub(crate) fn unlisted() -> Error {
    Error::damaged("the manifest does not list it")
}

/// What a member has: its length and its digest.
pub(crate) fn digest_of(
    bundle: &Bundle,
    member: &Member,
    progress: &dyn Progress,
) -> Result<MemberDigest> {
    let (bytes, length_bytes) = (bundle.bytes(member)?, member.length_bytes);
    let mut hasher = Hasher::new();
    for_each_step(&*bytes, 0..length_bytes, progress, |step| {
        hasher.update(step);
        Ok(())
    })
    .map_err(|error| error.counted_from(member.offset_bytes))?;
    let blake3 = hasher.finalize().to_hex().to_string();
    Ok(MemberDigest { name: member.name.to_string(), length_bytes, blake3 })
}

/// Compares what a member has with what is due.
pub(crate) fn compare(due: &MemberDigest, found: &MemberDigest) -> Result<()> {
    if found.length_bytes != due.length_bytes {
        let message = format!("{} bytes, {} are due", found.length_bytes, due.length_bytes);
        return Err(Error::damaged(message));
    }
    if found.blake3 != due.blake3 {
        let due = crate::error::shown(&due.blake3);
        let message = format!("the BLAKE3 digest is {}, {due} is due", found.blake3);
        return Err(Error::damaged(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use code::Code;
    use disk::Unheard;

    use super::*;
    use crate::{Form, Level, append, fake::Memory, sample, verify};

    fn check(bundle: &Bundle, name: &str) -> Result<()> {
        bundle.check_member(bundle.member(name).unwrap(), &Unheard)
    }

    #[test]
    fn a_member_is_what_the_manifest_says_or_is_named() {
        for form in [Form::Tar, Form::TarZst] {
            let bundle = sample::open(sample::bundle(form));
            for member in bundle.members() {
                bundle.check_member(member, &Unheard).unwrap();
            }
        }
        let mut bytes = sample::bundle(Form::Tar);
        let at = sample::open(bytes.clone()).member("tools.iso").unwrap().offset_bytes as usize;
        let due = blake3::hash(&bytes[at..at + 700]).to_hex();
        bytes[at + 3] ^= 1;
        let found = blake3::hash(&bytes[at..at + 700]).to_hex();
        let bundle = sample::open(bytes);
        let error = check(&bundle, "tools.iso").unwrap_err();
        let want = format!("tools.iso: the BLAKE3 digest is {found}, {due} is due");
        assert_eq!((error.to_string(), error.code()), (want, Code::E0605));
        check(&bundle, "web-disk0.qcow2").unwrap();
    }

    #[test]
    fn a_member_of_another_length_or_by_another_hand_is_named() {
        let mut members = sample::content(&sample::open(sample::bundle(Form::Tar)));
        members[2].1.push(1);
        members.push(("new.iso".to_owned(), vec![1]));
        let members: Vec<_> =
            members.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        let bundle = sample::open(sample::foreign(Form::Tar, &members));
        let told = |name| check(&bundle, name).unwrap_err().to_string();
        assert_eq!(told("tools.iso"), "tools.iso: 701 bytes, 700 are due");
        assert_eq!(told("new.iso"), "new.iso: the manifest does not list it");
    }

    #[test]
    fn an_older_manifest_is_compared_with_its_own_digest() {
        let medium = Memory::with(sample::bundle(Form::Tar));
        append(&sample::open(medium.bytes()), &medium, &sample::increment(1), &Unheard).unwrap();
        let mut bytes = medium.bytes();
        let older = sample::open(bytes.clone()).member("1700000000-manifest.json").unwrap().clone();
        let tool = bytes[older.offset_bytes as usize..].windows(6).position(|six| six == b"relift");
        bytes[older.offset_bytes as usize + tool.unwrap()] ^= 1;
        let bundle = sample::open(bytes);
        let error = bundle.check_member(&older, &Unheard).unwrap_err();
        let told = error.to_string();
        let want = "1700000000-manifest.json: the manifest has the BLAKE3 digest ";
        assert!(told.starts_with(want), "{told}");
        let report = verify(&bundle, Level::Deep, &Unheard).unwrap();
        let [fault] = report.faults.as_slice() else { panic!("{:?}", report.faults) };
        assert_eq!(fault.member.as_deref(), Some("1700000000-manifest.json"));
    }

    #[test]
    fn a_bundle_without_a_manifest_has_nothing_to_compare_with() {
        let bundle = sample::open(sample::foreign(Form::Tar, &[("1-a.xml", sample::xml("a"))]));
        check(&bundle, "1-a.xml").unwrap();
    }
}
