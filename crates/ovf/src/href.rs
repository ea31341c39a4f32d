//! From the href of a descriptor to a member of the package.
//!
//! ```text
//!  href --exact, %-decoded, NFC, ./, series, base name--> member        (nothing is opened)
//!     \--no hit--> points outside? E0105 : E0104 with the names that are there
//! ```

use std::borrow::Cow;

use code::Code;
use percent_encoding::percent_decode_str;
use unicode_normalization::UnicodeNormalization as _;

use crate::{EntryName, Error, Finding, Kind, quote, selection::PackageFile};

/// How many names of members a message lists.
const LISTED_NAMES: usize = 10;
/// How many digits the number of a chunk has (DSP0243 7.1).
const CHUNK_DIGITS: usize = 9;

/// The member that an href means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// The member.
    pub name: &'a EntryName,
    /// What had to be tolerated to find it.
    pub finding: Option<Finding>,
}

/// Finds the member that an href means, relative to the folder of the descriptor.
///
/// The first that hits: the exact text; percent-decoded once; equal after Unicode normalisation
/// (NFC); without a leading `./`; the last of a series `href.000000001` … that a snapshot left
/// (`W0608`); the only member of that base name (`W0608`), if the href has no scheme, no `..` and no
/// leading `/`. Nothing is opened.
///
/// # Errors
/// `E0105` when the href points out of the package (a URL, an absolute path, `..`, a drive letter,
/// a backslash, a NUL); else `E0104` with the names that are there.
pub fn resolve_href<'a>(
    href: &str,
    descriptor: &EntryName,
    members: &'a [EntryName],
) -> Result<Resolved<'a>, Error> {
    if let Some(name) = same_name(href, descriptor, members) {
        return Ok(Resolved { name, finding: None });
    }
    check_href(href)?;
    let tolerated = |name: &'a EntryName, how: &str| {
        let message = format!(
            "the href {} is taken for {}: {how}",
            quote::Quoted(href),
            quote::Quoted(name.as_str())
        );
        Resolved { name, finding: Some(Finding::new(Code::W0608, message)) }
    };
    if let Some(name) = last_of_series(href, descriptor, members) {
        return Ok(tolerated(name, "the last of its series"));
    }
    if let Some(name) = only_of_base_name(href, members) {
        return Ok(tolerated(name, "the only file of that name"));
    }
    Err(missing(href, members))
}

/// Finds every part of a file: its chunks in order, or the one member that holds all of it.
///
/// Writers that state a chunk size for a file smaller than it write the plain name.
///
/// # Errors
/// Those of [`resolve_href`]; `E0104` also when a chunk in the middle is missing.
pub fn resolve_parts<'a>(
    file: &PackageFile,
    descriptor: &EntryName,
    members: &'a [EntryName],
) -> Result<Vec<Resolved<'a>>, Error> {
    let part = |number: u64| same_name(&chunk_name(&file.href, number), descriptor, members);
    let is_whole = || same_name(&file.href, descriptor, members).is_some();
    if file.chunk_bytes.is_none() || (part(0).is_none() && is_whole()) {
        return Ok(vec![resolve_href(&file.href, descriptor, members)?]);
    }
    check_href(&file.href)?;
    let parts: Vec<_> = (0_u64..).map_while(part).collect();
    let stated = file.chunk_count();
    let found = u64::try_from(parts.len()).unwrap_or(u64::MAX);
    let has_later =
        last_of_series(&file.href, descriptor, members).is_some_and(|last| !parts.contains(&last));
    if parts.is_empty() || has_later || stated.is_some_and(|stated| stated > found) {
        let absent = chunk_name(&file.href, found);
        return Err(missing(&absent, members));
    }
    Ok(parts.into_iter().map(|name| Resolved { name, finding: None }).collect())
}

/// The name of a chunk of a file.
fn chunk_name(href: &str, number: u64) -> String {
    format!("{href}.{number:0CHUNK_DIGITS$}")
}

/// The member whose name the text spells, in the way that hits first.
fn same_name<'a>(
    text: &str,
    descriptor: &EntryName,
    members: &'a [EntryName],
) -> Option<&'a EntryName> {
    let spellings = spellings(text);
    let full = |spelling: &str| match descriptor.folder() {
        Some(folder) => format!("{folder}/{spelling}"),
        None => spelling.to_owned(),
    };
    let exact = spellings.iter().find_map(|spelling| {
        let wanted = full(spelling);
        members.iter().find(|name| name.as_str() == wanted)
    });
    exact.or_else(|| {
        let wanted: Vec<String> = spellings.iter().map(|s| normal(&full(s))).collect();
        members.iter().find(|name| wanted.contains(&normal(name.as_str())))
    })
}

/// The texts that an href may mean, in the order in which they are tried: as it stands,
/// percent-decoded once, each without a leading `./`, each without blanks around it.
#[must_use]
pub fn spellings(href: &str) -> Vec<String> {
    let decoded = decoded(href);
    let plain = [href, &*decoded, stripped(href), stripped(&decoded)];
    plain.into_iter().chain(plain.map(|text| stripped(text.trim()))).map(str::to_owned).collect()
}

