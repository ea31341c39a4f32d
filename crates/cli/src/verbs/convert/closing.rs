//! What `convert` prints when it is done: what was made, and what to type next.

use std::{path::Path, time::Duration};

use convert::Action;
use restore::{
    MachinePlan, Outcome, Plan,
    plan::{FileRole, Replacing},
};
use vm::ByteSize;

use crate::{
    show::{clean, quoted, table::Table},
    verbs::plan::document,
};

/// One block a machine, and the next commands.
pub(in crate::verbs) fn text(plan: &Plan, done: &Outcome, out: &Path, took: Duration) -> String {
    let shown = |path: &Path| {
        let relative = path.strip_prefix(&plan.target).unwrap_or(path);
        out.join(relative).display().to_string()
    };
    let names: Vec<String> =
        plan.machines.iter().map(|machine| clean(&machine.machine.name)).collect();
    let mut lines = vec![format!("Converted {} in {}", names.join(", "), duration(took))];
    for machine in &plan.machines {
        lines.push(String::new());
        let xml = shown(&machine.folder.join(restore::plan::DOMAIN_XML));
        let mut table = Table::new(&[]);
        table.row(["VM     ", &machine.machine.name, &xml]);
        fill(&mut table, machine, done, &shown);
        lines.extend(table.lines(2, None));
    }
    let result = shown(&restore::plan::result_path(&plan.target));
    lines.push(format!("  {}  {result}", changed(plan, done)));
    lines.push(String::new());
    lines.extend(next(plan, &shown));
    lines.join("\n") + "\n"
}

/// What is in the backup file, and the next commands.
pub(super) fn packed(plan: &Plan, done: &Outcome, out: &Path, took: Duration) -> String {
    let member =
        |path: &Path| path.strip_prefix(&plan.target).unwrap_or(path).display().to_string();
    let shown = out.display().to_string();
    let names: Vec<String> =
        plan.machines.iter().map(|machine| clean(&machine.machine.name)).collect();
    let mut lines =
        vec![format!("Converted {} to {} in {}", names.join(", "), clean(&shown), duration(took))];
    for (machine, config) in plan.machines.iter().zip(&done.domains) {
        lines.push(String::new());
        let mut table = Table::new(&[]);
        table.row(["VM     ", &machine.machine.name, &member(config)]);
        fill(&mut table, machine, done, &member);
        lines.extend(table.lines(2, None));
    }
    lines.push(format!("  {}", changed(plan, done)));
    lines.push(String::new());
    let out = clean(&quoted(&shown));
    lines.extend(headed(
        [format!("relift backup verify {out}"), format!("relift restore {out}")].into_iter(),
    ));
    lines.join("\n") + "\n"
}

/// What is on the host now, one block a machine, and the next commands.
pub(in crate::verbs) fn on_host(plan: &Plan, done: &Outcome, took: Duration) -> String {
    let names: Vec<String> =
        plan.machines.iter().map(|machine| clean(&machine.machine.name)).collect();
    let mut lines = vec![format!("Imported {} in {}", names.join(", "), duration(took))];
    let state =
        plan.host.as_ref().map_or("", |host| if host.start { "started" } else { "shut off" });
    let uri = plan.host.as_ref().map_or("", |host| host.uri.as_str());
    for machine in &plan.machines {
        lines.push(String::new());
        let uuid = machine.machine.uuid.map(|uuid| format!("uuid {uuid}")).unwrap_or_default();
        let mut table = Table::new(&[]);
        let name = format!("{} ({state})", machine.machine.name);
        table.row(["VM     ", &name, &format!("{uuid}  {uri}")]);
        fill(&mut table, machine, done, &|path| path.display().to_string());
        for kept in machine.replacing.iter().flat_map(Replacing::kept) {
            table.row([
                "Before",
                &kept.display().to_string(),
                "as it was; remove it when you like",
            ]);
        }
        lines.extend(table.lines(2, None));
    }
    lines.push(format!("  {}", changed(plan, done)));
    lines.push(String::new());
    let command = plan.host.as_ref().filter(|host| host.start).map_or("start", |_| "console");
    let commands = plan.machines.iter().map(|machine| {
        let name = clean(&quoted(&machine.machine.name));
        format!("virsh -c {uri} {command} {name}")
    });
    lines.extend(headed(commands));
    lines.join("\n") + "\n"
}

fn changed(plan: &Plan, done: &Outcome) -> String {
    let count = |action| plan.rows().filter(|(_, row)| row.action == action).count();
    format!(
        "Changed {} items · dropped {} · warnings {}",
        count(Action::Changed),
        count(Action::Dropped),
        plan.warnings() + done.findings.len()
    )
}

fn headed(commands: impl Iterator<Item = String>) -> Vec<String> {
    let heads = ["Next:  "].into_iter().chain(std::iter::repeat("       "));
    heads.zip(commands).map(|(head, command)| format!("{head}{command}")).collect()
}

/// Says what a machine has: its disks, its settings, its cards.
fn fill(table: &mut Table, machine: &MachinePlan, done: &Outcome, shown: &dyn Fn(&Path) -> String) {
    for (number, disk) in machine.machine.disks.iter().enumerate() {
        let Some(output) = done.outputs.iter().find(|output| output.path == disk.image) else {
            continue;
        };
        let sizes =
            format!("{}, {} used", ByteSize(output.capacity_bytes), ByteSize(output.file_bytes));
        table.row([&format!("Disk {number}"), &shown(&output.path), &sizes]);
    }
    for file in machine.files.iter().filter(|file| matches!(file.role, FileRole::Made(_))) {
        table.row(["Settings", &shown(&file.to), "the guest's OVF environment"]);
    }
    for (number, nic) in machine.machine.nics.iter().enumerate() {
        let mac = nic.mac.map(|mac| mac.to_string()).unwrap_or_default();
        let target = document::target(&nic.target);
        table.row([&format!("NIC {number}"), &format!("{} → {target}", nic.model.as_str()), &mac]);
    }
}

fn next(plan: &Plan, shown: &dyn Fn(&Path) -> String) -> Vec<String> {
    let commands = plan.machines.iter().flat_map(|machine| {
        let xml = shown(&machine.folder.join(restore::plan::DOMAIN_XML));
        [
            format!("virsh define {}", clean(&quoted(&xml))),
            format!("virsh start {}", clean(&quoted(&machine.machine.name))),
        ]
    });
    headed(commands)
}

/// `0.4 s`, `1 min 52 s`, `2 h 5 min`.
pub(in crate::verbs) fn duration(took: Duration) -> String {
    match took.as_secs() {
        0..10 => format!("{:.1} s", took.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_exact_as_people_read_them() {
        for (millis, want) in [
            (40, "0.0 s"),
            (9_949, "9.9 s"),
            (59_999, "59 s"),
            (112_000, "1 min 52 s"),
            (7_559_000, "2 h 5 min"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), want);
        }
    }
}
