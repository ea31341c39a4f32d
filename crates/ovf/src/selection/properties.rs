//! Properties: the default of the configuration, the user's value, and `${…}` in both.

use std::collections::HashMap;

use code::Code;

use super::{Choices, LISTED, SelectedProperty, Selector, item_error, property_rules};
use crate::{
    Error, Finding, Kind,
    descriptor::{Item, Property, VirtualSystem},
    quote,
};

/// How deep `${…}` may refer to values that hold `${…}` themselves (ours).
const MAX_DEPTH: usize = 8;
/// The longest value that replacing may make, in bytes (ours).
const MAX_VALUE_BYTES: usize = 64 << 10;
/// How many `${…}` one value may hold, those of the values in it included (ours).
const MAX_REPLACEMENTS: usize = 1000;
/// How many `${…}` all values of a selection may hold together (ours).
const MAX_ALL_REPLACEMENTS: usize = 100_000;
/// How much text all values of a selection may have together, in bytes (ours).
const MAX_ALL_BYTES: usize = 16 << 20;

/// The properties of one system under one configuration.
pub(super) struct Properties<'a> {
    entries: Vec<Entry<'a>>,
    full_keys: HashMap<&'a str, usize>,
    /// The position of a bare key; `None` where several properties have it.
    bare_keys: HashMap<&'a str, Option<usize>>,
}

/// What replacing has cost in a selection so far.
#[derive(Default)]
pub(super) struct Expanded {
    replacements: usize,
    bytes: usize,
}

struct Entry<'a> {
    property: &'a Property,
    inherited: bool,
    default: Option<&'a str>,
    stated: Option<&'a str>,
    is_chosen: bool,
}

/// Why a `${…}` cannot be replaced.
enum Fault {
    Unknown(String),
    Cycle(String),
    TooMuch,
    TooMuchInAll,
}

impl Fault {
    fn message(&self) -> String {
        match self {
            Self::Unknown(key) => format!("no property has the key {}", quote::Quoted(key)),
            Self::Cycle(key) => {
                let key = quote::Quoted(key);
                format!("the property {key} refers to itself, or over {MAX_DEPTH} others deep")
            }
            Self::TooMuch => format!(
                "a property value grows over {MAX_VALUE_BYTES} bytes or {MAX_REPLACEMENTS} references"
            ),
            Self::TooMuchInAll => format!(
                "the property values grow over {MAX_ALL_BYTES} bytes or {MAX_ALL_REPLACEMENTS} references"
            ),
        }
    }
}

impl<'a> Properties<'a> {
    pub(super) fn of(
        system: &'a VirtualSystem,
        configuration: Option<&str>,
        choices: &Choices<'a>,
    ) -> Self {
        let is_for = |list: &[String]| {
            list.is_empty() || configuration.is_some_and(|id| list.iter().any(|known| known == id))
        };
        let mut entries = Vec::new();
        for product in &system.products {
            for property in product.properties.iter().filter(|p| is_for(&p.configurations)) {
                let specific = property.values.iter().find(|value| {
                    !value.configurations.is_empty() && is_for(&value.configurations)
                });
                let general = property.values.iter().find(|value| value.configurations.is_empty());
                let default = specific
                    .map(|value| value.value.as_str())
                    .or(property.default.as_deref())
                    .or(general.map(|value| value.value.as_str()));
                let inherited = product.inherited_from.is_some();
                // There is no pool of addresses here that could fill it in.
                let stated = default.filter(|value| !property_rules::is_filled_in(value));
                entries.push(Entry { property, inherited, default, stated, is_chosen: false });
            }
        }
        let mut properties = Self::index(entries);
        for (key, value) in choices.properties {
            if let Some(at) = properties.position(key)
                && let Some(entry) = properties.entries.get_mut(at)
            {
                entry.stated = Some(value);
                entry.is_chosen = true;
            }
        }
        properties
    }

