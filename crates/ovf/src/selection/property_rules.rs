//! Which values a property allows: its type and its qualifiers (DSP0243 9.5.1 and annex).

use std::{cmp::Ordering, net::IpAddr};

use code::Code;

use crate::{Error, Place, descriptor::Property, quote, xml};

/// An error at a property.
pub(super) fn refuse(property: &Property, message: &str) -> Error {
    let place = Place::Element { path: property.origin.path.clone(), line: property.origin.line };
    Error::malformed(Code::E0306, message).at(place)
}

/// Checks a value that the user gave.
pub(super) fn check(property: &Property, value: &str) -> Result<(), Error> {
    // A password must not show up in a message.
    let shown =
        if property.password { "the value".to_owned() } else { quote::Quoted(value).to_string() };
    if let Some(found) = value.chars().find(|c| !xml::is_writable(*c)) {
        let number = u32::from(found);
        let message = format!("{shown} holds U+{number:04X}, which XML cannot write");
        return Err(refuse(property, &message));
    }
    let stated = property.kind.as_deref().unwrap_or("string");
    let Type { word, limits } = Type::parse(stated);
    if !fits(&word, value) {
        return Err(refuse(property, &format!("{shown} is no {}", quote::Plain(&word))));
    }
    let qualifiers = property.qualifiers.iter().flat_map(|text| qualifiers(text));
    for qualifier in limits.into_iter().chain(qualifiers) {
        if let Some(allowed) = broken(&qualifier, value) {
            return Err(refuse(property, &format!("{shown} is not allowed: {allowed}")));
        }
    }
    Ok(())
}

/// Whether the old platform would have filled in the value from its networks.
pub(super) fn is_of_a_network(property: &Property) -> bool {
    let mut words = property.qualifiers.iter().flat_map(|text| qualifiers(text));
    let is_stated = words.any(|qualifier| NETWORK_WORDS.contains(&qualifier.name.as_str()));
    let kind = property.kind.as_deref().unwrap_or_default().trim().to_ascii_lowercase();
    is_stated || kind.starts_with("ip:")
}

/// Whether a value is nothing but a `${word:network}` that the old platform filled in.
pub(super) fn is_filled_in(value: &str) -> bool {
    let inner = value.trim().strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let word = inner.and_then(|inner| inner.split_once(':')).map(|(word, _)| word);
    word.is_some_and(|word| NETWORK_WORDS.contains(&word.trim().to_ascii_lowercase().as_str()))
}

/// Whether a type is a truth value.
pub(crate) fn is_boolean(kind: &str) -> bool {
    Type::parse(kind).word == "boolean"
}

/// Qualifiers and macros of VMware whose values come from its pools of addresses.
const NETWORK_WORDS: &[&str] = &[
    "ip",
    "netmask",
    "gateway",
    "dns",
    "domainname",
    "hostprefix",
    "subnet",
    "searchpath",
    "httpproxy",
    "autoip",
    "vimip",
    "net",
];

/// A type with what stands behind its word: VMware also writes `string(1..64)`, `int(0..9)`,
/// `string["a","b"]` and `ip:network`.
struct Type {
    word: String,
    limits: Vec<Qualifier>,
}

