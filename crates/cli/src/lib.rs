//! The command line of relift: arguments in, words out; no rule of the domain.
//!
//! ```text
//! argv --args--> Command --verbs--> Report | Failure --session--> stdout: text or one JSON document
//!                  |  flags --choices--> Choices                  stderr: warnings, progress, errors
//!                  |                                              exit code
//!                  \--> restore, convert, disk  --progress, events, signals--> Gauge
//! ```
//!
//! The clock, the environment and signals are read here and nowhere below. Before anything is read that
//! somebody else wrote, the program gives up what the command does not need: `sandbox`.
//!
//! It is a library so that what feeds parsers with bad bytes reaches plan files; the program is [`run`].

mod args;
mod choices;
mod clock;
mod confirm;
mod events;
mod failure;
mod hypervisor;
mod json;
mod leftovers;
mod plan_file;
mod program;
mod progress;
mod rate;
mod reach;
mod report;
mod request;
mod sample;
mod sandbox;
mod session;
mod show;
mod signals;
mod state;
mod stdin;
mod usage;
mod verbs;

pub use plan_file::check as check_plan_file;
pub use program::run;
