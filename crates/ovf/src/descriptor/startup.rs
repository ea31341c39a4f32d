//! The order in which the systems of a collection start.

use code::Code;

use super::{Origin, reader::Reader};
use crate::{
    quote,
    xml::{self, Element},
};

/// One `Item` of a `StartupSection` (DSP0243 9.7), with the defaults of the standard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupItem {
    /// The id of the system or collection.
    pub id: String,
    /// `ovf:order`; the lower starts first.
    pub order: u32,
    /// `ovf:startDelay` in seconds.
    pub start_delay_seconds: u32,
    /// `ovf:waitingForGuest`.
    pub waiting_for_guest: bool,
    /// `ovf:startAction`, such as `powerOn`.
    pub start_action: String,
    /// `ovf:stopDelay` in seconds.
    pub stop_delay_seconds: u32,
    /// `ovf:stopAction`, such as `powerOff`.
    pub stop_action: String,
}

/// Reads a `StartupSection`; an item without an id or an order is a finding.
pub(super) fn read(section: &Element, parent: &str, reader: &mut Reader) -> Vec<StartupItem> {
    let path = format!("{parent}/StartupSection/Item");
    let mut items = Vec::new();
    for element in section.all("Item") {
        let text = |name: &str| element.filled(name);
        let number = |name: &str| text(name).and_then(|value| value.parse().ok());
        let id = text("id").unwrap_or_default();
        let (false, Some(order)) = (id.is_empty(), number("order")) else {
            let message = format!("the start of {} has no order or no id", quote::Quoted(&id));
            reader.note(Code::W0610, message, &Origin { line: element.line, path: path.clone() });
            continue;
        };
        items.push(StartupItem {
            id,
            order,
            start_delay_seconds: number("startDelay").unwrap_or(0),
            waiting_for_guest: text("waitingForGuest").as_deref().and_then(xml::boolean)
                == Some(true),
            start_action: text("startAction").unwrap_or_else(|| "powerOn".to_owned()),
            stop_delay_seconds: number("stopDelay").unwrap_or(0),
            stop_action: text("stopAction").unwrap_or_else(|| "powerOff".to_owned()),
        });
    }
    items
}
