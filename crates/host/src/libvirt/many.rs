//! The documents of many things from few calls: each start of virsh takes longer than its answer, and over
//! ssh it is a new connection.

use std::time::Duration;

use vm::Uuid;

use super::{
    Libvirt, LibvirtError, LibvirtKind,
    virsh::Order,
    xml::{self, Element},
};

/// The most things that one call asks for (ours): a definition is about 10 kB.
const MANY: usize = 100;

/// How long one call may take (ours): two round trips for each document.
const LIMIT: Duration = Duration::from_secs(40);

/// One kind of things that a host has, and how virsh asks for the document of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Things<'a> {
    /// What is tried, as an error says it.
    pub(super) what: &'a str,
    /// The command: `dumpxml`.
    pub(super) verb: &'static str,
    /// The option in front of the UUID: `--domain`.
    pub(super) option: &'static str,
    /// The name of the root.
    pub(super) root: &'static str,
}

impl Libvirt {
    /// The documents of these things, in their order, without those that the host has no longer or does not
    /// show.
    ///
    /// # Errors
    /// Whoever does not answer is not asked for the rest: each question may take its time.
    pub(super) fn documents(
        &self,
        things: &Things<'_>,
        uuids: &[Uuid],
    ) -> Result<Vec<(Uuid, Element)>, LibvirtError> {
        let mut documents = Vec::with_capacity(uuids.len());
        for some in uuids.chunks(MANY) {
            let together = self.together(things, some);
            for uuid in some {
                let found = together.iter().find(|it| identity(it) == Some(*uuid)).cloned();
                let document =
                    found.map_or_else(|| self.alone(things, *uuid), |it| Ok(Some(it)))?;
                documents.extend(document.map(|document| (*uuid, document)));
            }
        }
        Ok(documents)
    }

    /// As many as one call tells of; who is not among them is asked for alone.
    fn together(&self, things: &Things<'_>, uuids: &[Uuid]) -> Vec<Element> {
        if uuids.len() < 2 {
            return Vec::new();
        }
        let Things { what, verb, option, root } = *things;
        // virsh takes a single word for commands with `;` between them, and goes on behind one that fails
        // (virsh(1), "DESCRIPTION": COMMAND_STRING).
        let commands: Vec<_> = uuids.iter().map(|uuid| format!("{verb} {option} {uuid}")).collect();
        let said = self.commands(what, &commands.join("; "), LIMIT);
        said.map_or_else(|_| Vec::new(), |said| split(&said, root))
    }

    fn alone(&self, things: &Things<'_>, uuid: Uuid) -> Result<Option<Element>, LibvirtError> {
        let values = [(things.option, &*uuid.to_string())];
        let order = Order { what: things.what, verb: &[things.verb], values: &values };
        match self.document(&order, things.root) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == LibvirtKind::Unreachable => Err(error),
            Err(_) => Ok(None),
        }
    }
}

fn identity(document: &Element) -> Option<Uuid> {
    document.text_of("uuid")?.parse().ok()
}

/// Cuts documents apart that stand one behind the other: libvirt begins a line with the end of a root, and
/// indents all that is in it, but for comments of the metadata. Who cuts there gets a piece that is no document:
/// then none of them is believed.
fn split(said: &str, root: &'static str) -> Vec<Element> {
    let end = format!("\n</{root}>\n");
    let parts = said.split_inclusive(&*end).filter(|part| !part.trim().is_empty());
    let documents: Result<Vec<_>, _> =
        parts.map(|part| xml::parse(part.as_bytes(), root)).collect();
    documents.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt as _,
    };

    use super::*;

    const THINGS: Things<'static> =
        Things { what: "look", verb: "dumpxml", option: "--domain", root: "domain" };

    /// A host that has the machines 1 and 3, does not show 2, and puts each call in the file `said`.
    fn host(folder: &tempfile::TempDir) -> Libvirt {
        let script = folder.path().join("virsh");
        let text = "#!/bin/sh
shift 3
echo \"$*\" >>\"$(dirname \"$0\")/said\"
[ ! -e \"$(dirname \"$0\")/gone\" ] || { echo 'error: failed to connect to the hypervisor' >&2; exit 1; }
echo \"$*\" | tr ';' '\\n' | (while read -r _ _ uuid; do
  case $uuid in
    *2) echo \"error: failed to get domain '$uuid'\" >&2; status=1 ;;
    *) printf '<domain>\\n  <uuid>%s</uuid>\\n</domain>\\n\\n' \"$uuid\"; status=0 ;;
  esac
