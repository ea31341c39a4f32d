//! Members that are added to a bundle, new or not, and count from one moment on.
//!
//! ```text
//! Session::create(file)  \                     / image(node) -> qcow2 target -> copy -> end \
//!                         > add(TIME-NAME.xml) |                                            | point, publish
//! Session::extend(bundle)/                     \ add(iso, memory)                           /
//! ```
//!
//! Who makes a backup locks the file ([`lock`](crate::lock)) and calls, in this order: `create` or `extend`;
//! [`add`](Session::add) with the definition; for each disk [`image`](Session::image), the copy into the
//! target that it gives, [`end`](Session::end); [`point`](Session::point); [`publish`](Session::publish).
//! A session that is dropped before that leaves the bundle that was there, and of a new one a part that no
//! reader takes.

use std::{collections::HashMap, fmt, sync::Arc};

use code::Code;
use disk::{Compression, Format, Progress, ReadAt, WriteAt, qcow2};
use ovf::EntryName;

use crate::{
    Bundle, Error, Form, Growing, Kind, Manifest, Medium, Node, Options, Point, Result, Role,
    Writer, chain,
    frames::{self, PASSED_END_FRAME, PUBLISHED_LEN, Packer},
    medium::Anchored,
    tail, tar,
    verify::presence,
};

/// Members on their way into a bundle.
pub struct Session<'m> {
    medium: &'m dyn Medium,
    /// Gone once it is published, or given up.
    writer: Option<Writer<'m>>,
    growing: Option<Arc<Growing>>,
    /// What makes the members count; `None` in a new bundle.
    spot: Option<Spot>,
    /// What is there already.
    roles: HashMap<String, Role>,
    /// What the bundle will say of itself; `None` in one of another writer.
    manifest: Option<Manifest>,
    unix_seconds: u64,
    is_begun: bool,
}

/// Where an append writes, and what publishes it.
struct Spot {
    /// The byte of the file behind all that counts.
    start: u64,
    /// What publishes it…
    publish: Vec<u8>,
    /// … and where.
    publish_at: u64,
    /// The frames that are there then.
    frames: frames::Frames,
}

impl<'m> Session<'m> {
    /// Begins a bundle in an empty file. `manifest` says what is known of it: the machine, notes and tags;
    /// members, images and points are added as they come.
    pub fn create(medium: &'m dyn Medium, options: Options, manifest: Manifest) -> Self {
        Self {
            medium,
            writer: Some(Writer::new(medium, options)),
            growing: None,
            spot: None,
            roles: HashMap::new(),
            unix_seconds: options.unix_seconds,
            manifest: Some(Manifest { created_unix_seconds: options.unix_seconds, ..manifest }),
            is_begun: false,
        }
    }

    /// Begins to add to a bundle, in its own form. `medium` is the file that `bundle` was read from, and
    /// locked. What is there is neither moved nor read.
    ///
    /// # Errors
    /// `E0606` for a compressed file of another writer; `E0605` when a member is missing, the end of the
    /// archive is damaged, or something of another origin lies behind it. Then nothing is changed.
    pub fn extend(bundle: &Bundle, medium: &'m dyn Medium, options: Options) -> Result<Self> {
        let manifest = bundle.manifest()?;
        if let Some(manifest) = &manifest {
            // Behind the end of a bundle of which a part is missing could lie that part.
            presence(bundle, manifest).into_iter().next().map_or(Ok(()), Err)?;
        }
        tail::check(bundle)?;
        let spot = match bundle.form() {
            Form::Tar => plain_spot(bundle)?,
            Form::TarZst => packed_spot(bundle)?,
        };
        if medium.len_bytes()? > spot.start {
            // Durable, so that what an earlier append left is never mixed with this one.
            medium.set_len_bytes(spot.start)?;
            medium.sync()?;
        }
        let anchored = Anchored::first_is_durable(medium);
        let writer = match bundle.form() {
            Form::Tar => Writer::plain(anchored, spot.start, options.unix_seconds),
            Form::TarZst => {
                let packer = Packer::new(anchored, spot.frames.clone(), options.level);
                Writer::packed(packer, options.unix_seconds)
            }
        };
        let roles = bundle.members().map(|member| (member.name.to_string(), member.role));
        Ok(Self {
            medium,
            writer: Some(writer),
            growing: None,
            spot: Some(spot),
            roles: roles.collect(),
            manifest,
            unix_seconds: later(bundle, options.unix_seconds),
            is_begun: false,
        })
    }

