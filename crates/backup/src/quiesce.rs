//! One act at a moment when the guest's file systems are quiet.
//!
//! ```text
//! off, paused --------------------------------------------> act              nothing is frozen
//! running --agent answers--> guard armed --> freeze --> act --> thaw --> guard called off
//!              | no             | fails        | fails (thawed again)
//!              v                v              v
//!          NoGuestAgent     QuiesceFailed  QuiesceFailed --> act      where that is allowed
//! ```
//!
//! The guest stands still from the freeze to the thaw: the act is the moment (a snapshot, the begin of a
//! backup job), never the copy. The guard is a process that thaws when the deadline is over, or when
//! this program is killed.

use std::{
    fmt, io,
    time::{Duration, Instant},
};

use bundle::{Indication, State};
use host::{
    guard::{Guard, Outcome},
    libvirt::{Agent, Guest, LibvirtError, Power},
};
use vm::Uuid;

use crate::{Error, Kind, Result, error::told};

/// How long an agent may take to say that it is there (ours; one that is there answers within a second).
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long freezing may take where no deadline is given (ours; a guest writes back its cache first).
const FREEZE_LIMIT: Duration = Duration::from_secs(300);
/// How long thawing may take (ours; Windows was seen to take a minute).
const THAW_LIMIT: Duration = Duration::from_secs(90);
/// When a guard thaws a guest that has no deadline: it is there for the case that we are killed.
const NO_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// Whether the guest's file systems have to be quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quiesce {
    /// Where it is possible.
    #[default]
    Auto,
    /// Without that there is no act, or what it made is void.
    Require,
    /// They are left alone.
    Never,
}

/// What has to be quiet, and how.
#[derive(Clone, Copy)]
pub struct Asked<'a, H: ?Sized> {
    /// The host of the machine.
    pub host: &'a H,
    /// The machine.
    pub machine: Uuid,
    /// Whether it has to be quiet.
    pub quiesce: Quiesce,
    /// How long the guest may stand still; `None` for as long as the act takes.
    pub deadline: Option<Duration>,
    /// What starts the guard.
    pub guards: &'a dyn Guards,
}

impl<H: ?Sized> fmt::Debug for Asked<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, quiesce, deadline, .. } = self;
        let asked = (machine, quiesce, deadline);
        f.debug_tuple("Asked").field(&asked).finish_non_exhaustive()
    }
}

/// What an act made, and what is known of its moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment<T> {
    /// What the act made.
    pub value: T,
    /// What the machine was doing.
    pub state: State,
    /// How quiet it was; none of a machine that did not run.
    pub indications: Vec<Indication>,
    /// How long the guest's file systems were frozen; `None` where they were not.
    pub frozen: Option<Duration>,
    /// Why it was less quiet than wanted, and whatever else people should know, a sentence each.
    pub notes: Vec<String>,
}

/// There is no moment.
#[derive(Debug)]
pub struct Broken<T> {
    /// Why.
    pub error: Error,
    /// What the act had made all the same, for the caller to take back.
    pub made: Option<T>,
}

impl<T> From<Error> for Broken<T> {
    fn from(error: Error) -> Self {
        Self { error, made: None }
    }
}

/// Starts guards.
pub trait Guards {
    /// Starts one, which thaws the machine when the deadline is over or this program is gone.
    ///
    /// # Errors
    /// It does not start.
    fn arm(&self, machine: Uuid, deadline: Duration) -> io::Result<Box<dyn Armed>>;
}

/// A guard at work; dropped, it thaws at once.
pub trait Armed {
    /// Calls it off, and says what it has done.
    fn disarm(self: Box<Self>) -> Outcome;
}

/// Guards that are processes of this program.
#[derive(Debug, Clone, Copy)]
pub struct Processes<'a> {
    /// The address of the host, as virsh takes it.
    pub uri: &'a str,
}

impl Guards for Processes<'_> {
    fn arm(&self, machine: Uuid, deadline: Duration) -> io::Result<Box<dyn Armed>> {
        Ok(Box::new(Guard::arm(self.uri, machine, deadline)?))
    }
}

impl Armed for Guard {
    fn disarm(self: Box<Self>) -> Outcome {
        Self::disarm(*self)
    }
}

