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
    typed("yes", "a yes is needed", question)
}

/// The same question, which only the name of what is changed answers.
///
/// # Errors
/// As [`ask`].
pub(crate) fn ask_for(name: &str, question: &str) -> Result<()> {
    typed(name, &format!("the name {} has to be typed", clean(name)), question)
}

fn typed(word: &str, need: &str, question: &str) -> Result<()> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage(format!("{need}, and standard input is no terminal"))
            .tip("add --yes, or look first: --dry-run"));
    }
    show::talk(&format!("{} Type {} to go on:", clean(question), clean(word)));
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    if read.is_ok() && answer.trim() == word {
        return Ok(());
    }
    Err(Failure::usage("not confirmed, nothing was changed"))
}
