//! Where the tasks of jobs wait for their turns and are carried out.

use std::{
    ffi::OsString,
    thread,
    time::{Duration, Instant},
};

use backup::{Job, Run, RunState, State, Step, StepKind, Task, Turn, Turns};
use code::{Code, ExitStatus};
use host::libvirt::Libvirt;
use serde_json::Value;

use crate::{
    args::ShelfArgs,
    clock,
    failure::{Failure, Result},
    session::Session,
    show::clean,
    verbs::{
        backup::shelf,
        batch::worker::{Crew, Told, failed},
    },
};

/// How often somebody who waits asks whether it is their turn.
const LOOK: Duration = Duration::from_millis(200);

/// When a command is tried again that found something locked.
const PATIENCE: Duration = Duration::from_secs(2);

/// What stands for the machines of a job where they could not be listed.
const ALL: &str = "*";

/// What is done where a turn is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// It is waited for.
    Yes,
    /// The task is not done.
    No,
}

/// One run of jobs.
pub(super) struct Hall<'a> {
    pub(super) state: &'a State,
    pub(super) session: &'a Session,
    pub(super) crew: &'a Crew,
    pub(super) waits: Waits,
    /// When the run began.
    pub(super) due: String,
}

/// What a step told.
#[derive(Default)]
struct Heard {
    /// The files that it wrote.
    files: Vec<String>,
    /// Whether it found nothing to write.
    is_unchanged: bool,
}

/// Why a step is not done.
struct Fault {
    state: RunState,
    exit: Option<i32>,
    code: Option<String>,
    message: String,
}

impl From<Box<Failure>> for Fault {
    fn from(failure: Box<Failure>) -> Self {
        // Who had no turn, or was stopped, says nothing of the machine.
        let is_fault = !matches!(
            failure.exit,
            ExitStatus::Locked | ExitStatus::Interrupted | ExitStatus::Terminated
        );
        Self {
            state: if is_fault { RunState::Failed } else { RunState::Stopped },
            exit: Some(i32::from(failure.exit.number())),
            code: failure.code.map(|code| code.as_str().to_owned()),
            message: failure.message,
        }
    }
}

impl From<backup::Error> for Fault {
    fn from(error: backup::Error) -> Self {
        Box::<Failure>::from(error).into()
    }
}