    /// The time that names of new members have, in seconds since 1970: that of the options, or one that
    /// is later than every definition and manifest of the bundle, so that the newest is the current one.
    #[must_use]
    pub const fn unix_seconds(&self) -> u64 {
        self.unix_seconds
    }

    /// What the bundle will say of itself: for the tool, the state of the machine, notes.
    ///
    /// # Errors
    /// `E0606` for a bundle of another writer, which has no manifest.
    pub fn manifest(&mut self) -> Result<&mut Manifest> {
        self.manifest.as_mut().ok_or_else(|| {
            let message = "the bundle has no manifest, and without one it has no points";
            Error::new(Code::E0606, Kind::Unsupported, message)
        })
    }

    /// Whether there is a manifest to be changed.
    pub(crate) const fn has_manifest(&self) -> bool {
        self.manifest.is_some()
    }

    /// Adds a whole member.
    ///
    /// # Errors
    /// `E0105` for a name that is there already or that the format keeps for itself; when reading or
    /// writing fails, or `progress` says stop.
    pub fn add(
        &mut self,
        name: &EntryName,
        bytes: &dyn ReadAt,
        progress: &dyn Progress,
    ) -> Result<()> {
        self.claim(name)?;
        self.writer()?.add(name, bytes, progress)?;
        self.is_begun = true;
        Ok(())
    }

    /// Begins a disk image: a whole one, or one above the member that the node names, or above a disk of the
    /// machine's template that the [manifest](Self::manifest) tells of. `file` is the one that the bundle is
    /// written to. It is ended by [`end`](Self::end), at the length that the target gives when it is finished.
    ///
    /// # Errors
    /// As [`add`](Self::add); `E0605` for an increment on what is no image of the bundle; when the
    /// definition was not added before: an append begins with a member that is whole, by which an
    /// unfinished one is known.
    pub fn image(&mut self, node: Node, file: Arc<dyn WriteAt>) -> Result<qcow2::Writer> {
        let name = EntryName::parse(&node.member)?;
        let is_image = |name: &String| self.roles.get(name).is_some_and(|role| role.is_image());
        let template = self.manifest.as_ref().and_then(|manifest| manifest.template.as_ref());
        let is_known = |name: &String| {
            is_image(name) || template.is_some_and(|template| template.disk_below(&node).is_some())
        };
        if let Some(backing) = node.backing.as_ref().filter(|backing| !is_known(backing)) {
            let backing = crate::error::shown(backing);
            let message = format!("the backing file '{backing}' is no image of the bundle");
            return Err(Error::new(Code::E0605, Kind::Missing, message).in_member(&node.member));
        }
        let growing = self.begin(&name, file)?;
        let backing =
            node.backing.clone().map(|name| qcow2::Backing { name, format: Format::Qcow2 });
        let options = qcow2::Options { compression: Compression::None, backing };
        let target = qcow2::Writer::create_with(growing, node.capacity_bytes, options)?;
        if let Some(manifest) = &mut self.manifest {
            manifest.nodes.push(node);
        }
        Ok(target)
    }

