//! The order in which the machines of a collection are meant to start (DSP0243 9.7).
//!
//! libvirt has no group of machines, and relift starts nothing because a package asks for it: the
//! order goes into the plan and the result, for whoever starts them.

use convert::source::System;
use ovf::descriptor::StartupItem;

use crate::Selection;

/// The order of one collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup {
    /// The ids of the collections from the outermost to this one.
    pub collection: Vec<String>,
    /// What starts, the lowest order first; equal ones start together.
    pub items: Vec<StartupItem>,
}

/// The orders that concern the chosen machines: an item may be one of them, or a collection around
/// one of them.
pub(super) fn of(selection: &Selection, chosen: &[&System]) -> Vec<Startup> {
    let is_planned = |path: &[String], id: &str| {
        chosen.iter().any(|system| {
            let inside = system.collections.strip_prefix(path);
            inside.is_some_and(|inside| match inside.first() {
                Some(collection) => collection == id,
                None => system.id.as_deref() == Some(id),
            })
        })
    };
    let orders = selection.collections.iter().map(|collection| {
        let path = collection.path.as_slice();
        let items = collection.startup.iter().filter(|item| is_planned(path, &item.id));
        let mut items: Vec<StartupItem> = items.cloned().collect();
        items.sort_by_key(|item| item.order);
        Startup { collection: path.to_vec(), items }
    });
    orders.filter(|order| !order.items.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use ovf::descriptor::Collection;

    use super::*;

    fn item(id: &str, order: u32) -> StartupItem {
        StartupItem {
            id: id.to_owned(),
            order,
            start_delay_seconds: 0,
            waiting_for_guest: false,
            start_action: "powerOn".to_owned(),
            stop_delay_seconds: 0,
            stop_action: "powerOff".to_owned(),
        }
    }

    fn collection(path: &[&str], startup: Vec<StartupItem>) -> Collection {
        Collection {
            path: path.iter().map(ToString::to_string).collect(),
            name: None,
            startup,
            sections: Vec::new(),
        }
    }

    fn system(id: &str, path: &[&str]) -> System {
        System {
            id: Some(id.to_owned()),
            collections: path.iter().map(ToString::to_string).collect(),
            ..System::default()
        }
    }

    #[test]
    fn only_what_concerns_a_chosen_machine_is_kept_and_the_lowest_comes_first() {
        let selection = Selection {
            configuration: None,
            systems: Vec::new(),
            collections: vec![
                collection(&["app"], vec![item("web", 2), item("back", 1), item("gone", 0)]),
                collection(&["app", "back"], vec![item("db", 1)]),
                collection(&["app", "other"], vec![item("db", 1)]),
            ],
            networks: Vec::new(),
            text_findings: Vec::new(),
            findings: Vec::new(),
        };
        let (web, db) = (system("web", &["app"]), system("db", &["app", "back"]));
        let told = |chosen: &[&System]| -> Vec<(String, Vec<String>)> {
            let orders = of(&selection, chosen);
            let ids = |order: &Startup| order.items.iter().map(|item| item.id.clone()).collect();
            orders.iter().map(|order| (order.collection.join("/"), ids(order))).collect()
        };
        let both = [
            ("app".to_owned(), vec!["back".to_owned(), "web".to_owned()]),
            ("app/back".to_owned(), vec!["db".to_owned()]),
        ];
        assert_eq!(told(&[&web, &db]), both);
        assert_eq!(told(&[&web]), [("app".to_owned(), vec!["web".to_owned()])]);
        assert_eq!(told(&[]), []);
    }
}
