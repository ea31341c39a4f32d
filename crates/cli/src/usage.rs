//! What was typed wrong, in the words of the contract.

use std::{ffi::OsString, process::ExitCode};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::{
    args::ColorChoice,
    failure::Failure,
    session::document,
    show::{self, Show, Volume},
};

/// Ends a run whose arguments were not understood, or that only asked for help.
pub(crate) fn end(error: &clap::Error, typed: &[OsString]) -> ExitCode {
    let show = Show::new(ColorChoice::Auto, Volume::Usual);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that goes away has read enough.
            drop(show::result(error.render().to_string().as_bytes()));
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            show::talk(error.render().to_string().trim_end());
            ExitCode::from(2)
        }
        _ => {
            let wants_json = typed.iter().any(|word| word == "--json");
            refuse(&show, &failure(error), "usage", wants_json)
        }
    }
}

/// Ends a run that cannot begin.
pub(crate) fn refuse(show: &Show, failure: &Failure, verb: &str, wants_json: bool) -> ExitCode {
    if wants_json {
        drop(show::result(&document(verb, None, Some(failure))));
    }
    show.failure(failure);
    ExitCode::from(failure.exit.number())
}

/// Options of `restore` alone, which no plan file has: what they replace is looked at when it is done.
const OF_RESTORE: [&str; 2] = ["--in-place", "--disk"];

/// An error of the parser in our words.
pub(crate) fn failure(error: &clap::Error) -> Box<Failure> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        // The parser lists what is near with the nearest last.
        Some(ContextValue::Strings(texts)) => texts.last().cloned(),
        _ => None,
    };
    let similar =
        |what: &str, kind| text(kind).map(|name| format!("a similar {what} exists: '{name}'"));
    let (message, tip) = match error.kind() {
        ErrorKind::InvalidSubcommand => (
            format!(
                "unknown command '{}'",
                text(ContextKind::InvalidSubcommand).unwrap_or_default()
            ),
            similar("command", ContextKind::SuggestedSubcommand),
        ),
        ErrorKind::UnknownArgument => {
            let option = text(ContextKind::InvalidArg).unwrap_or_default();
            let elsewhere = OF_RESTORE.contains(&option.as_str()).then(|| {
                format!("what is replaced is planned by: relift restore FILE {option} … --dry-run")
            });
            let near = || similar("option", ContextKind::SuggestedArg);
            (format!("unknown option '{option}'"), elsewhere.or_else(near))
        }
        _ => return plain(error),
    };
    let failure = Failure::usage(message);
    match tip {
        Some(tip) => failure.tip(tip),
        None => failure.tip("relift --help lists what there is"),
    }
}

/// The parser's own words: the first paragraph, and what follows it up to the usage line.
fn plain(error: &clap::Error) -> Box<Failure> {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut failure = Failure::usage(lines.next().unwrap_or("wrong arguments"));
    for line in lines.take_while(|line| !line.starts_with("Usage:")) {
        if line.starts_with("For more information") {
            break;
        }
        failure = match line.strip_prefix("tip: ") {
            Some(tip) => failure.tip(tip),
            None => failure.detail("", line),
        };
    }
    failure
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    fn said(words: &[&str]) -> (String, Option<String>) {
        let words = ["relift"].iter().chain(words);
        let failure = failure(&Cli::try_parse_from(words).unwrap_err());
        (failure.message.clone(), failure.tip.clone())
    }

    #[test]
    fn names_what_is_not_known_and_what_is_near() {
        let tip = |text: &str| Some(text.to_owned());
        assert_eq!(
            said(&["inspekt", "x"]),
            ("unknown command 'inspekt'".to_owned(), tip("a similar command exists: 'inspect'"))
        );
        assert_eq!(
            said(&["plan", "x", "--profil", "virtio"]),
            ("unknown option '--profil'".to_owned(), tip("a similar option exists: '--profile'"))
        );
        assert_eq!(
            said(&["zzzzzz"]),
            ("unknown command 'zzzzzz'".to_owned(), tip("relift --help lists what there is"))
        );
    }

    #[test]
    fn what_restore_alone_can_do_is_shown_by_its_own_dry_run() {
        for (words, option) in [
            (["plan", "web.tar", "--in-place"], "--in-place"),
            (["import", "p.toml", "--disk=vda"], "--disk"),
        ] {
            let tip =
                format!("what is replaced is planned by: relift restore FILE {option} … --dry-run");
            assert_eq!(said(&words), (format!("unknown option '{option}'"), Some(tip)));
        }
    }

    #[test]
    fn says_which_values_there_are() {
        let (message, _) = said(&["plan", "x", "--profile", "best"]);
        assert_eq!(message, "invalid value 'best' for '--profile <PROFILE>'");
        let (message, _) = said(&["disk", "info", "x", "-f", "cow"]);
        assert_eq!(
            message,
            "invalid value 'cow' for '--format <FORMAT>': \
             'cow' is none of vmdk, vhd, vhdx, vdi, qcow2, raw"
        );
    }
}