    /// Begins a member whose length is not known, such as a memory image; [`end`](Self::end) ends it.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn begin(&mut self, name: &EntryName, file: Arc<dyn WriteAt>) -> Result<Arc<Growing>> {
        if self.spot.is_some() && !self.is_begun {
            let message = "an append that begins with a member of unknown length";
            return Err(
                Error::new(Code::E0508, Kind::Unsupported, message).in_member(name.as_str())
            );
        }
        self.claim(name)?;
        let growing = self.writer()?.begin_growing(name, file)?;
        self.growing = Some(Arc::clone(&growing));
        Ok(growing)
    }

    /// Ends the member that was begun last, at its length.
    ///
    /// # Errors
    /// When bytes of it were not written, writing or reading back fails, or `progress` says stop.
    pub fn end(&mut self, length_bytes: u64, progress: &dyn Progress) -> Result<()> {
        let Some(growing) = self.growing.take() else { return Ok(()) };
        self.writer()?.end_growing(&growing, length_bytes, progress)
    }

    /// Adds a point that the members make, behind the points that there are.
    ///
    /// # Errors
    /// `E0605` when its members are not there, or no chain of its disks; those of
    /// [`manifest`](Self::manifest).
    pub fn point(&mut self, point: Point) -> Result<()> {
        self.manifest()?.points.push(point);
        let Some(manifest) = &self.manifest else { return Ok(()) };
        let wrong = chain::wrong(&self.roles, manifest, &manifest.nodes);
        wrong.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Writes the manifest, makes all of it durable, then makes it count, and gives the length of the file in
    /// bytes. After an error the bundle is what it was.
    ///
    /// # Errors
    /// When a member is not complete, or writing fails.
    pub fn publish(mut self) -> Result<u64> {
        let Some(mut writer) = self.writer.take() else { return Ok(0) };
        let published = self.write_manifest(&mut writer).and_then(|()| {
            let file_bytes = writer.finish(self.manifest.as_ref())?.file_bytes;
            self.medium.sync()?;
            Ok(file_bytes)
        });
        match (&published, &self.spot) {
            (Ok(_), Some(spot)) => {
                self.medium.write_all_at(&spot.publish, spot.publish_at)?;
                self.medium.sync()?;
            }
            (Err(_), _) => self.give_up(),
            (Ok(_), None) => {}
        }
        published
    }

    /// Lists what was written.
    fn write_manifest(&mut self, writer: &mut Writer<'m>) -> Result<()> {
        if let Some(growing) = &self.growing {
            let message = "the member has no end";
            let error = Error::new(Code::E0508, Kind::Unsupported, message);
            return Err(error.in_member(growing.name.as_str()));
        }
        let written = writer.written()?.to_vec();
        if let Some(manifest) = &mut self.manifest {
            manifest.members.extend(written);
            manifest.created_unix_seconds = self.unix_seconds;
        }
        Ok(())
    }

    /// Cuts off what does not count; the next append would do it as well.
    fn give_up(&mut self) {
        self.writer = None;
        let start = self.spot.as_ref().map_or(0, |spot| spot.start);
        drop(self.medium.set_len_bytes(start));
    }

    fn writer(&mut self) -> Result<&mut Writer<'m>> {
        let gone = || Error::new(Code::E0508, Kind::Unsupported, "the session has ended");
        self.writer.as_mut().ok_or_else(gone)
    }

    /// Takes a name for a new member.
    fn claim(&mut self, name: &EntryName) -> Result<()> {
        let refused = |message: &str| {
            Err(Error::new(Code::E0105, Kind::Denied, message).in_member(name.as_str()))
        };
        let role = Role::of(name);
        match role {
            Role::Pad => return refused("a name that the format keeps for itself"),
            Role::Manifest { .. } => return refused("a manifest is written, not added"),
            _ => {}
        }
        if self.roles.insert(name.to_string(), role).is_some() {
            return refused("the bundle has a member of that name");
        }
        Ok(())
    }
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} members, {:?})", self.roles.len(), self.writer)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if self.writer.is_some() {
            self.give_up();
        }
    }
}

/// A time that is later than those of the definitions and manifests.
fn later(bundle: &Bundle, unix_seconds: u64) -> u64 {
    let times = bundle.members().filter_map(|member| match member.role {
        Role::Manifest { unix_seconds } | Role::Config { unix_seconds } => Some(unix_seconds),
        _ => None,
    });
    times.max().map_or(unix_seconds, |latest| unix_seconds.max(latest.saturating_add(1)))
}

