//! Whether the points of a manifest are what its images make.

use std::collections::{HashMap, HashSet};

use crate::{Bundle, Error, Manifest, Mode, Node, Point, PointDisk, Result, Role};

impl Bundle {
    /// The points of the bundle, oldest first, each with its members there and in a sound chain.
    ///
    /// # Errors
    /// Those of [`nodes`](Self::nodes) and [`manifest`](Self::manifest); `E0605` for a point whose members
    /// are not there, or whose images do not stand on those of the point before.
    pub fn points(&self) -> Result<Vec<Point>> {
        let Some(manifest) = self.manifest()?.filter(|manifest| !manifest.points.is_empty()) else {
            return Ok(Vec::new());
        };
        let wrong = wrong(&self.roles(), &manifest, &self.nodes()?);
        wrong.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))?;
        Ok(manifest.points)
    }

    /// Whether a point has its members, and each image that of the point before below it. What is wrong
    /// with other points does not keep this one from being restored.
    ///
    /// # Errors
    /// As [`points`](Self::points), of this point alone.
    pub fn check_point(&self, id: &str) -> Result<()> {
        let Some(manifest) = self.manifest()? else { return Ok(()) };
        let wrong = wrong(&self.roles(), &manifest, &self.nodes()?);
        wrong.into_iter().find(|(point, _)| point == id).map_or(Ok(()), |(_, error)| Err(error))
    }

    /// What each member is.
    pub(crate) fn roles(&self) -> HashMap<String, Role> {
        self.members().map(|member| (member.name.to_string(), member.role)).collect()
    }
}

/// The images that a member stands on, from itself down to the lowest.
///
/// `nodes` are those of [`Bundle::nodes`], of which none stands on itself.
#[must_use]
pub fn chain<'a>(nodes: &'a [Node], member: &str) -> Vec<&'a Node> {
    let by_name: HashMap<&str, &Node> =
        nodes.iter().map(|node| (node.member.as_str(), node)).collect();
    let first = by_name.get(member).copied();
    let below = |node: &&'a Node| by_name.get(node.backing.as_deref()?).copied();
    std::iter::successors(first, below).take(nodes.len()).collect()
}

/// What is wrong with the points of a manifest: the id of the point, and an error for each member.
///
/// `roles` are those of the members that are there, `nodes` what the headers of the images say.
pub(crate) fn wrong(
    roles: &HashMap<String, Role>,
    manifest: &Manifest,
    nodes: &[Node],
) -> Vec<(String, Error)> {
    let nodes: HashMap<&str, &Node> =
        nodes.iter().map(|node| (node.member.as_str(), node)).collect();
    let mut found = Vec::new();
    let mut before: HashMap<&str, &str> = HashMap::new();
    let disks = manifest.points.iter().flat_map(|point| &point.disks);
    let images: HashSet<&str> = disks.map(|disk| disk.member.as_str()).collect();
    for point in &manifest.points {
        let id = &point.id;
        found.extend(absent(roles, manifest, point).into_iter().map(|error| (id.clone(), error)));
        for disk in &point.disks {
            let parent = before.insert(&disk.target, &disk.member);
            let Some(node) = nodes.get(disk.member.as_str()) else { continue };
            if let Some(message) = misfit(disk, node, (parent, &images)) {
                let message = format!("{message}, as {} of the point {id}", disk.target);
                found.push((id.clone(), Error::damaged(message).in_member(&disk.member)));
            }
        }
    }
    found
}

/// The members of a point that are not there, or are something else.
fn absent(roles: &HashMap<String, Role>, manifest: &Manifest, point: &Point) -> Vec<Error> {
    let is_there = |name: &str, fits: fn(Role) -> bool| {
        let is_found = roles.get(name).is_some_and(|role| fits(*role));
        is_found && manifest.deleted.iter().all(|deleted| deleted != name)
    };
    let config = (&point.config, "definition", is_there(&point.config, is_config));
    let images = point
        .disks
        .iter()
        .map(|disk| (&disk.member, "disk image", is_there(&disk.member, Role::is_image)));
    let missing = std::iter::once(config).chain(images).filter(|it| !it.2);
    let told = |(name, what, _): (&String, &str, bool)| {
        let message = format!("the point {} needs it, it is no {what} of the bundle", point.id);
        Error::damaged(message).in_member(name)
    };
    let mut wrong: Vec<Error> = missing.map(told).collect();
    let is_told = |name: &&String| manifest.snapshots.iter().all(|one| one.name != **name);
    wrong.extend(point.snapshots.iter().filter(is_told).map(|name| {
        let name = crate::error::shown(name);
        Error::damaged(format!(
            "the point {} has a snapshot '{name}' that nothing tells of",
            point.id
        ))
    }));
    wrong
}

const fn is_config(role: Role) -> bool {
    matches!(role, Role::Config { .. })
}

