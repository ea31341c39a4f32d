//! Which points of a bundle can be restored.

use std::collections::{BTreeMap, HashSet};

use disk::Progress;

use super::{Fault, Level, names};
use crate::{Bundle, Error, Manifest, Node, Result, Snapshot, chain};

/// The most points that a message names (ours); the others are counted.
const MAX_NAMED: usize = 8;

/// Follows the chains of all points, and names the points that damaged images spoil.
///
/// # Errors
/// When `progress` says stop.
pub(super) fn check(
    bundle: &Bundle,
    manifest: Option<&Manifest>,
    level: Level,
    (progress, faults): (&dyn Progress, &mut Vec<Fault>),
) -> Result<()> {
    let Some(manifest) = manifest.filter(|manifest| !manifest.points.is_empty()) else {
        return Ok(());
    };
    // What keeps the chains from being known was said already; the manifest tells of them, too.
    let nodes = bundle.nodes().unwrap_or_else(|_| manifest.nodes.clone());
    if level == Level::Deep {
        for member in tops(manifest, &nodes) {
            if progress.stopped() {
                return Err(Error::stopped());
            }
            let is_known = chain(&nodes, member).iter().any(|node| names(faults, &node.member));
            if let Some(error) = walk(bundle, manifest, member).err().filter(|_| !is_known) {
                faults.push(error.in_member(member).into());
            }
        }
    }
    faults.extend(spoilt(manifest, &nodes, faults));
    Ok(())
}

/// The images of points and of their snapshots that no other image stands on: who walks through them has
/// seen every chain.
fn tops<'a>(manifest: &'a Manifest, nodes: &[Node]) -> Vec<&'a str> {
    let below: HashSet<&str> = nodes.iter().filter_map(|node| node.backing.as_deref()).collect();
    let disks = manifest.points.iter().flat_map(|point| &point.disks);
    let disks = disks.map(|disk| disk.member.as_str());
    let named: HashSet<&String> =
        manifest.points.iter().flat_map(|point| &point.snapshots).collect();
    let kept = manifest.snapshots.iter().filter(|one| named.contains(&one.name));
    let mut tops: Vec<&str> = disks.chain(kept.flat_map(images)).collect();
    tops.retain(|member| !below.contains(member));
    tops.sort_unstable();
    tops.dedup();
    tops
}

/// The images that a snapshot keeps.
fn images(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    snapshot.nodes.iter().chain(snapshot.disks.values()).map(String::as_str)
}

/// Reads the tables of a whole chain, as a restore does; the bytes of each image were compared. Disks of a
/// template are no part of the bundle.
fn walk(bundle: &Bundle, manifest: &Manifest, member: &str) -> Result<()> {
    let Some(member) = bundle.member(member) else { return Ok(()) };
    let below = manifest.template.as_ref().map_or(&[][..], |template| &template.disks);
    let image = bundle.image_above(member, below)?;
    image.extents().try_for_each(|extent| extent.map(drop)).map_err(Error::from)
}

