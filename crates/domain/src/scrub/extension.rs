//! The only words to QEMU itself that relift writes: those that keep the names of network cards.

use crate::{
    document::Element,
    write::{PORT_ALIAS, SLOTS_SHOWN},
};

/// Whether it is one of the two elements that keep the names of cards, with nothing else in it.
pub(crate) fn keeps_names(element: &Element<'_>) -> bool {
    match element.name {
        "qemu:commandline" => {
            let arguments: Option<Vec<_>> = element.children.iter().map(argument).collect();
            element.attributes.is_empty() && arguments.is_some_and(|words| words == SLOTS_SHOWN)
        }
        "qemu:override" => element.attributes.is_empty() && element.children.iter().all(shows_slot),
        _ => false,
    }
}

/// The value of an argument that says nothing but that.
fn argument<'a>(element: &'a Element<'_>) -> Option<&'a str> {
    let [value] = attributes(element, "qemu:arg", ["value"])?;
    element.children.is_empty().then_some(value)
}

/// Whether a device of the override sets the slot number of a port of ours, and nothing else.
fn shows_slot(device: &Element<'_>) -> bool {
    let is_port = attributes(device, "qemu:device", ["alias"])
        .and_then(|[alias]| alias.strip_prefix(PORT_ALIAS))
        .is_some_and(is_slot);
    let [frontend] = device.children.as_slice() else { return false };
    let [property] = frontend.children.as_slice() else { return false };
    let set = attributes(property, "qemu:property", ["name", "type", "value"]);
    is_port
        && attributes(frontend, "qemu:frontend", []).is_some()
        && property.children.is_empty()
        && set.is_some_and(|[name, kind, value]| {
            (name, kind) == ("slot", "unsigned") && is_slot(value)
        })
}

fn is_slot(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// The values of an element's attributes, if it has this name and just these.
fn attributes<'a, const N: usize>(
    element: &'a Element<'_>,
    name: &str,
    wanted: [&str; N],
) -> Option<[&'a str; N]> {
    if element.name != name || element.attributes.len() != N {
        return None;
    }
    let values: Option<Vec<_>> = wanted.iter().map(|name| element.value(name)).collect();
    values?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use crate::scrub::tests::{assert_kept, scrubbed};

    /// A document with what [`crate::write()`] adds for a card of slot 160.
    const OURS: &str = "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>n</name>\
        <qemu:commandline><qemu:arg value='-global'/>\
        <qemu:arg value='ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off'/></qemu:commandline>\
        <qemu:override><qemu:device alias='ua-nic160'><qemu:frontend>\
        <qemu:property name='slot' type='unsigned' value='160'/>\
        </qemu:frontend></qemu:device></qemu:override></domain>";

    #[test]
    fn keeps_the_slots_of_cards() {
        assert_kept(&[OURS.to_owned()]);
    }

    #[test]
    fn removes_anything_that_says_more() {
        for (old, new) in [
            ("'-global'", "'-drive'"),
            ("<qemu:arg value='-global'/>", "<qemu:arg value='-global'/><qemu:arg value='-S'/>"),
            ("<qemu:arg value='-global'/>", "<qemu:env name='A' value='-global'/>"),
            ("=off'/>", "=off'><qemu:arg value='-S'/></qemu:arg>"),
            ("alias='ua-nic160'", "alias='ua-disk1'"),
            ("alias='ua-nic160'", "alias='ua-nic16x'"),
            ("name='slot'", "name='romfile'"),
            ("value='160'", "value='/etc/shadow'"),
            ("value='160'", "value='70000'"),
            ("type='unsigned'", "type='string'"),
            (
                "</qemu:frontend>",
                "<qemu:property name='romfile' type='string' value='/x'/></qemu:frontend>",
            ),
            ("</qemu:device>", "<qemu:frontend/></qemu:device>"),
        ] {
            let (_, findings) = scrubbed(&OURS.replacen(old, new, 1));
            assert_eq!(findings.len(), 1, "{new}: {findings:?}");
        }
    }

    #[test]
    fn removes_it_in_any_other_place() {
        let text = OURS.replace("<qemu:commandline>", "<os><qemu:commandline>");
        let text = text.replace("</qemu:commandline>", "</qemu:commandline></os>");
        assert_eq!(scrubbed(&text).1.len(), 1);
    }
}