    fn index(entries: Vec<Entry<'a>>) -> Self {
        let mut full_keys = HashMap::new();
        let mut bare_keys = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            let property = entry.property;
            full_keys.entry(property.full_key.as_str()).or_insert(at);
            bare_keys
                .entry(property.key.as_str())
                .and_modify(|only| *only = None)
                .or_insert(Some(at));
        }
        Self { entries, full_keys, bare_keys }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The position of a key: the full key, else the bare key if only one property has it.
    fn position(&self, key: &str) -> Option<usize> {
        let bare = || self.bare_keys.get(key).copied().flatten();
        self.full_keys.get(key).copied().or_else(bare)
    }

    /// The key of a text that is nothing but one `${key}`.
    pub(super) fn placeholder<'t>(&self, text: &'t str) -> Option<&'t str> {
        text.trim().strip_prefix("${")?.strip_suffix('}')
    }
}

/// A value while its `${…}` are replaced.
struct Expansion<'p, 'a> {
    properties: &'p Properties<'a>,
    result: String,
    replacements: usize,
    /// Whether a password was put in.
    secret: bool,
}

/// A value whose `${…}` are replaced.
struct Value {
    text: String,
    /// Whether a password was put in, at any depth: the text must never be printed.
    secret: bool,
}

impl Expansion<'_, '_> {
    fn add(&mut self, text: &str, depth: usize) -> Result<(), Fault> {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((key, tail)) = after.split_once('}') else { break };
            if depth >= MAX_DEPTH {
                return Err(Fault::Cycle(key.to_owned()));
            }
            self.replacements = self.replacements.saturating_add(1);
            self.push(before)?;
            let at = self.properties.position(key);
            let entry = at.and_then(|at| self.properties.entries.get(at));
            let entry = entry.ok_or_else(|| Fault::Unknown(key.to_owned()))?;
            self.secret |= entry.property.password;
            self.add(entry.stated.unwrap_or_default(), depth.saturating_add(1))?;
            rest = tail;
        }
        self.push(rest)
    }

    fn push(&mut self, text: &str) -> Result<(), Fault> {
        let grown = self.result.len().saturating_add(text.len());
        // A text without any reference is as long as it is.
        if self.replacements > MAX_REPLACEMENTS
            || (self.replacements > 0 && grown > MAX_VALUE_BYTES)
        {
            return Err(Fault::TooMuch);
        }
        self.result.push_str(text);
        Ok(())
    }
}

impl<'a> Selector<'a> {
    /// The value of a key that a capacity is made of.
    pub(super) fn expand_capacity(
        &mut self,
        properties: &Properties<'a>,
        key: &str,
        item: &Item,
    ) -> Result<String, Error> {
        let refuse = |message| item_error(Code::E0306, Kind::Malformed, message, item);
        let value = self
            .expand(properties, &format!("${{{key}}}"))
            .map_err(|fault| refuse(fault.message()))?;
        let text = value.text.trim();
        // What is wrong with a capacity is said with its text.
        if value.secret && !text.is_empty() {
            let key = quote::Quoted(key);
            return Err(refuse(format!("the property {key} is made of a password, no capacity")));
        }
        Ok(text.to_owned())
    }

    /// Replaces every `${key}` of a text, as long as the selection can afford it.
    fn expand(&mut self, properties: &Properties<'a>, text: &str) -> Result<Value, Fault> {
        let mut expansion =
            Expansion { properties, result: String::new(), replacements: 0, secret: false };
        let outcome = expansion.add(text, 0);
        let spent = &mut self.expanded;
        spent.replacements = spent.replacements.saturating_add(expansion.replacements);
        spent.bytes = spent.bytes.saturating_add(expansion.result.len());
        if spent.replacements > MAX_ALL_REPLACEMENTS || spent.bytes > MAX_ALL_BYTES {
            return Err(Fault::TooMuchInAll);
        }
        outcome.map(|()| Value { text: expansion.result, secret: expansion.secret })
    }

