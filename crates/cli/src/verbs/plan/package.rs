//! What a plan says of the package around its machines: configurations, and the order of starting.

use restore::Plan;
use serde::Serialize;

use crate::show::{clean, table::Table};

/// A configuration that could be chosen.
#[derive(Debug, Serialize)]
pub(crate) struct ConfigurationData {
    id: String,
    label: Option<String>,
    default: bool,
    chosen: bool,
}

/// The order in which the machines of a collection are meant to start.
#[derive(Debug, Serialize)]
pub(crate) struct StartupData {
    collection: Vec<String>,
    items: Vec<StartupItemData>,
}

#[derive(Debug, Serialize)]
struct StartupItemData {
    id: String,
    order: u32,
    start_action: String,
    start_delay_ms: u64,
    waiting_for_guest: bool,
    stop_action: String,
    stop_delay_ms: u64,
}

/// Every configuration of the package, and which one was taken.
pub(crate) fn configurations(plan: &Plan) -> Vec<ConfigurationData> {
    let each = plan.configurations.iter().map(|one| ConfigurationData {
        id: one.id.clone(),
        label: one.label.clone(),
        default: one.default,
        chosen: plan.configuration.as_ref() == Some(&one.id),
    });
    each.collect()
}

/// The orders of the collections that the planned machines are in.
pub(crate) fn startup(plan: &Plan) -> Vec<StartupData> {
    let milliseconds = |seconds: u32| u64::from(seconds) * 1000;
    let items = |order: &restore::plan::Startup| {
        let items = order.items.iter().map(|item| StartupItemData {
            id: item.id.clone(),
            order: item.order,
            start_action: item.start_action.clone(),
            start_delay_ms: milliseconds(item.start_delay_seconds),
            waiting_for_guest: item.waiting_for_guest,
            stop_action: item.stop_action.clone(),
            stop_delay_ms: milliseconds(item.stop_delay_seconds),
        });
        items.collect()
    };
    let orders = plan.startup.iter();
    orders
        .map(|order| StartupData { collection: order.collection.clone(), items: items(order) })
        .collect()
}

/// Both for people; nothing where the package has neither.
pub(super) fn lines(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if !plan.configurations.is_empty() {
        let mut table = Table::new(&[]);
        table.row(["Configurations", "ID", "LABEL", ""]);
        for one in configurations(plan) {
            let mark = match (one.chosen, one.default) {
                (true, _) => "taken",
                (false, true) => "default",
                (false, false) => "",
            };
            table.row(["", &one.id, one.label.as_deref().unwrap_or(""), mark]);
        }
        lines.extend(table.lines(2, None));
        lines.push(String::new());
    }
    for order in &plan.startup {
        let name = clean(&order.collection.join("/"));
        lines.push(format!("  Start order of {name}: nothing is started, the package asks for"));
        let mut table = Table::new(&[0]);
        for item in &order.items {
            let wait = match (item.waiting_for_guest, item.start_delay_seconds) {
                (false, 0) => String::new(),
                (false, seconds) => format!("then wait {seconds} s"),
                (true, 0) => "then wait for the guest".to_owned(),
                (true, seconds) => format!("then wait for the guest, {seconds} s at most"),
            };
            let action = if item.start_action == "none" { "not started" } else { &wait };
            table.row([&item.order.to_string(), &item.id, action]);
        }
        lines.extend(table.lines(4, None));
        lines.push(String::new());
    }
    lines
}