/// One fault for each damaged image that points need.
fn spoilt(manifest: &Manifest, nodes: &[Node], faults: &[Fault]) -> Vec<Fault> {
    let mut needed: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let damaged: HashSet<&str> = faults.iter().filter_map(|it| it.member.as_deref()).collect();
    for point in &manifest.points {
        let chains = point.disks.iter().flat_map(|disk| {
            let chain = chain(nodes, &disk.member).into_iter().map(|node| node.member.as_str());
            // An image that cannot be read is no node.
            chain.chain([disk.member.as_str()])
        });
        let kept = manifest.snapshots.iter().filter(|one| point.snapshots.contains(&one.name));
        let kept = kept.flat_map(|one| {
            let images = images(one).flat_map(|member| chain(nodes, member));
            let images = images.map(|node| node.member.as_str());
            images.chain([one.config.as_str()]).chain(one.memory.as_deref())
        });
        let members: HashSet<&str> = chains.chain([point.config.as_str()]).chain(kept).collect();
        for member in members.intersection(&damaged) {
            needed.entry((*member).to_owned()).or_default().push(&point.id);
        }
    }
    let told = |(member, points): (String, Vec<&str>)| {
        let (shown, more) = points.split_at(points.len().min(MAX_NAMED));
        let more =
            if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        let message = format!("it spoils the points that need it: {}{more}", shown.join(", "));
        Fault::from(Error::damaged(message).in_member(&member))
    };
    needed.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use disk::Unheard;

    use super::*;
    use crate::{
        Form, MemberDigest, Mode, Point, PointDisk, State, Template, TemplateDisk,
        sample::{self, CAPACITY_BYTES, delta, disk, foreign, xml},
    };

    fn point(id: &str, member: &str, mode: Mode) -> Point {
        let disk = PointDisk {
            target: "vda".to_owned(),
            member: member.to_owned(),
            capacity_bytes: CAPACITY_BYTES,
            mode,
            reason: None,
            read_bytes: 0,
        };
        Point {
            id: id.to_owned(),
            created_unix_seconds: 1,
            mode,
            config: "1-a.xml".to_owned(),
            state: State::Off,
            indications: Vec::new(),
            disks: vec![disk],
            left_out: Vec::new(),
            checkpoint: None,
            snapshots: Vec::new(),
        }
    }

    fn digest((name, bytes): &(&str, Vec<u8>)) -> MemberDigest {
        MemberDigest {
            name: (*name).to_owned(),
            length_bytes: bytes.len() as u64,
            blake3: blake3::hash(bytes).to_hex().to_string(),
        }
    }

    /// Changes the data of the member of this name.
    fn spoil(members: &mut [(&str, Vec<u8>)], damaged: &str) {
        for (_, bytes) in members.iter_mut().filter(|(name, _)| *name == damaged) {
            // In the data, behind the tables.
            let at = bytes.iter().rposition(|byte| matches!(byte, 1..=3)).unwrap();
            bytes[at] ^= 0x40;
        }
    }

    /// What a verification says of these members and what the manifest tells of them.
    fn found(
        members: &[(&str, Vec<u8>)],
        manifest: &Manifest,
        level: Level,
    ) -> Vec<(String, String)> {
        let mut members = members.to_vec();
        members.push(("1-manifest.json", manifest.to_bytes().unwrap()));
        let bundle = sample::open(foreign(Form::Tar, &members));
        let report = crate::verify(&bundle, level, &Unheard).unwrap();
        report.faults.into_iter().map(|it| (it.member.unwrap(), it.message)).collect()
    }

    /// A full image, an increment, a full image again; the member of this name is damaged.
    fn faults(damaged: &str, level: Level) -> Vec<(String, String)> {
        let mut members = [
            ("1-a.xml", xml("a")),
            ("a.qcow2", disk(1)),
            ("b.snapshot", delta("a.qcow2", 2)),
            ("c.qcow2", disk(3)),
        ];
        let manifest = Manifest {
            points: vec![
                point("p1", "a.qcow2", Mode::Full),
                point("p2", "b.snapshot", Mode::Incremental),
                point("p3", "c.qcow2", Mode::Full),
            ],
            members: members.iter().map(digest).collect(),
            ..Manifest::default()
        };
        spoil(&mut members, damaged);
        found(&members, &manifest, level)
    }

    /// A full image above one that a snapshot keeps, beside another that only a snapshot has; the member of
    /// this name is damaged.
    fn kept(damaged: &str) -> Vec<(String, String)> {
        let mut members = [
            ("1-a.xml", xml("a")),
            ("base.qcow2", disk(1)),
            ("branch.snapshot", delta("base.qcow2", 2)),
            ("full.qcow2", delta("base.qcow2", 3)),
        ];
        let snapshot = |name: &str, node: &str| Snapshot {
            name: name.to_owned(),
            parent: None,
            created_unix_seconds: 1,
            config: "1-a.xml".to_owned(),
            nodes: Vec::new(),
            disks: BTreeMap::from([("vda".to_owned(), node.to_owned())]),
            memory: None,
        };
        let snapshots = vec![snapshot("one", "base.qcow2"), snapshot("other", "branch.snapshot")];
        let names = snapshots.iter().map(|one| one.name.clone()).collect();
        let manifest = Manifest {
            points: vec![Point { snapshots: names, ..point("p1", "full.qcow2", Mode::Full) }],
            snapshots,
            members: members.iter().map(digest).collect(),
            ..Manifest::default()
        };
        spoil(&mut members, damaged);
        found(&members, &manifest, Level::Deep)
    }

    #[test]
    fn the_images_that_snapshots_keep_are_walked_and_spoil_the_points_that_they_come_back_with() {
        assert_eq!(kept(""), []);
        for damaged in ["base.qcow2", "branch.snapshot"] {
            let found = kept(damaged);
            let [(member, digest), (again, spoilt)] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((member.as_str(), again.as_str()), (damaged, damaged));
            assert!(digest.starts_with("the BLAKE3 digest is "), "{digest}");
            assert_eq!(*spoilt, "it spoils the points that need it: p1");
        }
    }

    #[test]
    fn the_chain_of_a_thin_clone_is_walked_down_to_its_template() {
        let golden = "/pool/golden.qcow2".to_owned();
        let members = [
            ("1-a.xml", xml("a")),
            ("a.qcow2", delta(&golden, 1)),
            ("b.snapshot", delta("a.qcow2", 2)),
        ];
        let template = Template {
            name: "golden".to_owned(),
            uuid: None,
            disks: vec![TemplateDisk {
                member: "a.qcow2".to_owned(),
                backing: golden.clone(),
                path: golden,
                state: crate::ImageState::default(),
            }],
        };
        let manifest = Manifest {
            points: vec![
                point("p1", "a.qcow2", Mode::Full),
                point("p2", "b.snapshot", Mode::Incremental),
            ],
            members: members.iter().map(digest).collect(),
            template: Some(template),
            ..Manifest::default()
        };
        assert_eq!(found(&members, &manifest, Level::Deep), []);
    }

    #[test]
    fn a_damaged_image_names_every_point_that_it_spoils() {
        assert_eq!(faults("", Level::Deep), []);
        assert_eq!(faults("a.qcow2", Level::Quick), []);
        for (damaged, points) in [("a.qcow2", "p1, p2"), ("b.snapshot", "p2"), ("c.qcow2", "p3")] {
            for level in [Level::Digests, Level::Deep] {
                let found = faults(damaged, level);
                let [(member, digest), (again, spoilt)] = found.as_slice() else {
                    panic!("{found:?}")
                };
                assert_eq!((member.as_str(), again.as_str()), (damaged, damaged));
                assert!(digest.starts_with("the BLAKE3 digest is "), "{digest}");
                assert_eq!(*spoilt, format!("it spoils the points that need it: {points}"));
            }
        }
    }
}
