//! The steps in their order.

use anyhow::{Context as _, Result};

use crate::{clippy, deny, doc, fmt, layers, program::say, test};

/// What has to be right before a commit: the quick and the local first.
pub(crate) const ALL: &[Step] =
    &[fmt::STEP, layers::STEP, clippy::STEP, test::STEP, doc::STEP, deny::STEP];

/// One thing that is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// The name that a failure is reported under.
    pub(crate) name: &'static str,
    /// What is looked at, for people who wait.
    pub(crate) what: &'static str,
    /// Looks, and says what is wrong.
    pub(crate) look: fn() -> Result<Outcome>,
}

/// How a step ended that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was looked at, and it is right.
    Right,
    /// It could not be looked at here, and why.
    Skipped(String),
}

/// Takes the steps one after the other and stops at the first that fails.
pub(crate) fn run(steps: &[Step]) -> Result<()> {
    let mut skipped = Vec::new();
    for step in steps {
        say(&format!("== {}: {}", step.name, step.what));
        let outcome = (step.look)().with_context(|| format!("step {} failed", step.name))?;
        if let Outcome::Skipped(why) = outcome {
            skipped.push(format!("== {}: skipped, {why}", step.name));
        }
    }
    for line in &skipped {
        say(line);
    }
    say("== all steps passed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    const RIGHT: Step = Step { name: "a", what: "is right", look: || Ok(Outcome::Right) };
    const SKIPPED: Step =
        Step { name: "b", what: "is not here", look: || Ok(Outcome::Skipped("no b".into())) };
    const WRONG: Step = Step { name: "c", what: "is wrong", look: || bail!("two faults") };

    #[test]
    fn passes_when_no_step_fails() {
        run(&[RIGHT, SKIPPED, RIGHT]).unwrap();
    }

    #[test]
    fn names_the_step_that_fails() {
        let error = run(&[RIGHT, WRONG, SKIPPED]).unwrap_err();
        assert_eq!(format!("{error:#}"), "step c failed: two faults");
    }
}
