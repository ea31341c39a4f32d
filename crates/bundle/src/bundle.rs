//! A bundle that is read.

use std::{collections::HashSet, fmt, sync::Arc};

use code::Code;
use disk::{Alone, Declared, FileName, Format, Gate, Image, Names, Opened, Place, ReadAt};
use ovf::{EntryName, Finding};

use crate::{
    Config, Error, Form, Kind, Manifest, Member, Node, Result, Role, TemplateDisk,
    archive::Archive, config::MAX_CONFIG_BYTES, manifest,
};

/// The most images that may stand above one another (ours).
const MAX_CHAIN: usize = 1024;

/// A bundle whose headers were read. Nothing else was.
///
/// Whoever made it: a tar with disks and a `TIME-NAME.xml`, or the same packed by any zstd, is one.
pub struct Bundle {
    pub(crate) archive: Archive,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({:?}, {} members)", self.form(), self.archive.members.len())
    }
}

impl Bundle {
    /// Reads the headers of a bundle, and none of its content.
    ///
    /// # Errors
    /// `E0101` for what is no tar, `E0102` for one that ends too early, `E0105` for an unsafe or doubled
    /// name, a link or a special file, `E0106` over a limit, `E0605` for damaged frames.
    pub fn open(file: Arc<dyn ReadAt>) -> Result<Self> {
        Ok(Self { archive: Archive::open(file)? })
    }

    /// How it is stored.
    #[must_use]
    pub fn form(&self) -> Form {
        self.archive.form
    }