done
exit $status)
";
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
        Libvirt::played_by(script.to_str().unwrap())
    }

    fn uuids(numbers: &[u32]) -> Vec<Uuid> {
        let one = |it: &u32| format!("5b1c0000-0000-4000-8000-{it:012}").parse().unwrap();
        numbers.iter().map(one).collect()
    }

    #[test]
    fn many_are_asked_for_at_once_and_who_is_missing_alone() {
        let folder = tempfile::tempdir().unwrap();
        let host = host(&folder);
        let found = host.documents(&THINGS, &uuids(&[3, 2, 1])).unwrap();
        let found: Vec<_> = found.into_iter().map(|(uuid, _)| uuid).collect();
        assert_eq!(found, uuids(&[3, 1]));
        let said = fs::read_to_string(folder.path().join("said")).unwrap();
        let [one, two, three] = &*uuids(&[1, 2, 3]) else { unreachable!() };
        let want = format!(
            "dumpxml --domain {three}; dumpxml --domain {two}; dumpxml --domain {one}\n\
             dumpxml --domain {two}\n"
        );
        assert_eq!(said, want);
    }

    #[test]
    fn a_host_that_does_not_answer_is_not_asked_for_each() {
        let folder = tempfile::tempdir().unwrap();
        let host = host(&folder);
        fs::write(folder.path().join("gone"), "").unwrap();
        let error = host.documents(&THINGS, &uuids(&[1, 2, 3])).unwrap_err();
        assert_eq!(error.kind(), LibvirtKind::Unreachable);
        let said = fs::read_to_string(folder.path().join("said")).unwrap();
        assert_eq!(said.lines().count(), 2, "all together, and the first alone");
    }

    #[test]
    fn more_than_one_call_tells_of_keep_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let host = host(&folder);
        let numbers: Vec<u32> = (1000..1250).filter(|it| it % 10 != 2).rev().collect();
        let found = host.documents(&THINGS, &uuids(&numbers)).unwrap();
        assert_eq!(found.into_iter().map(|(uuid, _)| uuid).collect::<Vec<_>>(), uuids(&numbers));
        let said = fs::read_to_string(folder.path().join("said")).unwrap();
        assert_eq!(said.lines().count(), 3);
    }

    fn names(said: &str) -> Vec<String> {
        split(said, "pool").iter().filter_map(|it| it.text_of("name").map(str::to_owned)).collect()
    }

    #[test]
    fn documents_are_cut_where_their_roots_end() {
        let said = "<pool>\n  <name>a</name>\n</pool>\n\n<pool type='dir'>\n  <x>\n    </x>\n  \
                    <name>b</name>\n</pool>\n\n";
        assert_eq!(names(said), ["a", "b"]);
        assert_eq!(names(""), [""; 0]);
    }

    #[test]
    fn where_one_document_holds_another_none_is_believed() {
        let forged = "<pool>\n  <name>a</name>\n<!--\n</pool>\n<pool>\n  <name>b</name>\n</pool>\n-->\n</pool>\n";
        let said = format!("{forged}\n<pool>\n  <name>b</name>\n</pool>\n");
        assert_eq!(names(&said), [""; 0]);
        assert_eq!(names("<pool>\n  <name>a</name>\n</pool>\n<pool>\n"), [""; 0]);
    }
}
