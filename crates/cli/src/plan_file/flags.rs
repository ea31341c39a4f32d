//! `[choices]`: flags by their names, in place of a command line.
//!
//! What is read is typed again, so to speak: it goes through the same parser as a command line, so
//! that a flag has one meaning, one set of values and one message.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, absolute},
};

use clap::{ArgAction, ArgMatches, CommandFactory as _, Parser, parser::ValueSource};
use toml::Value;

use crate::{
    args::{Cli, HardwareArgs, PackingArgs, PlaceArgs, PolicyArgs},
    failure::{Failure, Result},
    usage,
};

/// The flags that choose what becomes of a package.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) hardware: HardwareArgs,
    #[command(flatten)]
    pub(crate) packing: PackingArgs,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// Flags by their names, `_` for `-`, with what was typed behind them.
pub(crate) type Recorded = BTreeMap<String, Value>;

/// The flag that the file has no key for: its tables of machines say the same.
const NOT_KEPT: &str = "vm";

/// Flags whose effect the tables of the machines have, by where it is; there it counts more.
const OF_MACHINES: [(&str, &str); 10] = [
    ("vm", "which [[machine]] tables there are"),
    ("name", "name of [[machine]]"),
    ("net", "target of [[machine.nic]]"),
    ("vcpus", "vcpus of [[machine]]"),
    ("memory", "memory_bytes of [[machine]]"),
    ("firmware", "firmware of [[machine]]"),
    ("disk_bus", "bus of [[machine.disk]]"),
    ("nic_model", "model of [[machine.nic]]"),
    ("machine", "machine of [[machine]]"),
    ("format", "format of [[machine.disk]]"),
];

/// Flags that name a file.
const PATHS: [&str; 3] = ["trust", "prop_file", "storage"];

/// Where a plan file has the effect of this flag, if it is in the tables of the machines.
pub(super) fn of_machines(key: &str) -> Option<&'static str> {
    OF_MACHINES.iter().find(|(flag, _)| *flag == key).map(|(_, place)| *place)
}

/// Every key that `[choices]` may have.
pub(super) fn keys() -> Vec<String> {
    let command = Flags::command();
    let ids = command.get_arguments().map(|flag| flag.get_id().as_str().to_owned());
    ids.filter(|id| id != NOT_KEPT).collect()
}

/// The flags that were typed on a command line, as far as they choose what becomes of a package.
pub(crate) fn typed(words: &[OsString]) -> Result<Recorded> {
    let matches = Cli::command().try_get_matches_from(words).ok();
    let Some((_, mut typed)) = matches.as_ref().and_then(ArgMatches::subcommand) else {
        return Ok(Recorded::new());
    };
    while let Some((_, of_subcommand)) = typed.subcommand() {
        typed = of_subcommand;
    }
    let mut recorded = Recorded::new();
    for flag in Flags::command().get_arguments() {
        let key = flag.get_id().as_str();
        let Ok(Some(values)) = typed.try_get_raw(key) else { continue };
        if typed.value_source(key) != Some(ValueSource::CommandLine) {
            continue;
        }
        let values = values.map(|value| text(key, value)).collect::<Result<Vec<String>>>()?;
        let value = match flag.get_action() {
            ArgAction::SetTrue => Value::Boolean(true),
            ArgAction::Append => Value::Array(values.into_iter().map(Value::String).collect()),
            _ => scalar(values.into_iter().next_back().unwrap_or_default()),
        };
        recorded.insert(key.to_owned(), value);
    }
    Ok(recorded)
}

/// A value as it is typed, with a path that means the same in every folder.
fn text(key: &str, value: &OsStr) -> Result<String> {
    let flag = || format!("--{}", key.replace('_', "-"));
    let text = value.to_str().ok_or_else(|| {
        Failure::usage(format!("{} is no UTF-8 text, as a plan file must be", flag()))
    })?;
    let everywhere = |path: &str| {
        let path = absolute(Path::new(path))
            .map_err(|error| Failure::usage(format!("{} '{path}' is no path: {error}", flag())))?;
        Ok(path.display().to_string())
    };
    if PATHS.contains(&key) {
        return everywhere(text);
    }
    match text.split_once("=@").filter(|(property, _)| key == "prop" && !property.contains('=')) {
        Some((property, path)) => Ok(format!("{property}=@{}", everywhere(path)?)),
        None => Ok(text.to_owned()),
    }
}

/// A number where the text is just that.
fn scalar(text: String) -> Value {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => Value::Integer(number),
        _ => Value::String(text),
    }
}

/// The words of one flag; an error says what kind of value it must have.
fn words(key: &str, value: &Value) -> std::result::Result<Vec<String>, String> {
    let flag = format!("--{}", key.replace('_', "-"));
    let word = |value: &Value| match value {
        Value::String(text) => Ok(format!("{flag}={text}")),
        Value::Integer(number) => Ok(format!("{flag}={number}")),
        other => Err(format!("{key} has a value of the type {}", other.type_str())),
    };
    match value {
        Value::Boolean(true) => Ok(vec![flag]),
        Value::Boolean(false) => Ok(Vec::new()),
        Value::Array(values) => values.iter().map(word).collect(),
        other => word(other).map(|word| vec![word]),
    }
}

/// A cell of a table of appliances as the value of a flag; several values are several of the flag's.
pub(crate) fn value(key: &str, values: Vec<String>) -> Value {
    let command = Flags::command();
    let flag = command.get_arguments().find(|flag| flag.get_id() == key);
    match flag.map(clap::Arg::get_action) {
        Some(ArgAction::SetTrue) => {
            let is_set = |text: &String| matches!(text.as_str(), "true" | "yes" | "1");
            Value::Boolean(values.iter().all(is_set))
        }
        Some(ArgAction::Append) => Value::Array(values.into_iter().map(Value::String).collect()),
        _ => scalar(values.join(";")),
    }
}

/// The words of a command line that a table of flags stands for.
pub(crate) fn command_line(recorded: &Recorded) -> Result<Vec<String>> {
    parse(recorded).map_err(|(_, failure)| failure)?;
    let all = recorded.iter().map(|(key, value)| words(key, value).map_err(Failure::usage));
    Ok(all.collect::<Result<Vec<_>>>()?.concat())
}

/// The flags that a table stands for.
///
/// # Errors
/// What a command line would be refused for, with the key that it is about, if it is about one.
pub(super) fn parse(
    recorded: &Recorded,
) -> std::result::Result<Flags, (Option<String>, Box<Failure>)> {
    let mut all = Vec::new();
    for (key, value) in recorded {
        let of_key = |failure| (Some(key.clone()), failure);
        let words = words(key, value).map_err(|text| of_key(Failure::usage(text)))?;
        Flags::try_parse_from(&words).map_err(|error| of_key(usage::failure(&error)))?;
        all.extend(words);
    }
    Flags::try_parse_from(all).map_err(|error| (None, usage::failure(&error)))
}