/// Without leading `./`.
fn stripped(text: &str) -> &str {
    text.strip_prefix("./").map_or(text, stripped)
}

/// Unicode normalisation form C: macOS writes names decomposed.
pub(crate) fn normal(text: &str) -> String {
    text.nfc().collect()
}

/// Percent-decodes a text once; one with an invalid escape, or no UTF-8 behind it, stays as it is.
pub(crate) fn decoded(text: &str) -> Cow<'_, str> {
    let mut escapes = text.split('%').skip(1);
    let is_valid = escapes.all(|rest| {
        rest.as_bytes()
            .first_chunk::<2>()
            .is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit))
    });
    if !is_valid {
        return Cow::Borrowed(text);
    }
    percent_decode_str(text).decode_utf8().unwrap_or(Cow::Borrowed(text))
}

/// The member with the greatest number behind the href: what a snapshot of VMware leaves.
fn last_of_series<'a>(
    href: &str,
    descriptor: &EntryName,
    members: &'a [EntryName],
) -> Option<&'a EntryName> {
    let decoded = decoded(href);
    let stem = match descriptor.folder() {
        Some(folder) => format!("{folder}/{}.", stripped(&decoded)),
        None => format!("{}.", stripped(&decoded)),
    };
    members
        .iter()
        .filter_map(|name| {
            let digits = name.as_str().strip_prefix(&stem)?;
            let is_number =
                digits.len() == CHUNK_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then_some((digits, name))
        })
        .max_by_key(|(digits, _)| *digits)
        .map(|(_, name)| name)
}

fn only_of_base_name<'a>(href: &str, members: &'a [EntryName]) -> Option<&'a EntryName> {
    let decoded = decoded(href);
    let base = normal(decoded.rsplit('/').next().unwrap_or(&decoded));
    let mut found = members.iter().filter(|name| normal(name.base()) == base);
    match (found.next(), found.next()) {
        (Some(name), None) => Some(name),
        _ => None,
    }
}

/// Refuses an href that points out of the package, as it stands or percent-decoded.
///
/// For a descriptor without its package; [`resolve_href`] looks for a member of that name first.
///
/// # Errors
/// `E0105` for a URL, an absolute path, `..`, a drive letter, a backslash or a control character.
pub fn check_href(href: &str) -> Result<(), Error> {
    let decoded = decoded(href);
    // Blanks around a name do not make another name of it.
    let why = [href, &*decoded].into_iter().find_map(|text| outside(text).or(outside(text.trim())));
    let Some(why) = why else { return Ok(()) };
    let message = format!("the href {} {why}", quote::Quoted(href));
    Err(Error::new(Code::E0105, Kind::Denied, message))
}

fn outside(text: &str) -> Option<&'static str> {
    let has_scheme = text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    });
    match () {
        () if has_scheme => Some("is an address, and nothing outside the package is opened"),
        () if text.starts_with('/') => Some("is an absolute path"),
        () if text.contains('\\') => Some("holds a backslash"),
        () if text.chars().any(quote::is_unsafe) => Some("holds a control character"),
        () if text.split('/').any(|part| part == "..") => Some("climbs out of the package"),
        () => None,
    }
}

/// How near a name is to an href: the same ending, then how much of the beginning is the same.
fn likeness(href: &str, name: &EntryName) -> (bool, usize) {
    let wanted = href.rsplit('/').next().unwrap_or(href).to_lowercase();
    let have = name.base().to_lowercase();
    let ending = |text: &str| text.rsplit_once('.').map(|(_, ending)| ending.to_owned());
    let same = wanted.chars().zip(have.chars()).take_while(|(a, b)| a == b).count();
    (ending(&wanted) == ending(&have), same)
}