fn plain_spot(bundle: &Bundle) -> Result<Spot> {
    Ok(Spot {
        start: tail::start(bundle)?,
        publish: tar::pad_header().to_vec(),
        publish_at: bundle.archive.end_bytes,
        frames: frames::Frames::default(),
    })
}

fn packed_spot(bundle: &Bundle) -> Result<Spot> {
    let foreign = || {
        let message =
            "the zstd frames are not those of a relift bundle, nothing can be added to them";
        Error::new(Code::E0606, Kind::Unsupported, message)
    };
    let unpacked = bundle.archive.unpacked.as_ref().ok_or_else(foreign)?;
    let frames = unpacked.frames().clone();
    let publish_at = frames.end_frame().ok_or_else(foreign)?;
    if frames::straddles(publish_at) {
        return Err(foreign());
    }
    let start = tail::start(bundle)?;
    let publish = PASSED_END_FRAME.get(..PUBLISHED_LEN).unwrap_or_default().to_vec();
    Ok(Spot { start, publish, publish_at, frames: frames.passed(start)? })
}

#[cfg(test)]
mod tests {
    use disk::{Target as _, Unheard};

    use super::*;
    use crate::{
        ImageState, Level, Mode, PointDisk, State, Template, TemplateDisk, Vm,
        fake::Memory,
        sample::{self, CAPACITY_BYTES, THEN},
    };

    const FORMS: [Form; 2] = [Form::Tar, Form::TarZst];
    const C: usize = 65_536;

    fn point(id: u64, member: &str, mode: Mode) -> Point {
        Point {
            id: format!("p{id}"),
            created_unix_seconds: id,
            mode,
            config: format!("{id}-web.xml"),
            state: State::Running,
            indications: Vec::new(),
            disks: vec![PointDisk {
                target: "vda".to_owned(),
                member: member.to_owned(),
                capacity_bytes: CAPACITY_BYTES,
                mode,
                reason: None,
                read_bytes: 0,
            }],
            left_out: Vec::new(),
            checkpoint: None,
            snapshots: Vec::new(),
        }
    }

    /// Fills a session as a backup does: the definition, an image that grows, the point.
    fn fill(session: &mut Session<'_>, file: &Arc<Memory>, generation: u8) -> Result<()> {
        let id = session.unix_seconds();
        session.add(&sample::name(&format!("{id}-web.xml")), &sample::xml("web"), &Unheard)?;
        let (member, backing) = match generation {
            0 => ("web-vda-0.qcow2".to_owned(), None),
            1 => ("web-vda-1.snapshot".to_owned(), Some("web-vda-0.qcow2".to_owned())),
            _ => (
                format!("web-vda-{generation}.snapshot"),
                Some(format!("web-vda-{}.snapshot", generation - 1)),
            ),
        };
        let mode = if backing.is_some() { Mode::Incremental } else { Mode::Full };
        let node = Node { member: member.clone(), capacity_bytes: CAPACITY_BYTES, backing };
        let mut target = session.image(node, Arc::clone(file) as _)?;
        // Cluster 1 is written each time, cluster 2 in the full image and discarded later.
        for cluster in [1, 2] {
            if generation > 0 && cluster == 2 {
                target.place_zero(cluster)?;
                continue;
            }
            let at = target.place(cluster)?;
            target.file().write_all_at(&[generation + 1; C], at)?;
        }
        let length_bytes = target.finish()?;
        session.end(length_bytes, &Unheard)?;
        session.point(point(id, &member, mode))
    }

    fn create(form: Form) -> Vec<u8> {
        let file = Arc::new(Memory::default());
        let vm = Vm { name: "web".to_owned(), uuid: None };
        let manifest = Manifest { vm, incrementable: true, ..Manifest::default() };
        let mut session = Session::create(&*file, sample::options(form), manifest);
        fill(&mut session, &file, 0).unwrap();
        assert_eq!(session.publish().unwrap(), file.bytes().len() as u64);
        file.bytes()
    }