    /// The length of the file in bytes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.archive.file().len_bytes()
    }

    /// The length of the archive without its end blocks, unpacked.
    #[must_use]
    pub fn archive_bytes(&self) -> u64 {
        self.archive.end_bytes
    }

    /// The members in the order of the archive, without what an append leaves between them.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.archive.members.iter().filter(|member| member.role != Role::Pad)
    }

    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members().find(|member| member.name.as_str() == name)
    }

    /// What was tolerated.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.archive.findings
    }

    /// The bytes of a member, to be read at any place from any thread; nothing else is unpacked for it.
    ///
    /// # Errors
    /// When the member is none of this bundle.
    pub fn bytes(&self, member: &Member) -> Result<Arc<dyn ReadAt>> {
        self.archive.bytes(member).map_err(|error| error.in_member(member.name.as_str()))
    }

    /// A small member as a whole.
    fn whole(&self, member: &Member) -> Result<Vec<u8>> {
        let bytes = self.bytes(member)?;
        let mut whole = vec![0; usize::try_from(member.length_bytes).unwrap_or(0)];
        let read = bytes.read_exact_at(&mut whole, 0);
        read.map_err(|error| Error::from(error).in_member(member.name.as_str()))?;
        Ok(whole)
    }

    /// The current manifest: that with the greatest number; `None` in a bundle of somebody else.
    ///
    /// # Errors
    /// As [`Manifest::parse`], and when it cannot be read.
    pub fn manifest(&self) -> Result<Option<Manifest>> {
        self.current_manifest().map(|member| self.parsed(member)).transpose()
    }

    /// A manifest, compared with its own digest.
    pub(crate) fn parsed(&self, member: &Member) -> Result<Manifest> {
        let read = manifest::check_length(member.length_bytes)
            .and_then(|()| self.whole(member))
            .and_then(|bytes| Manifest::parse(&bytes));
        read.map_err(|error| error.in_member(member.name.as_str()))
    }

    pub(crate) fn current_manifest(&self) -> Option<&Member> {
        let dated = self.members().filter_map(|member| match member.role {
            Role::Manifest { unix_seconds } => Some((unix_seconds, member)),
            _ => None,
        });
        dated.max_by_key(|(unix_seconds, _)| *unix_seconds).map(|(_, member)| member)
    }

    /// The definitions, oldest first.
    #[must_use]
    pub fn configs(&self) -> Vec<(u64, &Member)> {
        let dated = self.members().filter_map(|member| match member.role {
            Role::Config { unix_seconds } => Some((unix_seconds, member)),
            _ => None,
        });
        let mut configs: Vec<_> = dated.collect();
        configs.sort_by_key(|(unix_seconds, _)| *unix_seconds);
        configs
    }

    /// The current definition: that with the greatest number.
    ///
    /// An older one never stands in for it: it is another machine.
    ///
    /// # Errors
    /// `E0604` when there is none, or it is no domain XML; `E0106` when it is too long.
    pub fn config(&self) -> Result<Config> {
        let configs = self.configs();
        let Some((unix_seconds, member)) = configs.last() else {
            let count = self.members().count();
            let message = format!("no TIME-NAME.xml among the {count} members");
            return Err(Error::new(Code::E0604, Kind::Missing, message));
        };
        self.config_of(member, *unix_seconds)
    }

    fn config_of(&self, member: &Member, unix_seconds: u64) -> Result<Config> {
        let name = member.name.as_str();
        if member.length_bytes > MAX_CONFIG_BYTES {
            return Err(Error::limit(format!(
                "a definition of {} bytes, at most {MAX_CONFIG_BYTES} are allowed",
                member.length_bytes
            ))
            .in_member(name));
        }
        let bytes = self.whole(member)?;
        Config::parse(name, unix_seconds, bytes).map_err(|error| error.in_member(name))
    }

    /// The text of a definition that is not the current one, compared with the manifest.
    ///
    /// # Errors
    /// As [`config`](Self::config), and `E0605` when it is not what was written.
    pub fn document(&self, member: &str) -> Result<String> {
        let Some(found) = self.member(member) else {
            let message = format!("the definition {} is not there", crate::error::shown(member));
            return Err(Error::new(Code::E0604, Kind::Missing, message));
        };
        self.check_member(found, &disk::Unheard)?;
        Ok(self.config_of(found, 0)?.xml)
    }

    /// The disk images as their own headers describe them, each before those that stand on it.
    ///
    /// The backing name of a thin clone's image is a file of the host and none of the bundle's: the
    /// manifest says so of just this member and name ([`Template`](crate::Template)).
    ///
    /// # Errors
    /// When a member is no qcow2 image; `E0105` when one names something else than a member, `E0104`
    /// when that is not there, `E0402` when they stand on one another in a circle or it names a data file.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        let mut waiting = Vec::new();
        for member in self.members().filter(|member| member.role.is_image()) {
            let node = self.node(member).map_err(|error| error.in_member(member.name.as_str()))?;
            waiting.push(node);
        }
        in_order(waiting, &|name| self.backing(name).is_ok())
    }

    fn node(&self, member: &Member) -> Result<Node> {
        let node = node_of(member.name.as_str(), self.bytes(member)?)?;
        match node.backing.as_deref().map(|backing| self.backing(backing)) {
            Some(Err(refusal)) if !self.stands_on_a_template(&node) => Err(refusal),
            _ => Ok(node),
        }
    }

    /// Whether the manifest knows the image as one that stands on a disk of a template.
    fn stands_on_a_template(&self, node: &Node) -> bool {
        let template = self.manifest().ok().flatten().and_then(|manifest| manifest.template);
        template.is_some_and(|template| template.disk_below(node).is_some())
    }

    /// The member that a backing name means: a bare name, and an image.
    fn backing(&self, name: &str) -> Result<&Member> {
        let shown = crate::error::shown(name);
        let bare = EntryName::parse(name).ok().filter(|entry| {
            entry.as_str() == name && entry.folder().is_none() && !name.contains(':')
        });
        let Some(bare) = bare else {
            let message = format!("the backing name '{shown}' is no bare name of a member");
            return Err(Error::new(Code::E0105, Kind::Denied, message));
        };
        let found = self.member(bare.as_str()).filter(|member| member.role.is_image());
        found.ok_or_else(|| {
            let message = format!("the backing file '{shown}' is no image of the bundle");
            Error::new(Code::E0104, Kind::Missing, message)
        })
    }

    /// Opens a disk image with those that it stands on, as far as they are members.
    ///
    /// # Errors
    /// Those of [`disk::open_behind`], and of [`nodes`](Self::nodes) for the names.
    pub fn image(&self, member: &Member) -> Result<Box<dyn Image>> {
        self.image_above(member, &[])
    }

    /// The same, but `below` are left out: what only a disk of a template has shows as holes.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub(crate) fn image_above(
        &self,
        member: &Member,
        below: &[TemplateDisk],
    ) -> Result<Box<dyn Image>> {
        let name = member.name.as_str();
        let gate = Members { bundle: self, first: name, below };
        disk::open_behind(&gate, self.bytes(member)?, Declared::Stated(Format::Qcow2))
            .map_err(|error| Error::from(error).in_member(name))
    }
}

/// What the header of a disk image says.
///
/// # Errors
/// When it is no qcow2 image, or keeps its clusters in another file.
pub(crate) fn node_of(member: &str, bytes: Arc<dyn ReadAt>) -> Result<Node> {
    let image = disk::open_behind(&Alone, bytes, Declared::Stated(Format::Qcow2))?;
    let info = image.info();
    let mut backing = None;
    for reference in &info.references {
        if reference.role != disk::Role::BackingFile.as_str() {
            let message = format!("an image of a bundle has no {}", reference.role);
            return Err(Error::new(Code::E0402, Kind::Denied, message));
        }
        backing = Some(reference.name.clone());
    }
    Ok(Node { member: member.to_owned(), capacity_bytes: info.capacity_bytes, backing })
}

