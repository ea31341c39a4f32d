//! `batch plan`: every appliance inspected, and one file to review.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, absolute},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use batch::{Batch, Choices, Item, ItemId, Listed, SCHEMA};
use code::Code;
use disk::WriteAt as _;
use host::Host as _;
use serde::Serialize;
use serde_json::Value;
use vm::ByteSize;

use super::{
    stamp, words,
    worker::{Crew, Told, failed},
};
use crate::{
    args::BatchPlanArgs,
    choices,
    failure::{Failure, Result},
    plan_file,
    report::Report,
    session::Session,
    show::{clean, quoted, table::Table},
    verbs::Target,
};

/// `relift.batch.plan/1`.
#[derive(Debug, Serialize)]
struct Data<'a> {
    batch: &'a str,
    path: String,
    target: &'a str,
    items: &'a [Item],
}

/// Inspects what there is, and writes the batch file.
pub(in crate::verbs) fn run(args: &BatchPlanArgs, session: &Session) -> Result<Report> {
    if !args.force && args.out.symlink_metadata().is_ok() {
        let text = format!("{} exists already", args.out.display());
        return Err(Failure::new(Code::E0509, text).fix("--force, or another name with -o"));
    }
    let listed = batch::list(&args.source, args.glob.as_deref())?;
    if listed.is_empty() {
        let text = format!("there is no appliance in {}", args.source.display());
        return Err(Failure::usage(text).tip("--glob PATTERN, for instance --glob '**/*.vmx'"));
    }
    let name = args.out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let choices = plan_file::typed(session.command_line())?;
    let target = target(args.to.as_deref(), session)?;
    let mut batch = Batch { schema: SCHEMA, name, target, choices, items: items(listed)? };
    inspect(&mut batch, args, session)?;
    write(&args.out, &batch.text()?, session)?;
    let data = Data {
        batch: &batch.name,
        path: args.out.display().to_string(),
        target: &batch.target,
        items: &batch.items,
    };
    Ok(Report::new(text(&batch, &args.out), &data))
}

/// The target as it is written: a folder means the same wherever the batch is run from.
fn target(to: Option<&str>, session: &Session) -> Result<String> {
    let to = to.unwrap_or("libvirt");
    Target::parse(to, &session.hypervisor)?;
    let Some(path) = to.strip_prefix("dir:") else { return Ok(to.to_owned()) };
    let path =
        absolute(path).map_err(|error| Failure::usage(format!("--to {to} is no path: {error}")))?;
    Ok(format!("dir:{}", path.display()))
}

/// The items of a list, each with an id of its own.
fn items(listed: Vec<Listed>) -> Result<Vec<Item>> {
    let mut ids = BTreeSet::new();
    for one in listed.iter().filter_map(|one| one.id.as_deref()) {
        if !ids.insert(one.parse::<ItemId>()?) {
            return Err(Failure::usage(format!("two items of the list have the id {one}")));
        }
    }
    let mut items = Vec::with_capacity(listed.len());
    for one in listed {
        let source = absolute(&one.source).map_err(|error| {
            Failure::usage(format!("{} is no path: {error}", one.source.display()))
        })?;
        let id = match &one.id {
            Some(id) => id.clone(),
            None => {
                let stem = source.file_stem().unwrap_or_default().to_string_lossy();
                let id = ItemId::near(&stem).unlike(&ids);
                ids.insert(id.clone());
                id.to_string()
            }
        };
        let choices = one.flags.into_iter().map(|(key, values)| value(&key, values)).collect();
        items.push(Item {
            id,
            stamp: stamp(&source).unwrap_or_default(),
            source_bytes: fs::metadata(&source).map_or(0, |found| found.len()),
            source,
            choices: Choices::from_iter::<Vec<_>>(choices),
            ..Item::default()
        });
    }
    Ok(items)
}

/// A cell of a table as a flag of a file.
fn value(key: &str, values: Vec<String>) -> (String, toml::Value) {
    let value = plan_file::value(key, values);
    (key.to_owned(), value)
}