impl Type {
    fn parse(text: &str) -> Self {
        let text = text.trim();
        let end = text.find(['(', '[', ':']).unwrap_or(text.len());
        let (word, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        let word = word.trim().to_ascii_lowercase();
        let is_text = matches!(word.as_str(), "string" | "password");
        let (least, most) = if is_text { ("minlen", "maxlen") } else { ("minvalue", "maxvalue") };
        let inside = |open: char, close: char| rest.strip_prefix(open)?.strip_suffix(close);
        let mut limits = Vec::new();
        if let Some((low, high)) = inside('(', ')').and_then(|range| range.split_once("..")) {
            limits.push(Qualifier { name: least.to_owned(), arguments: vec![low.to_owned()] });
            limits.push(Qualifier { name: most.to_owned(), arguments: vec![high.to_owned()] });
        }
        if let Some(list) = inside('[', ']') {
            limits.push(Qualifier { name: "valuemap".to_owned(), arguments: arguments(list) });
        }
        Self { word, limits }
    }
}

fn fits(kind: &str, value: &str) -> bool {
    let value = value.trim();
    let within = |least: i128, most: i128| {
        value.parse::<i128>().is_ok_and(|number| (least..=most).contains(&number))
    };
    match kind {
        "uint8" => within(0, u8::MAX.into()),
        "sint8" => within(i8::MIN.into(), i8::MAX.into()),
        "uint16" => within(0, u16::MAX.into()),
        "sint16" => within(i16::MIN.into(), i16::MAX.into()),
        "uint32" => within(0, u32::MAX.into()),
        "sint32" => within(i32::MIN.into(), i32::MAX.into()),
        "uint64" => within(0, u64::MAX.into()),
        "sint64" | "int" => within(i64::MIN.into(), i64::MAX.into()),
        "real32" | "real64" | "real" => value.parse::<f64>().is_ok_and(f64::is_finite),
        "boolean" => xml::boolean(value).is_some(),
        "ip" => value.is_empty() || value.parse::<IpAddr>().is_ok(),
        _ => true,
    }
}

/// One qualifier: its name in lower case and what stands in its brackets, without the quotes.
#[derive(Debug, PartialEq, Eq)]
struct Qualifier {
    name: String,
    arguments: Vec<String>,
}

/// Splits `MinLen(1), ValueMap{"a","b"} Netmask` into its parts: separated by commas or blanks.
fn qualifiers(text: &str) -> Vec<Qualifier> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        let is_end = |c: char| matches!(c, ',' | '(' | '{') || c.is_whitespace();
        let end = rest.find(is_end).unwrap_or(rest.len());
        let Some((name, behind)) = rest.split_at_checked(end) else { break };
        if name.is_empty() && behind.is_empty() {
            break;
        }
        let name = name.to_ascii_lowercase();
        let close = match behind.trim_start().chars().next() {
            Some('(') => ')',
            Some('{') => '}',
            _ => {
                found.push(Qualifier { name, arguments: Vec::new() });
                rest = behind;
                continue;
            }
        };
        let inner = behind.trim_start().get(1..).unwrap_or_default();
        let Some(length) = unquoted(inner, close) else { break };
        let Some((list, behind)) = inner.split_at_checked(length) else { break };
        found.push(Qualifier { name, arguments: arguments(list) });
        rest = behind.get(1..).unwrap_or_default();
    }
    found
}

/// Where a character first stands outside of quotes.
fn unquoted(text: &str, wanted: char) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if open == c => quote = None,
            Some(_) => {}
            None if c == wanted => return Some(at),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => {}
        }
    }
    None
}

/// Splits a list at the commas outside of quotes; the quotes go.
fn arguments(list: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = list;
    loop {
        let end = unquoted(rest, ',');
        let (word, behind) = end.and_then(|end| rest.split_at_checked(end)).unwrap_or((rest, ""));
        let word = word.trim();
        let bare = ['"', '\'']
            .iter()
            .find_map(|quote| word.strip_prefix(*quote).and_then(|word| word.strip_suffix(*quote)));
        if !word.is_empty() {
            found.push(bare.unwrap_or(word).to_owned());
        }
        match end {
            Some(_) => rest = behind.get(1..).unwrap_or_default(),
            None => return found,
        }
    }
}

/// What a qualifier allows, if the value breaks it.
fn broken(qualifier: &Qualifier, value: &str) -> Option<String> {
    let length = value.chars().count();
    let limit = qualifier.arguments.first().map(|text| text.trim()).unwrap_or_default();
    let order = compare(value.trim(), limit);
    match qualifier.name.as_str() {
        "minlen" if limit.parse().is_ok_and(|least: usize| length < least) => {
            Some(format!("{length} characters, at least {limit} are needed"))
        }
        "maxlen" if limit.parse().is_ok_and(|most: usize| length > most) => {
            Some(format!("{length} characters, at most {limit} are allowed"))
        }
        "minvalue" if order == Some(Ordering::Less) => Some(format!("the least value is {limit}")),
        "maxvalue" if order == Some(Ordering::Greater) => {
            Some(format!("the greatest value is {limit}"))
        }
        "valuemap" => {
            let allowed = &qualifier.arguments;
            (!allowed.is_empty() && allowed.iter().all(|one| one != value))
                .then(|| format!("one of {}", quote::Plain(&allowed.join(", "))))
        }
        _ => None,
    }
}