/// Sorts images so that each comes behind the one it stands on.
///
/// What is no member (`is_member`) is waited for by none.
fn in_order(mut waiting: Vec<Node>, is_member: &dyn Fn(&str) -> bool) -> Result<Vec<Node>> {
    let mut order: Vec<Node> = Vec::with_capacity(waiting.len());
    let mut there = HashSet::new();
    for _ in 0..MAX_CHAIN {
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|node: &Node| {
            node.backing.as_ref().is_none_or(|name| there.contains(name) || !is_member(name))
        });
        there.extend(ready.iter().map(|node| node.member.clone()));
        let stuck = ready.is_empty();
        order.extend(ready);
        waiting = rest;
        let Some(first) = waiting.first() else { return Ok(order) };
        if stuck {
            let message = "the image stands on itself, by way of its backing files";
            return Err(Error::new(Code::E0402, Kind::Denied, message).in_member(&first.member));
        }
    }
    Err(Error::limit(format!("more than {MAX_CHAIN} images above one another")))
}

/// Lets an image open the members that it names.
struct Members<'a> {
    bundle: &'a Bundle,
    first: &'a str,
    /// What is left out where a member stands on it.
    below: &'a [TemplateDisk],
}

impl Gate for Members<'_> {
    fn open(&self, role: disk::Role, name: &FileName, _from: &Place) -> disk::Result<Opened> {
        if role != disk::Role::BackingFile {
            let message = format!("an image of a bundle has no {role}");
            return Err(disk::Error::new(disk::Kind::Denied, message));
        }
        let refused = |error: Error| {
            let kind = match error.kind() {
                Kind::Missing => disk::Kind::Missing,
                Kind::Denied => disk::Kind::Unsafe,
                _ => disk::Kind::Io,
            };
            disk::Error::new(kind, error)
        };
        let member = self.bundle.backing(name.text()).map_err(refused)?;
        let bytes = self.bundle.bytes(member).map_err(refused)?;
        Ok(Opened { bytes, place: Place { name: member.name.to_string(), file: None } })
    }

    fn root(&self) -> Place {
        Place { name: self.first.to_owned(), file: None }
    }

    fn names(&self, from: &Place) -> Names {
        let is_on_template = self.below.iter().any(|disk| disk.member == from.name);
        if is_on_template { Names::PassedOver } else { Names::Followed }
    }

    fn max_depth(&self) -> usize {
        MAX_CHAIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Template,
        sample::{self, delta, disk, foreign, xml},
    };

    #[test]
    fn takes_a_bundle_that_was_made_by_hand() {
        let members = [
            ("readme.txt", b"hello".to_vec()),
            ("b.snapshot", delta("a.snapshot", 3)),
            ("900-old.xml", xml("old")),
            ("a.snapshot", delta("disk.qcow2", 2)),
            ("1000-new.xml", xml("new")),
            ("disk.qcow2", disk(1)),
            ("b.memory", vec![1; 10]),
        ];
        let tar = foreign(Form::Tar, &members);
        // Ours, one frame without a table by somebody else, and frames without a table.
        let whole = zstd::encode_all(tar.as_slice(), 3).unwrap();
        let parts = tar.chunks(5000).map(|part| zstd::bulk::compress(part, 3).unwrap());
        let parts = parts.collect::<Vec<_>>().concat();
        for bytes in [tar, foreign(Form::TarZst, &members), whole, parts] {
            let bundle = sample::open(bytes);
            assert_eq!(bundle.config().unwrap().name, "new");
            assert_eq!(bundle.manifest().unwrap(), None);
            let nodes = bundle.nodes().unwrap();
            let order: Vec<_> =
                nodes.iter().map(|node| (node.member.as_str(), node.backing.as_deref())).collect();
            assert_eq!(
                order,
                [
                    ("disk.qcow2", None),
                    ("a.snapshot", Some("disk.qcow2")),
                    ("b.snapshot", Some("a.snapshot")),
                ]
            );
            let content = sample::content(&bundle);
            assert!(content.iter().zip(&members).all(|((_, found), (_, due))| found == due));
            let image = bundle.image(bundle.member("b.snapshot").unwrap()).unwrap();
            assert_eq!(image.files(), ["", "a.snapshot", "disk.qcow2"]);
        }
    }

    #[test]
    fn an_older_definition_never_stands_in_for_a_damaged_one() {
        let broken = [("1-a.xml", xml("a")), ("2-a.xml", b"<domain>".to_vec())];
        let error = sample::open(foreign(Form::Tar, &broken)).config().unwrap_err();
        assert_eq!(
            error.to_string(),
            "2-a.xml: XML that ends too early, a libvirt domain XML is due, at byte 8"
        );
        let none = [("a.xml", xml("a"))];
        let error = sample::open(foreign(Form::Tar, &none)).config().unwrap_err();
        assert_eq!(error.to_string(), "no TIME-NAME.xml among the 1 members");
        assert_eq!(error.code(), Code::E0604);
    }

    #[test]
    fn a_backing_name_leads_to_a_member_or_nowhere() {
        for (backing, code, want) in [
            (
                "/etc/passwd",
                Code::E0105,
                "the backing name '/etc/passwd' is no bare name of a member",
            ),
            ("../x", Code::E0105, "the backing name '../x' is no bare name of a member"),
            (
                "nbd:1.2.3.4:5",
                Code::E0402,
                "the backing file 'nbd:1.2.3.4:5' is a protocol of QEMU and no file",
            ),
            ("b.qcow2", Code::E0104, "the backing file 'b.qcow2' is no image of the bundle"),
            ("1-a.xml", Code::E0104, "the backing file '1-a.xml' is no image of the bundle"),
            ("a.qcow2", Code::E0402, "the image stands on itself, by way of its backing files"),
        ] {
            let members = [("1-a.xml", xml("a")), ("a.qcow2", delta(backing, 1))];
            let bundle = sample::open(foreign(Form::Tar, &members));
            let error = bundle.nodes().unwrap_err();
            assert_eq!(error.message(), want);
            assert_eq!((error.code(), error.member()), (code, Some("a.qcow2")));
            assert!(bundle.image(bundle.member("a.qcow2").unwrap()).is_err(), "{backing}");
        }
    }

    /// SPACEVM-34: a thin clone's backup has only the overlays.
    #[test]
    fn a_backing_file_that_is_no_member_is_taken_where_the_manifest_lists_it_for_this_member() {
        let golden = "/pool/golden.qcow2";
        let open = |member: &str, backing: &str| {
            let template = Template {
                name: "golden".to_owned(),
                uuid: None,
                disks: vec![TemplateDisk {
                    member: member.to_owned(),
                    backing: backing.to_owned(),
                    path: golden.to_owned(),
                    state: crate::ImageState::default(),
                }],
            };
            let manifest = Manifest { template: Some(template), ..Manifest::default() };
            sample::open(foreign(
                Form::Tar,
                &[
                    ("1-a.xml", xml("a")),
                    ("a.qcow2", delta(golden, 1)),
                    ("b.snapshot", delta("a.qcow2", 1)),
                    ("1-manifest.json", manifest.to_bytes().unwrap()),
                ],
            ))
        };
        let nodes = open("a.qcow2", golden).nodes().unwrap();
        let order: Vec<_> = nodes.iter().map(|node| node.backing.as_deref()).collect();
        assert_eq!(order, [Some(golden), Some("a.qcow2")]);
        for (member, backing) in [("b.snapshot", golden), ("a.qcow2", "/pool/other.qcow2")] {
            let error = open(member, backing).nodes().unwrap_err();
            let want = "the backing name '/pool/golden.qcow2' is no bare name of a member";
            assert_eq!((error.message(), error.code()), (want, Code::E0105));
        }
        // Its bytes are read without the template, and never with a file of this machine.
        let bundle = open("a.qcow2", golden);
        assert!(bundle.image(bundle.member("a.qcow2").unwrap()).is_err());
    }

    #[test]
    fn refuses_what_is_no_archive_and_what_is_cut_inside_a_member() {
        let bytes = sample::bundle(Form::Tar);
        let error = Bundle::open(Arc::new(bytes[..5000].to_vec())).unwrap_err();
        assert_eq!(error.code(), Code::E0102);
        let error = Bundle::open(Arc::new(b"hello".to_vec())).unwrap_err();
        assert_eq!(error.code(), Code::E0101);
        let error = Bundle::open(Arc::new(Vec::<u8>::new())).unwrap_err();
        assert_eq!(error.code(), Code::E0101);
        let packed = sample::bundle(Form::TarZst);
        for length in (1..packed.len()).step_by(7) {
            let cut = Bundle::open(Arc::new(packed[..length].to_vec()));
            let faults = cut.map(|bundle| {
                crate::verify(&bundle, crate::Level::Deep, &disk::Unheard).unwrap().faults
            });
            let table = 8 + 9 * 8 + 9;
            let is_whole = length >= packed.len() - table;
            assert_eq!(faults.is_ok_and(|faults| faults.is_empty()), is_whole, "{length}");
        }
    }
}
