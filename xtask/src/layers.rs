//! The floors of the crates: an arrow points to a lower floor, or the build is refused.

mod manifests;

use anyhow::{Result, bail};

use self::manifests::{Arrow, Manifest, Purpose};
use crate::check::{Outcome, Step};

pub(crate) const STEP: Step =
    Step { name: "layers", what: "each crate uses crates of a lower floor only", look };

/// Where each crate stands; those of later milestones have their place already.
const TABLE: &[(&str, Place)] = &[
    ("beneath", Place::Floor(0)),
    ("code", Place::Floor(0)),
    ("xml", Place::Floor(0)),
    ("iso9660", Place::Floor(0)),
    ("vm", Place::Floor(1)),
    ("disk", Place::Floor(1)),
    ("ovf", Place::Floor(1)),
    ("vmx", Place::Floor(1)),
    ("convert", Place::Floor(2)),
    ("domain", Place::Floor(2)),
    ("bundle", Place::Floor(2)),
    ("nbd", Place::Floor(2)),
    ("host", Place::Floor(3)),
    ("restore", Place::Floor(4)),
    ("backup", Place::Floor(5)),
    ("batch", Place::Floor(5)),
    ("cli", Place::Floor(6)),
    ("testkit", Place::Testkit),
    ("decoders", Place::Outside),
    ("hostile", Place::Outside),
    ("benches", Place::Outside),
    ("xtask", Place::Outside),
];

/// Where a crate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is part of the product, on this floor.
    Floor(u8),
    /// It serves the tests of every floor, and uses any floor itself.
    Testkit,
    /// It is not shipped, uses what it likes, and nobody uses it.
    Outside,
}

fn look() -> Result<Outcome> {
    let faults = judge(&manifests::read()?);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(Outcome::Right)
}

/// Says what is wrong with the crates of the workspace, one sentence a fault.
fn judge(manifests: &[Manifest]) -> Vec<String> {
    manifests.iter().flat_map(judge_crate).collect()
}

fn judge_crate(manifest: &Manifest) -> Vec<String> {
    let Some(place) = place(&manifest.name) else {
        return vec![format!(
            "{} has no floor: xtask/src/layers.rs lists the crates",
            manifest.name
        )];
    };
    // A crate that is used without a floor is a fault of its own.
    let known = manifest.arrows.iter().filter_map(|arrow| Some((arrow, self::place(&arrow.to)?)));
    known
        .filter_map(|(arrow, to)| {
            let why = refusal(place, arrow.purpose, to)?;
            let Arrow { to, purpose } = arrow;
            Some(format!("{} -> {to} ({purpose}): {why}", manifest.name))
        })
        .collect()
}

fn place(name: &str) -> Option<Place> {
    TABLE.iter().find(|(known, _)| *known == name).map(|(_, place)| *place)
}

/// Says why an arrow is not allowed, if it is not.
fn refusal(from: Place, purpose: Purpose, to: Place) -> Option<String> {
    match (from, purpose, to) {
        (Place::Outside, _, _) | (_, Purpose::Dev, Place::Testkit) => None,
        (_, _, Place::Outside) => Some("nobody uses a crate outside of the floors".into()),
        (_, _, Place::Testkit) => Some("testkit is a dev-dependency only".into()),
        (Place::Testkit, _, Place::Floor(_)) => None,
        (Place::Floor(from), _, Place::Floor(to)) if to < from => None,
        (Place::Floor(from), _, Place::Floor(to)) => {
            Some(format!("floor {to} is not below floor {from}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(name: &str, purpose: Purpose, to: &str) -> Vec<String> {
        let arrows = vec![Arrow { to: to.into(), purpose }];
        judge(&[Manifest { name: name.into(), arrows }])
    }

    #[test]
    fn allows_arrows_to_a_lower_floor() {
        for (from, purpose, to) in [
            ("vm", Purpose::Normal, "code"),
            ("cli", Purpose::Normal, "code"),
            ("convert", Purpose::Build, "disk"),
            ("restore", Purpose::Dev, "ovf"),
        ] {
            assert_eq!(judged(from, purpose, to), Vec::<String>::new(), "{from} -> {to}");
        }
    }

    #[test]
    fn refuses_arrows_upwards_and_along_a_floor() {
        for (from, purpose, to, want) in [
            ("vm", Purpose::Normal, "cli", "vm -> cli (normal): floor 6 is not below floor 1"),
            ("disk", Purpose::Normal, "ovf", "disk -> ovf (normal): floor 1 is not below floor 1"),
            ("code", Purpose::Build, "vm", "code -> vm (build): floor 1 is not below floor 0"),
            (
                "disk",
                Purpose::Dev,
                "convert",
                "disk -> convert (dev): floor 2 is not below floor 1",
            ),
        ] {
            assert_eq!(judged(from, purpose, to), [want]);
        }
    }

    #[test]
    fn lets_only_tests_use_the_testkit() {
        assert_eq!(
            judged("disk", Purpose::Normal, "testkit"),
            ["disk -> testkit (normal): testkit is a dev-dependency only"]
        );
        assert_eq!(
            judged("disk", Purpose::Build, "testkit"),
            ["disk -> testkit (build): testkit is a dev-dependency only"]
        );
        assert!(judged("disk", Purpose::Dev, "testkit").is_empty());
        assert!(judged("xtask", Purpose::Normal, "testkit").is_empty());
        assert!(judged("testkit", Purpose::Normal, "disk").is_empty());
    }

    #[test]
    fn refuses_to_use_what_stands_outside() {
        assert_eq!(
            judged("testkit", Purpose::Dev, "xtask"),
            ["testkit -> xtask (dev): nobody uses a crate outside of the floors"]
        );
        assert!(judged("xtask", Purpose::Normal, "cli").is_empty());
    }

    #[test]
    fn refuses_a_crate_without_a_floor() {
        assert_eq!(
            judged("core", Purpose::Normal, "code"),
            ["core has no floor: xtask/src/layers.rs lists the crates"]
        );
    }

    #[test]
    fn finds_every_crate_of_this_workspace_in_order() {
        assert_eq!(judge(&manifests::read().unwrap()), Vec::<String>::new());
    }
}
