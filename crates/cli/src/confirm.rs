//! The question of commands that destroy something.

use std::io::{self, BufRead as _, IsTerminal as _};

use crate::{
    failure::{Failure, Result},
    show::{self, clean},
};

/// Asks on the terminal whether to go on; only a typed `yes` does. `question` says what is lost.
///
/// # Errors
/// Nobody is there to answer, or the answer is another one: exit 2, and the flag that answers is named.
pub(crate) fn ask(question: &str) -> Result<()> {
    ask_for("yes", "a yes is needed", question)
}

/// Asks on the terminal for the name of the machine that is replaced.
///
/// # Errors
/// As [`ask`].
pub(crate) fn ask_name(name: &str, question: &str) -> Result<()> {
    ask_for(name, &format!("the name {} has to be typed", clean(name)), question)
}

fn ask_for(answer: &str, need: &str, question: &str) -> Result<()> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage(format!("{need}, and standard input is no terminal"))
            .tip("add --yes, or look first: --dry-run"));
    }
    show::talk(&format!("{} Type {} to go on:", clean(question), clean(answer)));
    let mut typed = String::new();
    let read = stdin.lock().read_line(&mut typed);
    if read.is_ok() && typed.trim() == answer {
        return Ok(());
    }
    Err(Failure::usage("not confirmed, nothing was changed"))
}