    /// The properties with their values.
    ///
    /// A `${…}` in a value that leads nowhere stays as it is, with a finding: shell texts hold such.
    pub(super) fn properties(
        &mut self,
        properties: &Properties<'a>,
    ) -> Result<Vec<SelectedProperty>, Error> {
        let mut selected = Vec::new();
        for entry in &properties.entries {
            let property = entry.property;
            let (value, secret) =
                match entry.stated.map(|text| (text, self.expand(properties, text))) {
                    None => (None, false),
                    Some((_, Ok(value))) => (Some(value.text), value.secret),
                    Some((text, Err(Fault::Unknown(key)))) => {
                        self.note_property(property, &Fault::Unknown(key).message());
                        (Some(text.to_owned()), false)
                    }
                    Some((_, Err(fault))) => {
                        return Err(property_rules::refuse(property, &fault.message()));
                    }
                };
            selected.push(SelectedProperty {
                key: property.full_key.clone(),
                kind: property.kind.clone().unwrap_or_else(|| "string".to_owned()),
                default: entry.default.map(str::to_owned),
                value,
                label: property.label.clone(),
                user_configurable: property.user_configurable,
                is_chosen: entry.is_chosen,
                is_of_a_network: property_rules::is_of_a_network(property)
                    || entry.default.is_some_and(property_rules::is_filled_in),
                password: property.password || secret,
                inherited: entry.inherited,
            });
        }
        Ok(selected)
    }

    fn note_property(&mut self, property: &Property, message: &str) {
        let mut finding = Finding::new(Code::W0610, message).at_line(property.origin.line);
        finding.item = Some(quote::Plain(&property.full_key).to_string());
        finding.path = Some(property.origin.path.clone());
        self.findings.push(finding);
    }
}

/// Checks that every value of the user is for a property, and one that it allows.
pub(super) fn check_choices(
    systems: &[VirtualSystem],
    chosen: &[(String, String)],
) -> Result<(), Error> {
    for (key, value) in chosen {
        let mut found = false;
        for system in systems {
            for property in meant(system, key)? {
                property_rules::check(property, value)?;
                found = true;
            }
        }
        if !found {
            return Err(unknown_key(systems, key));
        }
    }
    Ok(())
}

/// The properties of a system that a key means: by full key, else the only one of that bare key.
fn meant<'a>(system: &'a VirtualSystem, key: &str) -> Result<Vec<&'a Property>, Error> {
    let all = || system.products.iter().flat_map(|product| &product.properties);
    let full: Vec<_> = all().filter(|property| property.full_key == key).collect();
    if !full.is_empty() {
        return Ok(full);
    }
    let bare: Vec<_> = all().filter(|property| property.key == key).collect();
    if bare.len() > 1 {
        let keys: Vec<_> = bare.iter().map(|p| quote::Plain(&p.full_key).to_string()).collect();
        let message = format!("the key {} is one of: {}", quote::Quoted(key), keys.join(", "));
        return Err(Error::malformed(Code::E0306, message));
    }
    Ok(bare)
}

