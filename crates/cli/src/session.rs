//! One run of the program: where its words go, and whether it shall stop.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    process::ExitCode,
    sync::Arc,
};

use code::{Code, ExitStatus};

use crate::{
    args::{Cli, ProgressChoice},
    events::{Event, Events},
    failure::{Failure, Result},
    hypervisor::{Answer, Hypervisor},
    json::{self, Envelope, Message},
    leftovers::{Leftovers, Tracked},
    progress::Look,
    report::Report,
    sandbox::{self, Confined},
    show::{self, Show, Volume},
    signals::{self, Stop},
};

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Session {
    /// The words.
    pub(crate) show: Show,
    /// The events.
    pub(crate) events: Events,
    /// Whether somebody said stop.
    pub(crate) stop: Arc<Stop>,
    /// The libvirt host that was named, or is the usual one.
    pub(crate) hypervisor: Hypervisor,
    left: Arc<Leftovers>,
    verb: &'static str,
    typed: Vec<OsString>,
    result: ResultForm,
    look: Look,
    /// What a host said that had to be asked before the program was confined.
    answer: Option<(Hypervisor, Answer)>,
}

/// What stdout gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResultForm {
    /// A text for people.
    Text,
    /// One JSON document.
    Json,
    /// Events; the text for people goes to stderr.
    Events,
}

impl Session {
    /// Opens what the global flags name, gives up what the command does not need, and begins to listen
    /// for signals.
    ///
    /// `typed` is the whole command line, which a closing line may repeat.
    pub(crate) fn open(cli: &Cli, typed: Vec<OsString>) -> Result<Self> {
        let (global, verb) = (&cli.global, cli.command.verb());
        let volume = match (global.quiet, global.verbose) {
            (true, _) => Volume::Errors,
            (false, 0) => Volume::Usual,
            (false, _) => Volume::Details,
        };
        let result = match (global.json, global.events.as_deref()) {
            (true, Some("-")) => {
                return Err(Failure::usage("--events - and --json both want stdout")
                    .tip("write the events to a file: --events FILE"));
            }
            (true, _) => ResultForm::Json,
            (false, Some("-")) => ResultForm::Events,
            (false, _) => ResultForm::Text,
        };
        let look = match global.progress {
            ProgressChoice::Auto if volume == Volume::Errors => Look::Nothing,
            ProgressChoice::Auto if io::stderr().is_terminal() => Look::Bar,
            ProgressChoice::Auto | ProgressChoice::Plain => Look::Plain,
            ProgressChoice::Bar => Look::Bar,
            ProgressChoice::None => Look::Nothing,
        };
        let deaf = |error: io::Error| {
            Failure::plain(ExitStatus::Failure, "cannot listen for signals")
                .cause(error.to_string())
        };
        let caught = signals::catch().map_err(deaf)?;
        let events = Events::open(global.events.as_deref())?;
        let hypervisor = Hypervisor::of(global.connect.as_deref());
        let Confined { missing, answer } = sandbox::enter(&cli.command, &hypervisor)?;
        let (stop, left) = (Arc::<Stop>::default(), Arc::<Leftovers>::default());
        signals::listen(caught, Arc::clone(&stop), Arc::clone(&left)).map_err(deaf)?;
        let version = env!("CARGO_PKG_VERSION");
        events.send(&Event::Start { schema: "relift.events/1", verb, version });
        let show = Show::new(global.color, volume);
        let session =
            Self { show, events, stop, hypervisor, left, verb, typed, result, look, answer };
        if let Some(why) = missing {
            session.detail(&format!("not confined: {why}"));
        }
        Ok(session)
    }

    /// What a host said before the program was confined; `None` where it was not asked.
    pub(crate) fn answer(&self, asked: &Hypervisor) -> Option<&Answer> {
        self.answer.as_ref().filter(|(host, _)| host == asked).map(|(_, answer)| answer)
    }