/// Plans each item in a process of its own, several at a time, and notes what it says.
fn inspect(batch: &mut Batch, args: &BatchPlanArgs, session: &Session) -> Result<()> {
    let jobs = choices::workers(args.jobs);
    let commands: Vec<Vec<OsString>> = batch
        .items
        .iter()
        .map(|item| {
            words("plan", (batch, item), &args.host, session)
                .map(|words| [vec!["--json".into()], words].concat())
        })
        .collect::<Result<_>>()?;
    let (crew, next) = (Crew::default(), AtomicUsize::new(0));
    let slots: Vec<Mutex<&mut Item>> = batch.items.iter_mut().map(Mutex::new).collect();
    let inspect_some = || {
        while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed))
            .filter(|at| *at < slots.len() && !session.stop.is_asked())
        {
            let mut item = slots[at].lock().unwrap_or_else(PoisonError::into_inner);
            note(&mut item, &crew, &commands[at]);
        }
    };
    crew.while_asked(&session.stop, || {
        std::thread::scope(|threads| {
            for _ in 0..jobs.min(slots.len()) {
                threads.spawn(inspect_some);
            }
        });
    });
    match session.stop.exit() {
        Some(exit) => Err(Failure::stopped(exit)),
        None => Ok(()),
    }
}

/// Writes down what the plan of an item says.
fn note(item: &mut Item, crew: &Crew, command: &[OsString]) {
    let mut document = Value::Null;
    let ended = crew.run(command, &mut |told| {
        if let Told::Line(value) = told {
            document = value.clone();
        }
    });
    let ended = match ended {
        Ok(ended) => ended,
        Err(error) => return item.blockers.push(format!("cannot be inspected: {error}")),
    };
    let data = document.get("data").unwrap_or(&Value::Null);
    let texts = |value: Option<&Value>, key: &str| -> Vec<String> {
        let list = value.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|one| one.get(key).and_then(Value::as_str)).map(str::to_owned).collect()
    };
    if let Some(digest) = data.pointer("/source/digest").and_then(Value::as_str) {
        digest.clone_into(&mut item.digest);
    }
    item.needed_bytes = data.pointer("/space/needed_bytes").and_then(Value::as_u64).unwrap_or(0);
    item.machines = texts(data.get("machines"), "name");
    item.networks = networks(data);
    item.warnings = lines(document.get("warnings"));
    if ended.code != Some(0) {
        let why = failed(document.get("error").filter(|error| error.is_object()), &ended, false);
        let code = why.code.map(|code| format!("{code} ")).unwrap_or_default();
        item.blockers.push(format!("{code}{}", why.message));
    }
}

/// The networks that the cards of all machines end in.
fn networks(data: &Value) -> Vec<String> {
    let machines = data.get("machines").and_then(Value::as_array).into_iter().flatten();
    let cards = machines.filter_map(|machine| machine.get("nics").and_then(Value::as_array));
    let targets = cards.flatten().filter_map(|card| card.get("target").and_then(Value::as_str));
    targets.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Warnings as lines: code, item, message.
fn lines(warnings: Option<&Value>) -> Vec<String> {
    let warnings = warnings.and_then(Value::as_array).into_iter().flatten();
    let line = |warning: &Value| {
        let text = |key: &str| warning.get(key).and_then(Value::as_str);
        let item = text("item").map(|item| format!("{item}: ")).unwrap_or_default();
        format!("{} {item}{}", text("code").unwrap_or("-"), text("message").unwrap_or_default())
    };
    warnings.map(line).collect()
}

pub(super) fn write(path: &Path, text: &str, session: &Session) -> Result<()> {
    let host = session.host();
    let partial = host.create_partial(path)?;
    let written = partial
        .file
        .write_all_at(text.as_bytes(), 0)
        .map_err(|error| convert::Error::target_image(error.into()).into())
        .and_then(|()| {
            host.remove_file(path)?;
            Ok(host.publish(&partial)?)
        });
    if written.is_err() {
        host.remove_file(&partial.path)?;
    }
    written
}

fn text(batch: &Batch, file: &Path) -> String {
    let mut table = Table::new(&[1, 2]);
    for item in &batch.items {
        let note = match (item.blockers.first(), item.warnings.len()) {
            (Some(blocker), _) => format!("BLOCKED: {}", clean(blocker)),
            (None, 0) => String::new(),
            (None, 1) => "1 warning".to_owned(),
            (None, count) => format!("{count} warnings"),
        };
        let (read, needed) = (ByteSize(item.source_bytes), ByteSize(item.needed_bytes));
        table.row([&item.id, &read.to_string(), &needed.to_string(), &note]);
    }
    let blocked = batch.items.iter().filter(|item| !item.blockers.is_empty()).count();
    let needed = batch.items.iter().fold(0_u64, |sum, item| sum.saturating_add(item.needed_bytes));
    let shown = clean(&quoted(&file.display().to_string()));
    format!(
        "Planned {} items, {blocked} of them blocked; they need {}\n\n{}\n\n\
         Review {shown}, then:  relift batch run {shown}\n",
        batch.items.len(),
        ByteSize(needed),
        table.lines(2, None).join("\n"),
    )
}
