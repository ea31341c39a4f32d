//! One bit of a bundle is another one: `verify` names it, or nothing that is read has changed.

use std::{collections::BTreeMap, sync::Arc};

use bundle::{Bundle, Config, Form, Level, Manifest, Member, verify};
use disk::Unheard;

use crate::made;

/// How many bits are flipped in each form.
const FLIPS: u64 = 500;

/// Everything that a reader gets of a bundle.
#[derive(Debug, PartialEq)]
struct Seen {
    members: BTreeMap<String, Vec<u8>>,
    config: Config,
    manifest: Option<Manifest>,
}

impl Seen {
    fn of(bundle: &Bundle) -> Self {
        let members = bundle
            .members()
            .map(|member| (member.name.to_string(), bytes(bundle, member).unwrap()))
            .collect();
        let (config, manifest) = (bundle.config().unwrap(), bundle.manifest().unwrap());
        Self { members, config, manifest }
    }
}

/// The bytes of a member.
fn bytes(bundle: &Bundle, member: &Member) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(member.length_bytes).ok()?];
    bundle.bytes(member).ok()?.read_exact_at(&mut bytes, 0).ok()?;
    Some(bytes)
}

/// The bytes to flip bits in: every other one anywhere, the rest where no disk has its content.
fn places(file: &[u8]) -> Vec<usize> {
    let bundle = made::open(file.to_vec());
    let is_small = |at: &usize| {
        bundle.form() == Form::TarZst
            || bundle.members().filter(|member| member.role.is_image()).all(|image| {
                let content = image.offset_bytes..image.offset_bytes + image.length_bytes;
                !content.contains(&(*at as u64))
            })
    };
    let small: Vec<usize> = (0..file.len()).filter(is_small).collect();
    let anywhere: Vec<usize> = (0..file.len()).collect();
    let pick = |turn: u64| {
        let from = if turn.is_multiple_of(2) { &anywhere } else { &small };
        from[usize::try_from(random(turn) % from.len() as u64).unwrap()]
    };
    (0..FLIPS).map(pick).collect()
}

/// The `turn`th number of a fixed row of random ones (splitmix64, Steele, Lea and Flood 2014).
fn random(turn: u64) -> u64 {
    let mut z = (turn + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What `check_member` lets pass has to be what was written, whatever else is wrong with the bundle.
fn no_wrong_byte_passes(bundle: &Bundle, due: &Seen, place: &str) {
    let Ok(Some(_)) = bundle.manifest() else { return };
    for member in bundle.members() {
        if bundle.check_member(member, &Unheard).is_ok() {
            let found = bytes(bundle, member);
            assert!(found.as_ref() == due.members.get(member.name.as_str()), "{place}: {member:?}");
        }
    }
}

#[test]
fn a_thousand_flipped_bits_are_named_or_change_nothing_that_is_read() {
    let (mut named, mut harmless) = (0, 0);
    for form in [Form::Tar, Form::TarZst] {
        let file = made::bundle(form);
        let due = Seen::of(&made::open(file.clone()));
        for (turn, at) in (0..).zip(places(&file)) {
            let bit = turn % 8;
            let place = format!("{form:?}: bit {bit} of byte {at}");
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            let Ok(bundle) = Bundle::open(Arc::new(flipped)) else {
                named += 1;
                continue;
            };
            no_wrong_byte_passes(&bundle, &due, &place);
            let report = verify(&bundle, Level::Deep, &Unheard).unwrap();
            if report.faults.is_empty() {
                assert!(Seen::of(&bundle) == due, "{place}");
                harmless += 1;
            } else {
                named += 1;
            }
        }
    }
    assert_eq!(named + harmless, 2 * FLIPS);
    // Headers, content and manifests are nearly all of it; padding and passed tables are the rest.
    assert!(harmless < FLIPS / 5, "{named} are named, {harmless} harmless");
}