/// No member has that name: says which ones are there, the nearest first.
fn missing(href: &str, members: &[EntryName]) -> Error {
    let mut near: Vec<&EntryName> = members.iter().collect();
    near.sort_by_key(|name| std::cmp::Reverse(likeness(href, name)));
    let listed = near.iter().take(LISTED_NAMES).map(|n| quote::Plain(n.as_str()).to_string());
    let listed: Vec<_> = listed.collect();
    let there = if listed.is_empty() { "nothing".to_owned() } else { listed.join(", ") };
    let message = format!("the package has no file {}; there is: {there}", quote::Quoted(href));
    let error = Error::malformed(Code::E0104, message);
    let folded = stripped(&decoded(href)).to_lowercase();
    let differs_in_case = |name: &&EntryName| {
        let name = name.as_str().to_lowercase();
        name.strip_suffix(&folded).is_some_and(|front| front.is_empty() || front.ends_with('/'))
    };
    match members.iter().find(differs_in_case) {
        Some(name) => error.with_hint(format!("only the case differs from {name}")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<EntryName> {
        texts.iter().map(|text| EntryName::parse(text).unwrap()).collect()
    }

    fn resolve(href: &str, members: &[&str]) -> Result<(String, Option<String>), String> {
        let members = names(members);
        let descriptor = members[0].clone();
        match resolve_href(href, &descriptor, &members) {
            Ok(found) => Ok((found.name.to_string(), found.finding.map(|f| f.message))),
            Err(error) => Err(format!("{} {error}", error.code())),
        }
    }

    #[test]
    fn takes_the_first_spelling_that_hits() {
        for (href, members, want) in [
            ("a%20b", &["vm.ovf", "a b", "a%20b"][..], "a%20b"),
            ("a%20b", &["vm.ovf", "a b"], "a b"),
            ("a%24b%a", &["vm.ovf", "a%24b%a"], "a%24b%a"),
            ("caf\u{e9}.vmdk", &["vm.ovf", "cafe\u{301}.vmdk"], "cafe\u{301}.vmdk"),
            ("./a", &["vm.ovf", "a"], "a"),
            (" a b\n", &["vm.ovf", "a b"], "a b"),
            (" a", &["vm.ovf", "a", " a"], " a"),
            ("a", &["d/vm.ovf", "a", "d/a"], "d/a"),
            ("nbd%3a1", &["vm.ovf", "nbd:1"], "nbd:1"),
            ("nbd:1", &["vm.ovf", "nbd:1"], "nbd:1"),
        ] {
            assert_eq!(resolve(href, members), Ok((want.to_owned(), None)), "{href}");
        }
    }

    #[test]
    fn tolerates_a_lost_folder_and_a_series_with_a_finding() {
        for (href, members, want, how) in [
            ("d/a", &["vm.ovf", "a"][..], "a", "the only file of that name"),
            ("a", &["vm.ovf", "d/a"], "d/a", "the only file of that name"),
            (
                "a",
                &["vm.ovf", "a.000000009", "a.000000010", "a.x"],
                "a.000000010",
                "the last of its series",
            ),
        ] {
            let message = format!("the href '{href}' is taken for '{want}': {how}");
            assert_eq!(resolve(href, members), Ok((want.to_owned(), Some(message))));
        }
    }

    #[test]
    fn refuses_what_points_out_of_the_package() {
        for (href, why) in [
            ("../a", "climbs out of the package"),
            ("x/../../a", "climbs out of the package"),
            ("%2e%2e/a", "climbs out of the package"),
            ("/etc/a", "is an absolute path"),
            (" /etc/a", "is an absolute path"),
            ("%20http://h/a", "is an address, and nothing outside the package is opened"),
            ("http://h/a", "is an address, and nothing outside the package is opened"),
            ("file:///a", "is an address, and nothing outside the package is opened"),
            ("json:{}", "is an address, and nothing outside the package is opened"),
            ("C:a", "is an address, and nothing outside the package is opened"),
            ("d\\a", "holds a backslash"),
            ("a%00b", "holds a control character"),
        ] {
            let want = format!("E0105 the href {} {why}", quote::Quoted(href));
            assert_eq!(resolve(href, &["vm.ovf", "a"]), Err(want));
        }
    }

    #[test]
    fn says_what_is_there_when_a_file_is_missing() {
        let want = "E0104 the package has no file 'Disk.vmdk'; there is: disk.vmdk, b.vmdk, vm.ovf";
        let there = ["vm.ovf", "b.vmdk", "disk.vmdk"];
        assert_eq!(resolve("Disk.vmdk", &there), Err(want.to_owned()));
        let members = names(&["vm.ovf", "disk.vmdk"]);
        let error = resolve_href("Disk.vmdk", &members[0], &members).unwrap_err();
        assert_eq!(error.hint(), Some("only the case differs from disk.vmdk"));
        let members = names(&["d/vm.ovf", "d/Disk.VMDK"]);
        let error = resolve_href("./disk.vmdk", &members[0], &members).unwrap_err();
        assert_eq!(error.hint(), Some("only the case differs from d/Disk.VMDK"));
        assert!(resolve("x/a", &["vm.ovf", "d/a", "e/a"]).unwrap_err().starts_with("E0104"));
    }

    #[test]
    fn finds_the_chunks_of_a_file_in_order() {
        let file = PackageFile {
            id: "f".into(),
            href: "a".into(),
            size_bytes: Some(25),
            chunk_bytes: Some(10),
            compression: crate::descriptor::Compression::Identity,
        };
        let parts = |texts: &[&str]| {
            let members = names(texts);
            resolve_parts(&file, &members[0], &members)
                .map(|parts| parts.iter().map(|part| part.name.to_string()).collect::<Vec<_>>())
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            parts(&["vm.ovf", "a.000000001", "a.000000000", "a.000000002"]),
            Ok(vec!["a.000000000".into(), "a.000000001".into(), "a.000000002".into()])
        );
        assert_eq!(parts(&["vm.ovf", "a"]), Ok(vec!["a".into()]));
        for (texts, absent) in [
            (&["vm.ovf", "a.000000000", "a.000000002"][..], "a.000000001"),
            (&["vm.ovf", "a.000000000", "a.000000001"], "a.000000002"),
            (&["vm.ovf", "b"], "a.000000000"),
        ] {
            let error = parts(texts).unwrap_err();
            assert!(error.starts_with(&format!("the package has no file '{absent}'")), "{error}");
        }
    }
}
