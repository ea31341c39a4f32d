//! Whether a package is what its manifest says.

use std::collections::HashSet;

use code::Code;

use super::{Digest, Entry, Manifest};
use crate::{EntryName, Error, Finding, Kind, Place, href, quote};

impl Entry {
    /// Compares a digest with the one of the line.
    ///
    /// # Errors
    /// `E0203` with both digests when they differ.
    pub fn check(&self, actual: &Digest) -> Result<(), Error> {
        if *actual == self.digest {
            return Ok(());
        }
        let message = format!(
            "checksum does not match for {}: expected {} {}, actual {} {actual}",
            quote::Plain(&self.name),
            self.digest.algorithm().label(),
            self.digest,
            actual.algorithm().label()
        );
        Err(Error::new(Code::E0203, Kind::Integrity, message).at(Place::Line(self.line)))
    }
}

impl Manifest {
    /// Checks that the manifest speaks of exactly what is there: each used file has a line, each
    /// line has a member.
    ///
    /// Findings: no line for the descriptor (`W0609`: old OVF Tool writes it so), a line for a
    /// manifest (`W0608`), a member that is neither used nor listed (`W0608`).
    ///
    /// # Errors
    /// `E0205` naming the file.
    pub fn check_complete(
        &self,
        members: &[EntryName],
        descriptor: &EntryName,
        used: &[EntryName],
    ) -> Result<Vec<Finding>, Error> {
        if let Some(name) = used.iter().find(|name| self.expected(name).is_none()) {
            let message = format!("the manifest has no line for {}", quote::Quoted(name.as_str()));
            return Err(Error::new(Code::E0205, Kind::Integrity, message));
        }
        let mut findings = self.check_lines(members)?;
        if self.expected(descriptor).is_none() {
            let quoted = quote::Quoted(descriptor.as_str());
            let message = format!("the manifest has no line for the descriptor {quoted}");
            findings.push(Finding::new(Code::W0609, message));
        }
        for name in members {
            let is_known = name == descriptor
                || used.contains(name)
                || name.has_extension("mf")
                || name.has_extension("cert")
                || self.expected(name).is_some();
            if !is_known {
                let quoted = quote::Quoted(name.as_str());
                let message = format!("{quoted} is neither used nor in the manifest");
                findings.push(Finding::new(Code::W0608, message));
            }
        }
        Ok(findings)
    }

    /// Checks that each line has a member.
    fn check_lines(&self, members: &[EntryName]) -> Result<Vec<Finding>, Error> {
        let there: HashSet<String> = members
            .iter()
            .flat_map(|name| [name.as_str(), name.base()])
            .map(href::normal)
            .collect();
        let mut findings = Vec::new();
        for entry in &self.entries {
            let quoted = quote::Quoted(&entry.name);
            if entry.name.to_ascii_lowercase().ends_with(".mf") {
                let message = format!("the manifest lists the manifest {quoted}");
                findings.push(Finding::new(Code::W0608, message).at_line(entry.line));
                continue;
            }
            let spellings = [entry.plain_name(), entry.decoded_name()];
            // A file that is stored in chunks may have a line of its own.
            let is_there = |name: &String| {
                there.contains(name) || there.contains(&format!("{name}.000000000"))
            };
            if !spellings.iter().any(is_there) {
                let message = format!("the manifest lists {quoted}, which the package lacks");
                let error = Error::new(Code::E0205, Kind::Integrity, message);
                return Err(error.at(Place::Line(entry.line)));
            }
        }
        Ok(findings)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Algorithm, Hasher, write},
        *,
    };

    fn name(text: &str) -> EntryName {
        EntryName::parse(text).unwrap()
    }

    fn digest(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    fn manifest(names: &[&str]) -> Manifest {
        let lines: Vec<_> = names.iter().map(|n| (name(n), digest(n.as_bytes()))).collect();
        Manifest::parse(write(&lines).as_bytes()).unwrap()
    }

    fn complete(listed: &[&str], members: &[&str]) -> Result<Vec<String>, String> {
        let members: Vec<_> = members.iter().map(|n| name(n)).collect();
        manifest(listed)
            .check_complete(&members, &name("vm.ovf"), &[name("d.vmdk")])
            .map(|findings| findings.into_iter().map(|f| f.message).collect())
            .map_err(|e| format!("{} {e}", e.code()))
    }

    #[test]
    fn accepts_a_package_that_is_what_the_manifest_says() {
        assert_eq!(
            complete(
                &["vm.ovf", "d.vmdk", "readme.txt"],
                &["vm.ovf", "vm.mf", "d.vmdk", "readme.txt"]
            ),
            Ok(vec![])
        );
    }

    #[test]
    fn tolerates_what_old_writers_leave_out_or_add() {
        assert_eq!(
            complete(&["d.vmdk"], &["vm.ovf", "d.vmdk"]),
            Ok(vec!["the manifest has no line for the descriptor 'vm.ovf'".into()])
        );
        assert_eq!(
            complete(&["vm.ovf", "vm.mf", "d.vmdk"], &["vm.ovf", "d.vmdk", "extra.sh"]),
            Ok(vec![
                "the manifest lists the manifest 'vm.mf'".into(),
                "'extra.sh' is neither used nor in the manifest".into()
            ])
        );
    }

    #[test]
    fn refuses_a_used_file_without_a_line_and_a_line_without_a_file() {
        assert_eq!(
            complete(&["vm.ovf"], &["vm.ovf", "d.vmdk"]),
            Err("E0205 the manifest has no line for 'd.vmdk'".into())
        );
        assert_eq!(
            complete(&["vm.ovf", "d.vmdk", "e.vmdk"], &["vm.ovf", "d.vmdk"]),
            Err("E0205 the manifest lists 'e.vmdk', which the package lacks (line 3)".into())
        );
    }

    #[test]
    fn finds_a_line_by_every_spelling_of_a_name() {
        let line = |n: &str| format!("SHA256({n})= {}\n", digest(b"x"));
        let text = line("a%20b") + &line("./c") + &line("cafe\u{301}") + &line("in folder");
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        for member in ["a b", "a%20b", "c", "caf\u{e9}", "folder/in folder"] {
            assert!(manifest.expected(&name(member)).is_some(), "{member}");
        }
        assert_eq!(manifest.expected(&name("b")), None);
    }

    #[test]
    fn says_both_digests_when_they_differ() {
        let manifest = manifest(&["d.vmdk"]);
        let entry = manifest.expected(&name("d.vmdk")).unwrap();
        assert!(entry.check(&digest(b"d.vmdk")).is_ok());
        let (want, got) = (digest(b"d.vmdk"), digest(b"x"));
        assert_eq!(
            entry.check(&got).unwrap_err().to_string(),
            format!(
                "checksum does not match for d.vmdk: expected SHA256 {want}, \
                 actual SHA256 {got} (line 1)"
            )
        );
    }
}