/// Does an act while the guest's file systems are quiet, as far as that is wanted and possible.
///
/// # Errors
/// The host does not say what the machine is doing, it is in no state for this, the act fails, or the
/// guest has to be quiet and is not. What the act made is then in the error.
pub fn at_a_quiet_moment<H, T>(
    asked: &Asked<'_, H>,
    act: impl FnOnce() -> Result<T>,
) -> std::result::Result<Moment<T>, Broken<T>>
where
    H: Guest + Agent + ?Sized,
{
    let state = match asked.host.power(asked.machine).map_err(Error::from)? {
        Power::Running => State::Running,
        Power::Paused { .. } => State::Paused,
        Power::Off => State::Off,
        Power::Other(state) => {
            let text = format!("the machine is neither running nor off: {state}");
            return Err(Error::new(Kind::State, text).into());
        }
    };
    let quiet = match (state, asked.quiesce) {
        (State::Running, Quiesce::Auto | Quiesce::Require) => freeze(asked)?,
        (State::Running, Quiesce::Never) => Freeze::none(Indication::Online),
        (State::Paused | State::Off, _) => Freeze::default(),
    };
    let Some(frozen) = quiet.frozen else {
        let value = act()?;
        let Freeze { indications, notes, .. } = quiet;
        return Ok(Moment { value, state, indications, frozen: None, notes });
    };
    let made = act();
    let (took, kept) = thaw(asked, frozen);
    let value = made?;
    let mut moment = Moment {
        value,
        state,
        indications: quiet.indications,
        frozen: Some(took),
        notes: quiet.notes,
    };
    match kept {
        Kept::Quiet => moment.indications.push(Indication::GuestAgent),
        Kept::StillFrozen(why) => {
            moment.indications.push(Indication::GuestAgent);
            moment.notes.push(why);
        }
        Kept::Lost(why) if asked.quiesce == Quiesce::Require => {
            let error = Error::new(Kind::Quiesce, why);
            return Err(Broken { error, made: Some(moment.value) });
        }
        Kept::Lost(why) => {
            moment.indications.push(Indication::QuiesceFailed);
            moment.notes.push(why);
        }
    }
    Ok(moment)
}

/// What came of an attempt to freeze.
#[derive(Default)]
struct Freeze {
    indications: Vec<Indication>,
    notes: Vec<String>,
    frozen: Option<Frozen>,
}

impl Freeze {
    fn none(indication: Indication) -> Self {
        Self { indications: vec![indication], ..Self::default() }
    }

    /// The guest runs on; `why` is an error where it had to be frozen.
    fn without(quiesce: Quiesce, indication: Indication, why: Error) -> Result<Self> {
        if quiesce == Quiesce::Require {
            return Err(why);
        }
        let indications = vec![Indication::Online, indication];
        Ok(Self { indications, notes: vec![told(&why)], frozen: None })
    }
}

/// A guest whose file systems are frozen.
struct Frozen {
    guard: Box<dyn Armed>,
    since: Instant,
    file_systems: u64,
}

/// Whether a guest stayed frozen until the act was over.
enum Kept {
    /// It did, and runs again.
    Quiet,
    /// It did, and could not be thawed yet: why.
    StillFrozen(String),
    /// It did not: why.
    Lost(String),
}

fn freeze<H: Guest + Agent + ?Sized>(asked: &Asked<'_, H>) -> Result<Freeze> {
    let &Asked { host, machine, quiesce, deadline, guards } = asked;
    match host.agent_answers(machine, ANSWER_LIMIT) {
        Ok(true) => {}
        Ok(false) => {
            let why = Error::new(Kind::Quiesce, "no guest agent answers in the machine");
            return Freeze::without(quiesce, Indication::NoGuestAgent, why);
        }
        Err(error) => {
            let why = Error::restless("the host does not ask the guest agent", error);
            return Freeze::without(quiesce, Indication::NoGuestAgent, why);
        }
    }
    let guard = match guards.arm(machine, deadline.unwrap_or(NO_DEADLINE)) {
        Ok(guard) => guard,
        Err(error) => {
            let why = Error::restless(
                "nothing would thaw the guest if this program were killed: its guard does not start",
                error,
            );
            return Freeze::without(quiesce, Indication::QuiesceFailed, why);
        }
    };
    let since = Instant::now();
    let file_systems = match host.freeze(machine, deadline.unwrap_or(FREEZE_LIMIT)) {
        Ok(file_systems) => file_systems,
        Err(error) => {
            // Some may be frozen. An agent that does not even thaw is left to the guard.
            if host.thaw(machine, THAW_LIMIT).is_ok() {
                drop(guard.disarm());
            }
            let why = Error::restless("the guest's file systems could not be frozen", error);
            return Freeze::without(quiesce, Indication::QuiesceFailed, why);
        }
    };
    let mut notes = Vec::new();
    if deadline.is_none() {
        notes.push("without a deadline nothing ends a freeze that takes too long".to_owned());
    }
    let frozen = Some(Frozen { guard, since, file_systems });
    Ok(Freeze { indications: vec![Indication::Online], notes, frozen })
}