    fn extend(bytes: &[u8], file: &Arc<Memory>, generation: u8) -> Result<u64> {
        let bundle = sample::open(bytes.to_vec());
        let mut session = Session::extend(&bundle, &**file, sample::options(bundle.form()))?;
        fill(&mut session, file, generation)?;
        session.publish()
    }

    fn extended(bytes: &[u8], generation: u8) -> Vec<u8> {
        let file = Arc::new(Memory::with(bytes.to_vec()));
        assert_eq!(extend(bytes, &file, generation).unwrap(), file.bytes().len() as u64);
        file.bytes()
    }

    #[test]
    fn a_new_bundle_grows_by_points_and_each_has_its_own_disk() {
        for form in FORMS {
            let bytes = extended(&extended(&create(form), 1), 2);
            let bundle = sample::open(bytes);
            let report = crate::verify(&bundle, Level::Deep, &Unheard).unwrap();
            assert_eq!(report.faults, [], "{form:?}");
            let manifest = bundle.manifest().unwrap().unwrap();
            assert_eq!((manifest.nodes, manifest.incrementable), (bundle.nodes().unwrap(), true));
            assert_eq!(bundle.config().unwrap().unix_seconds, THEN + 2);
            let points = bundle.points().unwrap();
            let ids: Vec<_> = points.iter().map(|point| point.created_unix_seconds).collect();
            // Each is later than the manifest of the one before.
            assert_eq!(ids, [THEN, THEN + 1, THEN + 2]);
            for (generation, point) in (0..).zip(&points) {
                let image = bundle.image(bundle.member(&point.disks[0].member).unwrap()).unwrap();
                let mut disk = vec![9; CAPACITY_BYTES as usize];
                image.read_at(&mut disk, 0).unwrap();
                assert!(disk[C..2 * C] == [generation + 1; C] && disk[3 * C..] == [0; C]);
                let second = if generation == 0 { 1 } else { 0 };
                assert!(disk[2 * C..3 * C] == [second; C], "{form:?} {generation}");
            }
        }
    }

    /// Lets every act on the file be the last one that works, and then lets the power fail.
    #[test]
    fn a_crash_while_an_image_grows_leaves_the_old_bundle_or_the_new_one() {
        for form in FORMS {
            let first = extended(&create(form), 1);
            let content = |bytes: &[u8]| sample::content(&sample::open(bytes.to_vec()));
            let counted = Arc::new(Memory::with(first.clone()));
            extend(&first, &counted, 2).unwrap();
            let (old, new) = (content(&first), content(&counted.bytes()));
            let (mut old_seen, mut new_seen) = (0, 0);
            for acts in 0..=counted.acts() {
                let file = Arc::new(Memory::failing(first.clone(), acts));
                let done = extend(&first, &file, 2);
                assert_eq!(done.is_ok(), acts == counted.acts(), "{form:?} after {acts} acts");
                for left in file.after_a_power_cut() {
                    let found = content(&left);
                    if found == old {
                        old_seen += 1;
                        // The next append cuts off what is left and succeeds.
                        if old_seen % 32 == 1 {
                            assert!(content(&extended(&left, 2)) == new, "{form:?}, {acts} acts");
                        }
                    } else {
                        assert!(found == new, "{form:?} after {acts} acts");
                        new_seen += 1;
                    }
                }
            }
            assert!(old_seen > 0 && new_seen > 0, "{form:?}: {old_seen} old, {new_seen} new");
        }
    }

    #[test]
    fn a_session_that_is_dropped_leaves_the_bundle_as_it_was() {
        for form in FORMS {
            let first = create(form);
            let file = Arc::new(Memory::with(first.clone()));
            let bundle = sample::open(first.clone());
            let mut session = Session::extend(&bundle, &*file, sample::options(form)).unwrap();
            fill(&mut session, &file, 1).unwrap();
            assert!(file.bytes().len() > first.len());
            drop(session);
            assert!(file.bytes() == first, "{form:?}");
        }
    }