    /// The file system, with a list of what the run makes in it.
    pub(crate) fn host(&self) -> Tracked<'_> {
        Tracked::new(&self.left)
    }

    /// The command line, word by word.
    pub(crate) fn typed(&self) -> Vec<String> {
        self.typed.iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    /// The command line as it was typed.
    pub(crate) fn command_line(&self) -> &[OsString] {
        &self.typed
    }

    /// How progress is shown.
    pub(crate) const fn look(&self) -> Look {
        self.look
    }

    /// Fails when stdout is taken by something else than the bytes that a command wants to write.
    pub(crate) fn claim_stdout(&self, flag: &str) -> Result<()> {
        if self.result == ResultForm::Text {
            return Ok(());
        }
        Err(Failure::usage(format!("{flag} writes to stdout, and so does --json or --events -")))
    }

    /// Says a detail, with `-v` only.
    pub(crate) fn detail(&self, message: &str) {
        if self.show.volume >= Volume::Details {
            show::talk(&format!("info: {}", show::clean(message.trim_end())));
            self.events.send(&Event::Log { message });
        }
    }

    /// Prints what came of the run and gives its exit code.
    pub(crate) fn end(&self, ended: Result<Report>) -> ExitCode {
        let ended = ended.map_err(|failure| {
            // Whatever failed after the signal failed because of it.
            let failure = self.stop.exit().map_or(failure, Failure::stopped);
            self.left.list().iter().fold(failure, |failure, path| {
                failure.detail("left behind", path.display().to_string())
            })
        });
        let mut exit = match &ended {
            Ok(report) => report.failure.as_deref().map_or(ExitStatus::Ok, |failure| failure.exit),
            Err(failure) => failure.exit,
        };
        if let Err(error) = self.print(&ended) {
            if error.kind() == io::ErrorKind::BrokenPipe {
                // Nobody reads any more: that is no failure of the run.
                return ExitCode::from(exit.number());
            }
            let failure = Failure::new(Code::E0508, "cannot write to standard output")
                .cause(error.to_string());
            self.show.failure(&failure);
            exit = failure.exit;
        }
        ExitCode::from(exit.number())
    }

    fn print(&self, ended: &Result<Report>) -> io::Result<()> {
        let (report, failure) = match ended {
            Ok(report) => (Some(report), report.failure.as_deref()),
            Err(failure) => (None, Some(&**failure)),
        };
        if let Some(report) = report {
            self.show.warnings(report.untold());
        }
        for message in report.iter().flat_map(|report| &report.warnings) {
            self.events.send(&Event::Warning(message));
        }
        let printed = match (self.result, report) {
            (ResultForm::Text, Some(report)) => show::result(&report.text),
            (ResultForm::Json, _) => show::result(&document(self.verb, report, failure)),
            (ResultForm::Events, Some(report)) => {
                self.show.say(String::from_utf8_lossy(&report.text).trim_end());
                Ok(())
            }
            (ResultForm::Text | ResultForm::Events, None) => Ok(()),
        };
        match (failure, report) {
            (Some(failure), _) => {
                self.show.failure(failure);
                let (exit, error) = (failure.exit.number(), &Message::from(failure));
                self.events.send(&Event::Error { exit, error });
            }
            (None, Some(report)) => {
                self.events.send(&Event::Result { exit: 0, data: &report.data });
            }
            (None, None) => {}
        }
        printed
    }
}

/// The one document of `--json`, with a line break behind it.
pub(crate) fn document(verb: &str, report: Option<&Report>, failure: Option<&Failure>) -> Vec<u8> {
    let envelope = Envelope {
        schema: format!("relift.{verb}/1"),
        ok: failure.is_none(),
        data: report.map(|report| &*report.data),
        warnings: report.map_or(&[], |report| &report.warnings),
        error: failure.map(Message::from),
    };
    let text = serde_json::to_string(&envelope).expect("our own types have a JSON form");
    let mut bytes = json::harmless(text).into_bytes();
    bytes.push(b'\n');
    bytes
}
