//! `--events`: what happens, one JSON object a line, flushed.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    clock,
    failure::{Failure, Result},
    json::{self, Message},
};

/// Something that happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// The run begins.
    Start {
        /// `relift.events/1`.
        schema: &'static str,
        /// The command.
        verb: &'a str,
        /// The program's version.
        version: &'static str,
    },
    /// A step begins.
    Phase {
        /// Its name.
        phase: &'a str,
        /// What it works on.
        item: Option<&'a str>,
        /// How many bytes it has to do.
        total_bytes: Option<u64>,
    },
    /// How far a step is.
    Progress(Progress<'a>),
    /// Something that somebody should know.
    Warning(&'a Message),
    /// One output is there.
    Item {
        /// Where it is.
        path: &'a str,
        /// Length of the file.
        file_bytes: u64,
    },
    /// A detail of `-v`.
    Log {
        /// The detail.
        message: &'a str,
    },
    /// The run did what was asked; the last line.
    Result {
        /// The exit code.
        exit: u8,
        /// The `data` of the document that `--json` prints.
        data: &'a RawValue,
    },
    /// The run did not do what was asked; the last line.
    Error {
        /// The exit code.
        exit: u8,
        /// Why.
        error: &'a Message,
    },
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Progress<'a> {
    /// The step.
    pub(crate) phase: &'a str,
    /// Guest bytes that are done.
    pub(crate) done_bytes: u64,
    /// Guest bytes that there are.
    pub(crate) total_bytes: Option<u64>,
    /// Bytes that were written; not known before the step ends.
    pub(crate) written_bytes: Option<u64>,
    /// Bytes that were zeros; not known before the step ends.
    pub(crate) zero_bytes: Option<u64>,
    /// Bytes a second since the step began.
    pub(crate) rate_bps: u64,
    /// Milliseconds that are left at this rate.
    pub(crate) eta_ms: Option<u64>,
}

#[derive(Serialize)]
struct Line<'a> {
    t: &'a str,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// Where events go; nowhere unless they were asked for.
#[derive(Default)]
pub(crate) struct Events {
    out: Mutex<Option<Box<dyn Write + Send>>>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// Opens what `--events` names: a file, `-` for stdout, or `fd:N` for an open descriptor.
    pub(crate) fn open(target: Option<&str>) -> Result<Self> {
        let Some(target) = target else { return Ok(Self::default()) };
        let out: Box<dyn Write + Send> = match target.strip_prefix("fd:") {
            _ if target == "-" => Box::new(io::stdout()),
            Some(number) => Box::new(open_descriptor(number)?),
            None => Box::new(File::create(target).map_err(|error| cannot_open(target, &error))?),
        };
        Ok(Self { out: Mutex::new(Some(out)) })
    }

    /// Says what happened. A reader that goes away is no reason to end the work.
    pub(crate) fn send(&self, event: &Event<'_>) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(writer) = out.as_mut() else { return };
        if write_line(writer, &clock::now(), event).is_err() {
            *out = None;
        }
    }
}

fn write_line(out: &mut dyn Write, t: &str, event: &Event<'_>) -> io::Result<()> {
    let mut line = json::harmless(serde_json::to_string(&Line { t, event })?);
    line.push('\n');
    out.write_all(line.as_bytes())?;
    out.flush()
}

/// Opens a descriptor that the caller left open; what is written goes behind what is there.
fn open_descriptor(number: &str) -> Result<File> {
    let target = format!("fd:{number}");
    let number: u32 = number
        .parse()
        .map_err(|_| Failure::usage(format!("--events {target} does not name a descriptor")))?;
    OpenOptions::new()
        .append(true)
        .open(format!("/proc/self/fd/{number}"))
        .map_err(|error| cannot_open(&target, &error))
}

fn cannot_open(target: &str, error: &io::Error) -> Box<Failure> {
    Failure::usage(format!("cannot write --events {target}")).cause(error.to_string())
}

#[cfg(test)]
mod tests {
    use code::Code;

    use super::*;
    use crate::json::raw;

    fn line(event: &Event<'_>) -> String {
        let mut out = Vec::new();
        write_line(&mut out, "2026-11-21T01:14:59Z", event).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_is_one_line_with_its_time_and_name_in_front() {
        let data = raw(&[1]);
        for (event, want) in [
            (
                Event::Phase { phase: "convert", item: None, total_bytes: Some(7) },
                r#""event":"phase","phase":"convert","item":null,"total_bytes":7}"#,
            ),
            (Event::Result { exit: 0, data: &data }, r#""event":"result","exit":0,"data":[1]}"#),
            (
                Event::Progress(Progress {
                    phase: "convert",
                    done_bytes: 1,
                    total_bytes: None,
                    written_bytes: None,
                    zero_bytes: None,
                    rate_bps: 2,
                    eta_ms: None,
                }),
                concat!(
                    r#""event":"progress","phase":"convert","done_bytes":1,"total_bytes":null,"#,
                    r#""written_bytes":null,"zero_bytes":null,"rate_bps":2,"eta_ms":null}"#
                ),
            ),
        ] {
            assert_eq!(line(&event), format!("{{\"t\":\"2026-11-21T01:14:59Z\",{want}\n"));
        }
        let message = Message::new(Code::W0301, "m");
        let line = line(&Event::Warning(&message));
        assert!(
            line.contains(r#""event":"warning","code":"W0301","severity":"warning""#),
            "{line}"
        );
    }

    #[test]
    fn refuses_what_is_no_descriptor() {
        for (target, want) in [
            ("fd:x", "--events fd:x does not name a descriptor"),
            ("fd:-1", "--events fd:-1 does not name a descriptor"),
            ("fd:4000000000", "cannot write --events fd:4000000000"),
        ] {
            assert_eq!(Events::open(Some(target)).unwrap_err().message, want);
        }
    }
}
