//! Which values a property allows: its type and its qualifiers (DSP0243 9.5.1 and annex).

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
    // The guest reads the value in an XML document.
    if let Some(bad) = value.chars().find(|c| !xml::is_xml_char(*c)) {
        let message = format!("the value holds U+{:04X}, which XML cannot carry", u32::from(bad));
        return Err(refuse(property, &message));
    }
    let kind = property.kind.as_deref().unwrap_or("string").trim().to_ascii_lowercase();
    if !fits(&kind, value) {
        let message = format!("{shown} is no {}", quote::Plain(&kind));
        return Err(refuse(property, &message));
    }
    for qualifier in property.qualifiers.iter().flat_map(|text| qualifiers(text)) {
        if let Some(allowed) = broken(&qualifier, value) {
            return Err(refuse(property, &format!("{shown} is not allowed: {allowed}")));
        }
    }
    Ok(())
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
        _ => true,
    }
}

/// One qualifier: its name in lower case and what stands in its brackets.
struct Qualifier {
    name: String,
    argument: String,
}

/// Splits `MinLen(1), ValueMap{"a","b"}` into its parts.
fn qualifiers(text: &str) -> Vec<Qualifier> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['(', '{']) {
        let Some((name, tail)) = rest.split_at_checked(open) else { break };
        let close = if tail.starts_with('(') { ')' } else { '}' };
        let mut inner = tail.chars();
        inner.next();
        let Some((argument, after)) = inner.as_str().split_once(close) else { break };
        let name = name.rsplit([',', ' ']).next().unwrap_or(name).trim().to_ascii_lowercase();
        found.push(Qualifier { name, argument: argument.to_owned() });
        rest = after;
    }
    found
}

/// What a qualifier allows, if the value breaks it.
fn broken(qualifier: &Qualifier, value: &str) -> Option<String> {
    let length = value.chars().count();
    let limit = qualifier.argument.trim();
    let number = value.trim().parse::<i128>().ok();
    let least_or_most = limit.parse::<i128>().ok();
    match qualifier.name.as_str() {
        "minlen" if limit.parse().is_ok_and(|least: usize| length < least) => {
            Some(format!("{length} characters, at least {limit} are needed"))
        }
        "maxlen" if limit.parse().is_ok_and(|most: usize| length > most) => {
            Some(format!("{length} characters, at most {limit} are allowed"))
        }
        "minvalue" if number.zip(least_or_most).is_some_and(|(n, least)| n < least) => {
            Some(format!("the least value is {limit}"))
        }
        "maxvalue" if number.zip(least_or_most).is_some_and(|(n, most)| n > most) => {
            Some(format!("the greatest value is {limit}"))
        }
        "valuemap" => {
            let allowed: Vec<&str> = limit
                .split(',')
                .map(|word| word.trim().trim_matches(['"', '\'']))
                .filter(|word| !word.is_empty())
                .collect();
            (!allowed.is_empty() && !allowed.contains(&value))
                .then(|| format!("one of {}", quote::Plain(&allowed.join(", "))))
        }
        _ => None,
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
            ("string", "", "a\u{1}b", "the value holds U+0001, which XML cannot carry"),
            ("int", "MinValue(5)", "4", "'4' is not allowed: the least value is 5"),
            ("int", "MaxValue(5)", "6", "'6' is not allowed: the greatest value is 5"),
            ("string", "ValueMap{\"a\",'b'}", "c", "'c' is not allowed: one of a, b"),
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
        ] {
            assert!(check(&property(kind, qualifiers), value).is_ok(), "{kind} {value}");
        }
    }

    #[test]
    fn never_prints_a_password() {
        let secret = Property { password: true, ..property("int", "") };
        assert_eq!(check(&secret, "hunter2").unwrap_err().message(), "the value is no int");
    }
}