/// Lets the guest go on, and says how long it stood still and whether it did so to the end.
fn thaw<H: Agent + ?Sized>(asked: &Asked<'_, H>, frozen: Frozen) -> (Duration, Kept) {
    let Frozen { guard, since, file_systems } = frozen;
    let thawed = asked.host.thaw(asked.machine, THAW_LIMIT);
    let took = since.elapsed();
    let kept = match thawed {
        Ok(thawed) => match guard.disarm() {
            Outcome::Quiet if thawed == 0 && file_systems > 0 => {
                Kept::Lost("somebody thawed the guest before the moment was kept".to_owned())
            }
            Outcome::Quiet => Kept::Quiet,
            Outcome::Fired => {
                Kept::Lost("the deadline was over before the moment was kept".to_owned())
            }
            Outcome::Failed(why) => Kept::Lost(format!(
                "the deadline was over before the moment was kept, and the guest was hard to thaw: {why}"
            )),
        },
        Err(error) => Kept::StillFrozen(still_frozen(&error)),
    };
    (took, kept)
}

/// The guard is dropped with its owner then, and goes on thawing.
fn still_frozen(error: &LibvirtError) -> String {
    format!("the guest could not be thawed, and its guard goes on trying: {}", told(error))
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use host::{
        fake::Fake,
        libvirt::{BlockError, BlockInfo, Definition, Hypervisor as _},
    };

    use super::*;

    const MACHINE: Uuid = Uuid([7; 16]);

    /// What happened, in order: told by the host, the guards and the act alike.
    type Log = Rc<RefCell<Vec<String>>>;

    /// A host with one machine, whose agent says what the test wants.
    struct Script {
        log: Log,
        power: Power,
        /// `None`: the host refuses to ask.
        answers: Option<bool>,
        freezes: bool,
        /// How many file systems thaw; `None`: the agent is silent.
        thaws: Option<u64>,
        guard: Option<Outcome>,
    }

    impl Script {
        fn new() -> Self {
            Self {
                log: Log::default(),
                power: Power::Running,
                answers: Some(true),
                freezes: true,
                thaws: Some(2),
                guard: Some(Outcome::Quiet),
            }
        }

        fn note(&self, what: impl Into<String>) {
            self.log.borrow_mut().push(what.into());
        }

        fn run(
            &self,
            quiesce: Quiesce,
            deadline: Option<Duration>,
        ) -> std::result::Result<Moment<&'static str>, Broken<&'static str>> {
            let asked = Asked { host: self, machine: MACHINE, quiesce, deadline, guards: self };
            at_a_quiet_moment(&asked, || {
                self.note("act");
                Ok("made")
            })
        }

        fn log(&self) -> String {
            self.log.borrow().join(", ")
        }
    }

    fn refusal(what: &str) -> LibvirtError {
        Fake::new(Some(0)).define(what, "").unwrap_err()
    }

    impl Guest for Script {
        fn power(&self, _: Uuid) -> std::result::Result<Power, LibvirtError> {
            Ok(self.power.clone())
        }
        fn definition(&self, _: Uuid, _: Definition) -> std::result::Result<String, LibvirtError> {
            Err(refusal("definition"))
        }
        fn resume(&self, _: Uuid) -> std::result::Result<(), LibvirtError> {
            Err(refusal("resume"))
        }
        fn has_saved_memory(&self, _: Uuid) -> std::result::Result<bool, LibvirtError> {
            Err(refusal("memory"))
        }
        fn start_paused(&self, _: Uuid) -> std::result::Result<(), LibvirtError> {
            Err(refusal("start"))
        }
        fn shut_down(&self, _: Uuid) -> std::result::Result<(), LibvirtError> {
            Err(refusal("stop"))
        }
        fn block_info(&self, _: Uuid, _: &str) -> std::result::Result<BlockInfo, LibvirtError> {
            Err(refusal("disk"))
        }
        fn block_errors(&self, _: Uuid) -> std::result::Result<Vec<BlockError>, LibvirtError> {
            Err(refusal("errors"))
        }
    }

    impl Agent for Script {
        fn agent_answers(&self, _: Uuid, _: Duration) -> std::result::Result<bool, LibvirtError> {
            self.note("ping");
            self.answers.ok_or_else(|| refusal("ping"))
        }
        fn freeze(&self, _: Uuid, limit: Duration) -> std::result::Result<u64, LibvirtError> {
            self.note(format!("freeze within {} s", limit.as_secs()));
            if self.freezes { Ok(2) } else { Err(refusal("freeze")) }
        }
        fn thaw(&self, _: Uuid, _: Duration) -> std::result::Result<u64, LibvirtError> {
            self.note("thaw");
            self.thaws.ok_or_else(|| refusal("thaw"))
        }
        fn frozen(&self, _: Uuid, _: Duration) -> std::result::Result<Option<bool>, LibvirtError> {
            Ok(None)
        }
    }

    /// A guard that tells when it is called off, and when it is left to itself.
    struct FakeGuard {
        log: Log,
        outcome: Option<Outcome>,
    }

    impl Armed for FakeGuard {
        fn disarm(mut self: Box<Self>) -> Outcome {
            self.log.borrow_mut().push("disarm".to_owned());
            self.outcome.take().unwrap()
        }
    }

    impl Drop for FakeGuard {
        fn drop(&mut self) {
            if self.outcome.is_some() {
                self.log.borrow_mut().push("guard goes on".to_owned());
            }
        }
    }

    impl Guards for Script {
        fn arm(&self, _: Uuid, deadline: Duration) -> io::Result<Box<dyn Armed>> {
            self.note(format!("arm {} s", deadline.as_secs()));
            let outcome = self.guard.clone().ok_or_else(|| io::Error::other("no process"))?;
            Ok(Box::new(FakeGuard { log: Rc::clone(&self.log), outcome: Some(outcome) }))
        }
    }

    const FIVE: Option<Duration> = Some(Duration::from_secs(5));

    #[test]
    fn a_running_guest_is_frozen_for_the_act_and_no_longer() {
        let script = Script::new();
        let moment = script.run(Quiesce::Auto, FIVE).unwrap();
        assert_eq!(script.log(), "ping, arm 5 s, freeze within 5 s, act, thaw, disarm");
        assert_eq!((moment.value, moment.state), ("made", State::Running));
        assert_eq!(moment.indications, [Indication::Online, Indication::GuestAgent]);
        assert!(moment.frozen.is_some() && moment.notes.is_empty());
    }

    #[test]
    fn without_a_deadline_the_guard_stays_and_people_are_warned() {
        let script = Script::new();
        let moment = script.run(Quiesce::Require, None).unwrap();
        assert_eq!(script.log(), "ping, arm 86400 s, freeze within 300 s, act, thaw, disarm");
        let want = "without a deadline nothing ends a freeze that takes too long";
        assert_eq!(moment.notes, [want]);
    }

    #[test]
    fn a_machine_that_stands_still_or_is_left_alone_is_not_frozen() {
        for (power, quiesce, state, indications) in [
            (Power::Off, Quiesce::Require, State::Off, vec![]),
            (Power::Paused { by_error: true }, Quiesce::Require, State::Paused, vec![]),
            (Power::Running, Quiesce::Never, State::Running, vec![Indication::Online]),
        ] {
            let script = Script { power, ..Script::new() };
            let moment = script.run(quiesce, FIVE).unwrap();
            assert_eq!(script.log(), "act");
            assert_eq!((moment.state, moment.indications), (state, indications));
            assert_eq!((moment.frozen, moment.notes), (None, vec![]));
        }
        let script = Script { power: Power::Other("in shutdown".to_owned()), ..Script::new() };
        let broken = script.run(Quiesce::Never, FIVE).unwrap_err();
        let want = "the machine is neither running nor off: in shutdown";
        assert_eq!((broken.error.to_string().as_str(), broken.made), (want, None));
        assert_eq!(broken.error.code(), Some(code::Code::E0510));
        assert_eq!(script.log(), "");
    }

    /// Each way in which a guest does not freeze: script, what happens, what is noted.
    fn not_frozen() -> Vec<(Script, &'static str, Indication, &'static str)> {
        vec![
            (
                Script { answers: Some(false), ..Script::new() },
                "ping",
                Indication::NoGuestAgent,
                "no guest agent answers in the machine",
            ),
            (
                Script { answers: None, ..Script::new() },
                "ping",
                Indication::NoGuestAgent,
                "the host does not ask the guest agent: the test does not define ping",
            ),
            (
                Script { guard: None, ..Script::new() },
                "ping, arm 5 s",
                Indication::QuiesceFailed,
                "nothing would thaw the guest if this program were killed: its guard does not start: no process",
            ),
            (
                Script { freezes: false, ..Script::new() },
                "ping, arm 5 s, freeze within 5 s, thaw, disarm",
                Indication::QuiesceFailed,
                "the guest's file systems could not be frozen: the test does not define freeze",
            ),
            (
                Script { freezes: false, thaws: None, ..Script::new() },
                "ping, arm 5 s, freeze within 5 s, thaw, guard goes on",
                Indication::QuiesceFailed,
                "the guest's file systems could not be frozen: the test does not define freeze",
            ),
        ]
    }

    #[test]
    fn what_keeps_a_guest_from_freezing_is_noted_and_the_act_is_done_all_the_same() {
        for (script, log, indication, note) in not_frozen() {
            let moment = script.run(Quiesce::Auto, FIVE).unwrap();
            assert_eq!(script.log(), format!("{log}, act"));
            assert_eq!(moment.indications, [Indication::Online, indication]);
            assert_eq!((moment.frozen, moment.notes), (None, vec![note.to_owned()]));
        }
    }

    #[test]
    fn a_guest_that_has_to_be_quiet_and_is_not_gets_no_act() {
        for (script, log, _, note) in not_frozen() {
            let broken = script.run(Quiesce::Require, FIVE).unwrap_err();
            assert_eq!(script.log(), log);
            assert_eq!((told(&broken.error), broken.made), (note.to_owned(), None));
            assert_eq!(broken.error.code(), Some(code::Code::E0511));
        }
    }

    #[test]
    fn a_guest_that_was_thawed_before_the_act_was_over_was_not_quiet() {
        let late = "the deadline was over before the moment was kept";
        for (guard, thaws, why) in [
            (Outcome::Fired, 0, late.to_owned()),
            (
                Outcome::Failed("no answer".to_owned()),
                2,
                format!("{late}, and the guest was hard to thaw: no answer"),
            ),
            (Outcome::Quiet, 0, "somebody thawed the guest before the moment was kept".to_owned()),
        ] {
            let script =
                || Script { guard: Some(guard.clone()), thaws: Some(thaws), ..Script::new() };
            let moment = script().run(Quiesce::Auto, FIVE).unwrap();
            assert_eq!(moment.indications, [Indication::Online, Indication::QuiesceFailed]);
            assert_eq!(moment.notes, std::slice::from_ref(&why));
            let broken = script().run(Quiesce::Require, FIVE).unwrap_err();
            assert_eq!((broken.error.to_string(), broken.made), (why, Some("made")));
        }
    }

    #[test]
    fn a_guest_that_cannot_be_thawed_is_left_to_its_guard_and_was_quiet() {
        let script = Script { thaws: None, ..Script::new() };
        let moment = script.run(Quiesce::Require, FIVE).unwrap();
        assert_eq!(script.log(), "ping, arm 5 s, freeze within 5 s, act, thaw, guard goes on");
        assert_eq!(moment.indications, [Indication::Online, Indication::GuestAgent]);
        let want = "the guest could not be thawed, and its guard goes on trying: \
                    the test does not define thaw";
        assert_eq!(moment.notes, [want]);
    }

    #[test]
    fn an_act_that_fails_leaves_a_guest_that_runs() {
        let script = Script::new();
        let asked = Asked {
            host: &script,
            machine: MACHINE,
            quiesce: Quiesce::Auto,
            deadline: FIVE,
            guards: &script,
        };
        let act = || -> Result<()> { Err(Error::from(refusal("act"))) };
        let broken = at_a_quiet_moment(&asked, act).unwrap_err();
        assert_eq!(broken.error.to_string(), "the test does not define act");
        assert_eq!(script.log(), "ping, arm 5 s, freeze within 5 s, thaw, disarm");
    }
}