    /// SPACEVM-34: the backup of a thin clone stands on a disk that is in no bundle.
    #[test]
    fn an_image_may_stand_on_a_disk_of_the_template_that_the_manifest_tells_of() {
        let golden = "/pool/golden.qcow2".to_owned();
        let member = "web-vda-0.qcow2".to_owned();
        let file = Arc::new(Memory::default());
        let manifest = Manifest::default();
        let mut session = Session::create(&*file, sample::options(Form::Tar), manifest);
        let id = session.unix_seconds();
        session
            .add(&sample::name(&format!("{id}-web.xml")), &sample::xml("web"), &Unheard)
            .unwrap();
        let node = Node {
            member: member.clone(),
            capacity_bytes: CAPACITY_BYTES,
            backing: Some(golden.clone()),
        };
        let error = session.image(node.clone(), Arc::clone(&file) as _).unwrap_err();
        let want =
            "web-vda-0.qcow2: the backing file '/pool/golden.qcow2' is no image of the bundle";
        assert_eq!(error.to_string(), want);
        session.manifest().unwrap().template = Some(Template {
            name: "golden".to_owned(),
            uuid: None,
            disks: vec![TemplateDisk {
                member: member.clone(),
                backing: golden.clone(),
                path: golden,
                state: ImageState::default(),
            }],
        });
        let mut target = session.image(node, Arc::clone(&file) as _).unwrap();
        session.end(target.finish().unwrap(), &Unheard).unwrap();
        session.point(point(id, &member, Mode::Full)).unwrap();
        session.publish().unwrap();
        let bundle = sample::open(file.bytes());
        assert_eq!(bundle.points().unwrap().len(), 1);
        let report = crate::verify(&bundle, Level::Deep, &Unheard).unwrap();
        assert_eq!(report.faults, []);
    }

    #[test]
    fn refuses_what_would_make_no_point() {
        let first = create(Form::Tar);
        let bundle = sample::open(first.clone());
        let file = Arc::new(Memory::with(first));
        let options = sample::options(Form::Tar);
        let begin = || Session::extend(&bundle, &*file, options).unwrap();
        let node = |backing: &str| Node {
            member: "b.snapshot".to_owned(),
            capacity_bytes: CAPACITY_BYTES,
            backing: Some(backing.to_owned()),
        };
        let error = begin().image(node("web-vda-0.qcow2"), Arc::clone(&file) as _).unwrap_err();
        let want = "b.snapshot: an append that begins with a member of unknown length";
        assert_eq!(error.to_string(), want);

        let mut session = begin();
        session.add(&sample::name("9-web.xml"), &sample::xml("web"), &Unheard).unwrap();
        let error = session.image(node("9-web.xml"), Arc::clone(&file) as _).unwrap_err();
        let want = "b.snapshot: the backing file '9-web.xml' is no image of the bundle";
        assert_eq!((error.to_string().as_str(), error.code()), (want, Code::E0605));
        let error = session.point(point(9, "b.snapshot", Mode::Incremental)).unwrap_err();
        let want = "b.snapshot: the point p9 needs it, it is no disk image of the bundle";
        assert_eq!(error.to_string(), want);

        let mut session = begin();
        session.add(&sample::name("9-web.xml"), &sample::xml("web"), &Unheard).unwrap();
        session.image(node("web-vda-0.qcow2"), Arc::clone(&file) as _).unwrap();
        let error = session.publish().unwrap_err();
        assert_eq!(error.to_string(), "b.snapshot: the member has no end");

        let members = [("1-a.xml", sample::xml("a"))];
        let bundle = sample::open(sample::foreign(Form::Tar, &members));
        let mut session = Session::extend(&bundle, &*file, options).unwrap();
        let error = session.point(point(1, "b", Mode::Full)).unwrap_err();
        let want = "the bundle has no manifest, and without one it has no points";
        assert_eq!((error.to_string().as_str(), error.code()), (want, Code::E0606));
    }
}