impl Hall<'_> {
    /// Waits for a turn, unless nobody wants to.
    pub(super) fn wait(&self, turn: Turn<'_>, what: &str) -> Result<Turns> {
        let mut is_told = false;
        loop {
            if let Some(turn) = self.state.attempt(turn)? {
                return Ok(turn);
            }
            if self.waits == Waits::No {
                return Err(Failure::new(Code::E0602, format!("{what} is busy")));
            }
            if let Some(exit) = self.session.stop.exit() {
                return Err(Failure::stopped(exit));
            }
            if !is_told {
                self.session.show.say(&clean(&format!("waiting for {what}")));
                is_told = true;
            }
            thread::sleep(LOOK);
        }
    }

    /// The machines of a job, as they are now.
    pub(super) fn machines(&self, job: &Job) -> Result<Vec<String>> {
        if !job.all {
            return Ok(job.vm.clone());
        }
        let machines = Libvirt::connect(self.uri(job))?.machines()?;
        Ok(machines.into_iter().map(|machine| machine.name).collect())
    }

    /// Writes down that nobody knows the machines of a job.
    pub(super) fn unlisted(&self, job: &Job, failure: &Failure) -> Result<Run> {
        let mut run = self.run(job, ALL, RunState::Failed);
        run.exit = Some(i32::from(failure.exit.number()));
        run.code = failure.code.map(|code| code.as_str().to_owned());
        run.message = Some(failure.message.clone());
        self.state.note_run(&run)?;
        Ok(run)
    }

    /// Does what a job does to one machine, and writes down what became of it.
    pub(super) fn task(&self, job: &Job, vm: &str) -> Result<Run> {
        let begun = Instant::now();
        let mut files = Vec::new();
        let ended = self.carry_out(job, vm, &mut files);
        let state = ended.as_ref().map_or_else(|fault| fault.state, |state| *state);
        let mut run = self.run(job, vm, state);
        if let Err(fault) = ended {
            (run.exit, run.code) = (fault.exit, fault.code);
            run.message = Some(fault.message);
        }
        run.files = files;
        run.took_ms = u64::try_from(begun.elapsed().as_millis()).ok();
        self.state.note_run(&run)?;
        self.session.detail(&format!("{} {vm}: {}", job.name, state.as_str()));
        Ok(run)
    }

    fn carry_out(
        &self,
        job: &Job,
        vm: &str,
        written: &mut Vec<String>,
    ) -> std::result::Result<RunState, Fault> {
        let (machine, place) = (format!("the machine {vm}"), self.place(job));
        let turn = Turn::Machine { host: self.uri(job), vm };
        let _machine = self.wait(turn, &machine)?;
        let turn = Turn::Place { place: &place, limit: job.concurrency };
        let _place = self.wait(turn, &format!("room for another task at {place}"))?;
        if let Some(exit) = self.session.stop.exit() {
            return Err(Failure::stopped(exit).into());
        }
        self.state.note_run(&self.run(job, vm, RunState::Started))?;
        let files = if job.task == Task::Verify { self.files(job, vm)? } else { Vec::new() };
        let mut state = RunState::Done;
        for step in backup::steps(job, vm, &files) {
            let told = self.step(&step)?;
            if step.kind == StepKind::Create {
                written.extend(told.files);
            }
            if told.is_unchanged {
                state = RunState::Unchanged;
            }
        }
        for step in job.steps_after(vm, written) {
            self.step(&step)?;
        }
        Ok(state)
    }

    /// Does a step, and gives what it told; where somebody outside of jobs has the machine or the
    /// file, as soon as it is free.
    fn step(&self, step: &Step) -> std::result::Result<Heard, Fault> {
        loop {
            match self.once(step) {
                Err(fault) if self.should_wait(&fault) => thread::sleep(PATIENCE),
                ended => return ended,
            }
        }
    }

    fn should_wait(&self, fault: &Fault) -> bool {
        let is_locked = fault.exit == Some(i32::from(ExitStatus::Locked.number()));
        is_locked && self.waits == Waits::Yes && !self.session.stop.is_asked()
    }

    /// Runs a command to its end.
    fn once(&self, step: &Step) -> std::result::Result<Heard, Fault> {
        let mut words: Vec<OsString> =
            ["--events", "-", "--quiet", "--progress", "none"].map(OsString::from).to_vec();
        words.extend(step.words.iter().map(OsString::from));
        let (mut heard, mut error) = (Heard::default(), None);
        let ended = self.crew.run(&words, &mut |told| {
            let Told::Line(value) = told else { return };
            match value.get("event").and_then(Value::as_str) {
                Some("item") => {
                    let path = value.get("path").and_then(Value::as_str);
                    heard.files.extend(path.map(str::to_owned));
                }
                Some("result") => {
                    heard.is_unchanged = value.pointer("/data/unchanged/0").is_some();
                }
                Some("error") => error = value.get("error").cloned(),
                _ => {}
            }
        });
        let ended = ended.map_err(|error| {
            let failure = Failure::plain(ExitStatus::Failure, "no process can be started");
            failure.cause(error.to_string())
        })?;
        if ended.code == Some(0) {
            return Ok(heard);
        }
        // Who finds something locked has changed nothing.
        let is_locked = ended.code == Some(i32::from(ExitStatus::Locked.number()));
        let why = failed(error.as_ref(), &ended, self.session.stop.is_asked());
        Err(Fault {
            state: if why.is_interrupted || is_locked {
                RunState::Stopped
            } else {
                RunState::Failed
            },
            exit: ended.code,
            code: why.code,
            message: format!("{}: {}", step.kind.as_str(), why.message),
        })
    }

    /// The backups that a machine has where the job keeps them.
    fn files(&self, job: &Job, vm: &str) -> Result<Vec<String>> {
        let storage = job.place.storage.as_ref().map(Into::into);
        let args = ShelfArgs { pool: job.place.pool.clone(), storage };
        let folders = shelf::folders(&args, self.uri(job))?;
        let entries = shelf::entries(&folders, self.state)?;
        let of_vm = entries.iter().filter(|entry| entry.facts().is_some_and(|it| it.vm == vm));
        Ok(of_vm.map(|entry| entry.path.display().to_string()).collect())
    }

    /// What tasks are counted by: the place that they write to, else the host.
    fn place(&self, job: &Job) -> String {
        let named = job.place.flag().map(|(_, place)| place);
        named.unwrap_or_else(|| self.uri(job)).to_owned()
    }

    fn uri<'b>(&'b self, job: &'b Job) -> &'b str {
        job.connect.as_deref().unwrap_or(&self.session.hypervisor.uri)
    }

    fn run(&self, job: &Job, vm: &str, state: RunState) -> Run {
        let mut run = Run::new(&clock::now_exact(), &job.name, vm, state);
        run.due.clone_from(&self.due);
        run
    }
}