/// Compares two numbers: whole ones exactly, others as far as a float goes.
fn compare(one: &str, other: &str) -> Option<Ordering> {
    match (one.parse::<i128>(), other.parse::<i128>()) {
        (Ok(one), Ok(other)) => Some(one.cmp(&other)),
        _ => one.parse::<f64>().ok()?.partial_cmp(&other.parse::<f64>().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property(kind: &str, qualifiers: &str) -> Property {
        Property {
            key: "k".into(),
            kind: Some(kind.into()),
            qualifiers: vec![qualifiers.into()],
            ..Property::default()
        }
    }

    #[test]
    fn refuses_a_value_that_the_type_or_a_qualifier_forbids() {
        for (kind, qualifiers, value, want) in [
            ("uint8", "", "256", "'256' is no uint8"),
            ("sint16", "", "x", "'x' is no sint16"),
            ("boolean", "", "maybe", "'maybe' is no boolean"),
            ("real32", "", "inf", "'inf' is no real32"),
            (
                "string",
                "MinLen(3)",
                "ab",
                "'ab' is not allowed: 2 characters, at least 3 are needed",
            ),
            (
                "string",
                "MinLen(1) maxlen(2)",
                "abc",
                "'abc' is not allowed: 3 characters, at most 2 are allowed",
            ),
            ("int", "MinValue(5)", "4", "'4' is not allowed: the least value is 5"),
            ("int", "MaxValue(5)", "6", "'6' is not allowed: the greatest value is 5"),
            ("string", "ValueMap{\"a\",'b'}", "c", "'c' is not allowed: one of a, b"),
            (
                "string",
                "ValueMap{\"a, b\", \"c)}\"} MaxLen(9)",
                "a",
                "'a' is not allowed: one of a, b, c)}",
            ),
            (
                "string",
                "Netmask MAXLEN(1)",
                "ab",
                "'ab' is not allowed: 2 characters, at most 1 are allowed",
            ),
            ("real64", "MaxValue(1.5)", "1.6", "'1.6' is not allowed: the greatest value is 1.5"),
            ("string(2..3)", "", "a", "'a' is not allowed: 1 characters, at least 2 are needed"),
            ("int(0..9)", "", "10", "'10' is not allowed: the greatest value is 9"),
            ("string[\"a\",\"b\"]", "", "c", "'c' is not allowed: one of a, b"),
            ("ip:network", "", "10.0.0", "'10.0.0' is no ip"),
            ("string", "", "a\u{7}", "'a\\u{7}' holds U+0007, which XML cannot write"),
        ] {
            let error = check(&property(kind, qualifiers), value).unwrap_err();
            assert_eq!(error.message(), want);
            assert_eq!(error.code(), Code::E0306);
        }
    }

    #[test]
    fn accepts_what_is_allowed() {
        for (kind, qualifiers, value) in [
            ("uint8", "", "255"),
            ("boolean", "", "True"),
            ("string", "ValueMap{\"a\",\"b\"}, MaxLen(3)", "a"),
            ("string", "Ip('net')", "anything"),
            ("string", "MinLen(", ""),
            ("string", "ValueMap{\"a, b\",\"c\"}", "a, b"),
            ("string", "ValueMap{}", "anything"),
            ("ip", "", "fe80::1"),
            ("password(..8)", "", "12345678"),
            ("strange", "", "anything"),
        ] {
            assert!(check(&property(kind, qualifiers), value).is_ok(), "{kind} {value}");
        }
    }

    #[test]
    fn knows_what_the_old_platform_would_have_filled_in() {
        for (kind, qualifiers, want) in [
            ("string", "Ip('VM Network')", true),
            ("string", "MaxLen(15), netmask", true),
            ("ip:VM Network", "", true),
            ("string", "ValueMap{\"Ip\"}", false),
            ("ip", "", false),
        ] {
            assert_eq!(is_of_a_network(&property(kind, qualifiers)), want, "{kind} {qualifiers}");
        }
        for (value, want) in [
            ("${autoIp:VM Network}", true),
            (" ${netmask:a} ", true),
            ("${hostname}", false),
            ("${autoIp:a}/24", false),
            ("${other:a}", false),
        ] {
            assert_eq!(is_filled_in(value), want, "{value}");
        }
    }

    #[test]
    fn qualifiers_that_end_early_stop_the_reading() {
        for text in ["", " , ", "(", "{", "a(", "a('", "a{\"b}", "(a)(b)"] {
            for qualifier in qualifiers(text) {
                assert!(qualifier.arguments.len() < 2, "{text}");
            }
        }
    }

    #[test]
    fn never_prints_a_password() {
        let secret = Property { password: true, ..property("int", "") };
        assert_eq!(check(&secret, "hunter2").unwrap_err().message(), "the value is no int");
    }
}