fn unknown_key(systems: &[VirtualSystem], key: &str) -> Error {
    let mut known: Vec<String> = systems
        .iter()
        .flat_map(|system| &system.products)
        .flat_map(|product| &product.properties)
        .map(|property| quote::Plain(&property.full_key).to_string())
        .collect();
    known.dedup();
    known.truncate(LISTED);
    let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let message = format!("no property has the key {}; there are: {list}", quote::Quoted(key));
    Error::malformed(Code::E0306, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Selection, sample::Sample};

    const PRODUCT: &str = r#"<ProductSection ovf:class="org" ovf:instance="1">
        <Property ovf:key="size" ovf:type="uint16" ovf:value="7" ovf:userConfigurable="true">
          <Label>Size</Label><Value ovf:value="9" ovf:configuration="large"/></Property>
        <Property ovf:key="text" ovf:type="string" ovf:value="${size} of ${org.size.1}"/>
        <Property ovf:key="shell" ovf:type="string" ovf:value="${HOME}"/>
        <Property ovf:key="none" ovf:type="string" ovf:password="true"/></ProductSection>"#;

    fn sample() -> Sample {
        let mut sample = Sample { system: PRODUCT.into(), ..Sample::new() };
        sample.disks = sample.disks.replace("\"64\"", "\"${size}\"");
        sample
    }

    fn select(sample: &Sample, key: &str, value: &str) -> Result<Selection, Error> {
        let properties = [(key.to_owned(), value.to_owned())];
        sample.parse().select(&Choices { properties: &properties, ..Choices::default() })
    }

    #[test]
    fn takes_the_value_of_the_configuration_and_replaces_references() {
        let mut sample = sample();
        let system = sample.select().unwrap().systems.remove(0);
        let values: Vec<_> = system.properties.iter().map(|p| p.value.as_deref()).collect();
        assert_eq!(values, [Some("7"), Some("7 of 7"), Some("${HOME}"), None]);
        assert_eq!(system.properties[0].key, "org.size.1");
        assert_eq!(system.disks[0].capacity_bytes, Some(7 << 20));
        assert!(system.wants_environment);
        assert_eq!(sample.messages(), ["no property has the key 'HOME'"]);
        sample.options = r#"<DeploymentOptionSection><Configuration ovf:id="large"/>
            </DeploymentOptionSection>"#
            .into();
        let system = sample.select().unwrap().systems.remove(0);
        assert_eq!(system.properties[1].value.as_deref(), Some("9 of 9"));
    }

    #[test]
    fn the_user_beats_the_default_by_full_or_bare_key() {
        for key in ["size", "org.size.1"] {
            let system = select(&sample(), key, "5").unwrap().systems.remove(0);
            assert_eq!(system.properties[0].default.as_deref(), Some("7"));
            assert_eq!(system.properties[0].value.as_deref(), Some("5"));
            assert_eq!(system.disks[0].capacity_bytes, Some(5 << 20));
        }
    }

    #[test]
    fn refuses_an_unknown_key_and_a_forbidden_value() {
        for (key, value, want) in [
            (
                "sise",
                "5",
                "no property has the key 'sise'; there are: \
                 org.size.1, org.text.1, org.shell.1, org.none.1",
            ),
            ("size", "65536", "'65536' is no uint16"),
        ] {
            let error = select(&sample(), key, value).unwrap_err();
            assert_eq!((error.code(), error.message()), (Code::E0306, want));
        }
        let twice = Sample {
            system: PRODUCT.to_owned() + &PRODUCT.replace("\"org\"", "\"com\""),
            ..Sample::new()
        };
        let error = select(&twice, "size", "5").unwrap_err();
        assert_eq!(error.message(), "the key 'size' is one of: org.size.1, com.size.1");
    }

    #[test]
    fn a_reference_that_never_ends_is_an_error() {
        let product = |values: &[(&str, &str)]| {
            let properties: String = values
                .iter()
                .map(|(key, value)| {
                    format!(r#"<Property ovf:key="{key}" ovf:type="string" ovf:value="{value}"/>"#)
                })
                .collect();
            let system = format!("<ProductSection>{properties}</ProductSection>");
            Sample { system, ..Sample::new() }.refusal()
        };
        let (code, message) = product(&[("a", "${b}"), ("b", "${a}")]);
        let cycle = "the property 'b' refers to itself, or over 8 others deep";
        assert_eq!((code, message.as_str()), (Code::E0306, cycle));
        let many = "${b}".repeat(900);
        let too_much = "a property value grows over 65536 bytes or 1000 references";
        assert_eq!(product(&[("a", &many), ("b", &"${c}".repeat(2)), ("c", "")]).1, too_much);
        assert_eq!(product(&[("a", &many), ("b", &"x".repeat(100))]).1, too_much);
    }

    #[test]
    fn references_are_followed_eight_deep() {
        let chain = |length: usize| {
            let links = (0..length).map(|n| {
                let next = n + 1;
                format!(r#"<Property ovf:key="k{n}" ovf:type="string" ovf:value="${{k{next}}}"/>"#)
            });
            let last =
                format!(r#"<Property ovf:key="k{length}" ovf:type="string" ovf:value="v"/>"#);
            let system =
                format!("<ProductSection>{}{last}</ProductSection>", links.collect::<String>());
            Sample { system, ..Sample::new() }
        };
        let system = chain(8).select().unwrap().systems.remove(0);
        assert_eq!(system.properties[0].value.as_deref(), Some("v"));
        assert_eq!(chain(9).refusal().0, Code::E0306);
    }

    #[test]
    fn what_a_pool_of_addresses_would_fill_in_is_no_value() {
        let property = r#"<Property ovf:key="ip" ovf:type="string" ovf:value="${autoIp:net}"/>"#;
        let sample = Sample {
            system: format!("<ProductSection>{property}</ProductSection>"),
            ..Sample::new()
        };
        let of = |selection: Selection| selection.systems[0].properties[0].clone();
        let default = of(sample.select().unwrap());
        assert_eq!((default.value, default.is_of_a_network), (None, true));
        assert_eq!(sample.messages(), [""; 0]);
        let given = of(select(&sample, "ip", "10.0.0.1").unwrap());
        assert_eq!((given.value.as_deref(), given.is_chosen), (Some("10.0.0.1"), true));
    }

    #[test]
    fn all_values_together_have_a_limit_too() {
        let thousand = "${a}".repeat(999);
        let properties: String = (0..101)
            .map(|n| {
                format!(r#"<Property ovf:key="p{n}" ovf:type="string" ovf:value="{thousand}"/>"#)
            })
            .collect();
        let a = r#"<Property ovf:key="a" ovf:type="string" ovf:value=""/>"#;
        let system = format!("<ProductSection>{a}{properties}</ProductSection>");
        assert_eq!(
            Sample { system, ..Sample::new() }.refusal().1,
            "the property values grow over 16777216 bytes or 100000 references"
        );
    }

    #[test]
    fn a_capacity_from_nothing_is_unknown_and_said() {
        let mut empty = sample();
        empty.disks = empty.disks.replace("${size}", "${none}");
        let selection = empty.select().unwrap();
        assert_eq!(selection.systems[0].disks[0].capacity_bytes, None);
        assert_eq!(selection.findings[0].code, Code::W0401);
        let mut gone = sample();
        gone.disks = gone.disks.replace("${size}", "${gone}");
        assert_eq!(gone.refusal(), (Code::E0306, "no property has the key 'gone'".to_owned()));
    }

    #[test]
    fn a_value_that_holds_a_password_is_one() {
        let property = |key: &str, more: &str| {
            format!(r#"<Property ovf:key="{key}" ovf:type="string" {more}/>"#)
        };
        let sample = Sample {
            system: [
                "<ProductSection>",
                &property("pw", r#"ovf:password="true" ovf:value="hunter2""#),
                &property("login", r#"ovf:value="u:${pw}""#),
                &property("url", r#"ovf:value="http://${login}@h""#),
                &property("plain", r#"ovf:value="open""#),
                "</ProductSection>",
            ]
            .concat(),
            ..Sample::new()
        };
        let system = sample.select().unwrap().systems.remove(0);
        let secrets: Vec<bool> = system.properties.iter().map(|p| p.password).collect();
        assert_eq!(secrets, [true, true, true, false]);
        assert_eq!(system.properties[2].value.as_deref(), Some("http://u:hunter2@h"));
        assert!(!format!("{:?}", system.properties).contains("hunter2"));
        let disks = sample.disks.replace("\"64\"", "\"${login}\"");
        let refusal = Sample { disks, ..sample }.refusal();
        let want = "the property 'login' is made of a password, no capacity";
        assert_eq!(refusal, (Code::E0306, want.to_owned()));
    }

    #[test]
    fn never_shows_a_password_in_debug_output() {
        let selection = select(&sample(), "none", "hunter2").unwrap();
        assert_eq!(selection.systems[0].properties[3].value.as_deref(), Some("hunter2"));
        assert!(!format!("{selection:?}").contains("hunter2"));
        let properties = [("none".to_owned(), "hunter2".to_owned())];
        let choices = Choices { properties: &properties, ..Choices::default() };
        assert!(!format!("{choices:?}").contains("hunter2"));
    }
}
