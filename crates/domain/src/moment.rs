//! What documents of a machine's moments have in common: names, parents and times.

use crate::{
    Error,
    check::Text,
    document::{Document, Element, Shown},
    error::Item,
};

/// The longest name in bytes: libvirt keeps each document in a file of that name.
const MAX_NAME_BYTES: u64 = 200;

/// Refuses a name that libvirt has no file for, or that virsh takes for an option.
pub(crate) fn require_name(item: Item, name: &str) -> Result<(), Error> {
    let text = Text::new(item, "name", name);
    text.require_line()?;
    text.require_length(MAX_NAME_BYTES)?;
    if name.contains('/') || name.starts_with(['.', '-']) {
        return Err(text.refuse("a name without / that begins with neither . nor -"));
    }
    Ok(())
}

/// The text of a child that has to be there.
pub(crate) fn required<'a>(
    document: &Document<'_>,
    element: &'a Element<'_>,
    child: &str,
) -> Result<&'a str, Error> {
    let text = element.first(child).map(|child| child.text.as_str());
    text.filter(|text| !text.is_empty())
        .ok_or_else(|| document.refuse(element, &format!("there is no <{child}>")))
}

/// The name of the moment before.
pub(crate) fn parent(root: &Element<'_>) -> Option<String> {
    let name = root.first("parent")?.first("name")?;
    Some(name.text.clone()).filter(|name| !name.is_empty())
}

/// When it was, in seconds since 1970.
pub(crate) fn created(document: &Document<'_>) -> Result<u64, Error> {
    let text = required(document, &document.root, "creationTime")?;
    number(document, &document.root, "creation time", text)
}

/// A number of an element; `what` is the word that messages use for it.
pub(crate) fn number(
    document: &Document<'_>,
    element: &Element<'_>,
    what: &str,
    text: &str,
) -> Result<u64, Error> {
    text.trim().parse().map_err(|_| {
        let message = format!("the {what} {} is not a number in 0..={}", Shown(text), u64::MAX);
        document.refuse(element, &message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_that_libvirt_or_virsh_would_take_for_something_else() {
        require_name(Item::Snapshot, "before <the> update ü").unwrap();
        let long = "a".repeat(201);
        for (name, want) in [
            ("", r#"snapshot: name "" is not a word"#),
            ("a\nb", "snapshot: name holds the character U+000A at byte 1"),
            (
                "../a",
                r#"snapshot: name "../a" is not a name without / that begins with neither . nor -"#,
            ),
            (
                "-c",
                r#"snapshot: name "-c" is not a name without / that begins with neither . nor -"#,
            ),
            (&long, "snapshot: name has 201 bytes, 200 are allowed"),
        ] {
            assert_eq!(require_name(Item::Snapshot, name).unwrap_err().to_string(), want);
        }
    }
}