/// What is wrong with an image as the disk of a point; `parent` is the member of the point before, `images`
/// are those of all points. A full image may stand on what none of them has: a snapshot or template keeps it.
fn misfit(
    disk: &PointDisk,
    node: &Node,
    (parent, images): (Option<&str>, &HashSet<&str>),
) -> Option<String> {
    if node.capacity_bytes != disk.capacity_bytes {
        let (found, due) = (node.capacity_bytes, disk.capacity_bytes);
        return Some(format!("a disk of {found} bytes, {due} are due"));
    }
    let found = node.backing.as_deref().map(crate::error::shown);
    match (disk.mode, found, parent) {
        (Mode::Full, Some(found), _)
            if node.backing.as_deref().is_some_and(|below| images.contains(below)) =>
        {
            Some(format!("a full image that stands on '{found}'"))
        }
        (Mode::Incremental, None, _) => Some("an increment that stands on nothing".to_owned()),
        (Mode::Incremental, Some(found), None) => {
            Some(format!("an increment on '{found}', no point before it has the disk"))
        }
        (Mode::Incremental, Some(found), Some(parent))
            if node.backing.as_deref() != Some(parent) =>
        {
            Some(format!("an increment on '{found}', '{parent}' is due"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Form, State,
        sample::{self, CAPACITY_BYTES, delta, disk, foreign, xml},
    };

    fn point(id: &str, member: &str, mode: Mode) -> Point {
        Point {
            id: id.to_owned(),
            created_unix_seconds: 1,
            mode,
            config: "1-a.xml".to_owned(),
            state: State::Off,
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

    /// Three points of one disk.
    fn points() -> Vec<Point> {
        vec![
            point("p1", "a.qcow2", Mode::Full),
            point("p2", "b.snapshot", Mode::Incremental),
            point("p3", "c.snapshot", Mode::Incremental),
        ]
    }

    fn bundle(points: Vec<Point>) -> Bundle {
        let manifest = Manifest { points, ..Manifest::default() };
        sample::open(foreign(
            Form::Tar,
            &[
                ("1-a.xml", xml("a")),
                ("a.qcow2", disk(1)),
                ("b.snapshot", delta("a.qcow2", 2)),
                ("c.snapshot", delta("b.snapshot", 3)),
                ("1-manifest.json", manifest.to_bytes().unwrap()),
            ],
        ))
    }

    #[test]
    fn points_are_given_where_their_images_stand_on_one_another() {
        assert_eq!(bundle(points()).points().unwrap(), points());
        let nodes = bundle(points()).nodes().unwrap();
        let names = |member| -> Vec<_> {
            chain(&nodes, member).into_iter().map(|node| node.member.as_str()).collect()
        };
        assert_eq!(names("c.snapshot"), ["c.snapshot", "b.snapshot", "a.qcow2"]);
        assert_eq!(names("a.qcow2"), ["a.qcow2"]);
        assert_eq!(names("x"), [""; 0]);
        let none = sample::open(sample::bundle(Form::Tar));
        assert_eq!(none.points().unwrap(), []);
    }

    #[test]
    fn a_point_whose_members_are_no_chain_of_its_disk_is_named() {
        for (spoil, want) in [
            (
                &(|it: &mut Vec<Point>| it[0].disks[0].member = "x.qcow2".to_owned())
                    as &dyn Fn(&mut Vec<Point>),
                "x.qcow2: the point p1 needs it, it is no disk image of the bundle",
            ),
            (
                &|it| it[1].config = "a.qcow2".to_owned(),
                "a.qcow2: the point p2 needs it, it is no definition of the bundle",
            ),
            (
                &|it| it[1].snapshots = vec!["clean".to_owned()],
                "the point p2 has a snapshot 'clean' that nothing tells of",
            ),
            (
                &|it| it[0].disks[0].capacity_bytes = 7,
                "a.qcow2: a disk of 262144 bytes, 7 are due, as vda of the point p1",
            ),
            (
                &|it| it[1].disks[0].mode = Mode::Full,
                "b.snapshot: a full image that stands on 'a.qcow2', as vda of the point p2",
            ),
            (
                &|it| it[0].disks[0].mode = Mode::Incremental,
                "a.qcow2: an increment that stands on nothing, as vda of the point p1",
            ),
            (
                &|it| drop(it.remove(0)),
                "b.snapshot: an increment on 'a.qcow2', no point before it has the disk, as vda of the \
                 point p2",
            ),
            (
                &|it| drop(it.remove(1)),
                "c.snapshot: an increment on 'b.snapshot', 'a.qcow2' is due, as vda of the point p3",
            ),
        ] {
            let mut spoilt = points();
            spoil(&mut spoilt);
            let bundle = bundle(spoilt);
            assert_eq!(bundle.points().unwrap_err().to_string(), want);
            let broken = want.rsplit_once("point ").unwrap().1.get(..2).unwrap();
            assert_eq!(bundle.check_point(broken).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn a_full_image_may_stand_on_one_that_only_a_snapshot_keeps() {
        let mut above = points();
        above.remove(0);
        above[0].mode = Mode::Full;
        above[0].disks[0].mode = Mode::Full;
        assert_eq!(bundle(above.clone()).points().unwrap(), above);
    }

    #[test]
    fn what_is_wrong_with_a_point_does_not_keep_those_before_it_from_being_restored() {
        let mut spoilt = points();
        spoilt[2].disks[0].capacity_bytes = 7;
        let bundle = bundle(spoilt);
        for (id, is_sound) in [("p1", true), ("p2", true), ("p3", false)] {
            assert_eq!(bundle.check_point(id).is_ok(), is_sound, "{id}");
        }
    }

    #[test]
    fn a_verification_tells_of_it() {
        let mut spoilt = points();
        spoilt.remove(1);
        let report = crate::verify(&bundle(spoilt), crate::Level::Quick, &disk::Unheard).unwrap();
        let told: Vec<_> = report.faults.iter().map(|fault| fault.message.as_str()).collect();
        let want = "an increment on 'b.snapshot', 'a.qcow2' is due, as vda of the point p3";
        assert!(told.contains(&want), "{told:?}");
    }
}
