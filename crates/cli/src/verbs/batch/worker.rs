//! Items in processes of their own: this program, told what a person would type.

use std::{
    ffi::OsString,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use batch::{Done, Failed, State};
use host::worker::{Ended, Worker};
use serde_json::Value;

use crate::signals::Stop;

/// How soon a signal reaches the workers.
const LOOK: Duration = Duration::from_millis(100);

/// Codes whose exit status says that another try may help, but which only somebody's hand changes: a
/// machine or a file of that name, a pool or network that is not there, a read-only place.
const SETTLED: [&str; 4] = ["E0503", "E0504", "E0507", "E0509"];

/// The workers that run now, so that all can be asked to end.
#[derive(Debug, Default)]
pub(in crate::verbs) struct Crew(Mutex<Vec<Arc<Worker>>>);

/// What a worker tells while it runs.
pub(in crate::verbs) enum Told<'a> {
    /// It reached a state.
    State(State),
    /// So many guest bytes are done, of so many.
    Progress(u64, Option<u64>),
    /// A document or an event that the caller may want whole.
    Line(&'a Value),
}

impl Crew {
    /// Runs a command to its end; `None` for the exit code of one that a signal ended.
    pub(in crate::verbs) fn run(
        &self,
        words: &[OsString],
        told: &mut dyn FnMut(Told<'_>),
    ) -> std::io::Result<Ended> {
        let (worker, ears) = Worker::start(words)?;
        let worker = Arc::new(worker);
        self.with(|crew| crew.push(Arc::clone(&worker)));
        let ended = worker.listen(ears, &mut |line| {
            if let Ok(value) = serde_json::from_slice::<Value>(line) {
                tell(&value, told);
            }
        });
        self.with(|crew| crew.retain(|one| !Arc::ptr_eq(one, &worker)));
        ended
    }

    /// Does something with workers, and meanwhile hands the word to stop on to them.
    pub(in crate::verbs) fn while_asked<T>(&self, stop: &Stop, act: impl FnOnce() -> T) -> T {
        let (over, wait) = mpsc::channel::<()>();
        thread::scope(|threads| {
            threads.spawn(move || {
                // Ends when the other end is dropped, however that comes about.
                while wait.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    if stop.is_asked() {
                        self.stop();
                    }
                }
            });
            let ended = act();
            drop(over);
            ended
        })
    }

    /// Asks every worker to clean up and end.
    fn stop(&self) {
        self.with(|crew| crew.iter().for_each(|worker| worker.stop()));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<Arc<Worker>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn tell(value: &Value, told: &mut dyn FnMut(Told<'_>)) {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    match (text("event"), text("phase")) {
        (Some("phase"), Some(phase)) => {
            if let Some(state) = state_of(phase) {
                told(Told::State(state));
            }
        }
        (Some("progress"), _) => {
            let number = |key: &str| value.get(key).and_then(Value::as_u64);
            told(Told::Progress(number("done_bytes").unwrap_or(0), number("total_bytes")));
        }
        _ => {}
    }
    told(Told::Line(value));
}

/// The state of an item while a phase of its command runs.
fn state_of(phase: &str) -> Option<State> {
    match phase {
        "convert" => Some(State::Convert),
        "verify" => Some(State::Verify),
        "publish" | "define" | "start" => Some(State::Define),
        _ => None,
    }
}

/// What a command's last words make of an item.
#[derive(Debug, Default)]
pub(super) struct Words {
    done: Done,
    error: Option<Value>,
}

impl Words {
    /// Takes an event.
    pub(super) fn take(&mut self, value: &Value) {
        match value.get("event").and_then(Value::as_str) {
            Some("item") => {
                let path = value.get("path").and_then(Value::as_str);
                self.done.files.extend(path.map(Into::into));
                let bytes = value.get("file_bytes").and_then(Value::as_u64).unwrap_or(0);
                self.done.bytes = self.done.bytes.saturating_add(bytes);
            }
            Some("warning") => {
                let code = value.get("code").and_then(Value::as_str);
                self.done.warnings.extend(code.map(str::to_owned));
            }
            Some("result") => {
                let digest = value.pointer("/data/source/digest").and_then(Value::as_str);
                self.done.source = digest.map(str::to_owned);
            }
            Some("error") => self.error = value.get("error").cloned(),
            _ => {}
        }
    }

    /// What became of the item.
    pub(super) fn end(self, ended: &Ended, is_stopped: bool) -> Result<Done, Failed> {
        if ended.code == Some(0) {
            return Ok(self.done);
        }
        Err(failed(self.error.as_ref(), ended, is_stopped))
    }
}

/// Why a command failed, by its error object, else by how its process ended.
pub(in crate::verbs) fn failed(error: Option<&Value>, ended: &Ended, is_stopped: bool) -> Failed {
    let text = |key: &str| {
        let value = error.and_then(|error| error.get(key)).and_then(Value::as_str);
        value.map(str::to_owned)
    };
    let how = match (ended.code, ended.signal) {
        (_, Some(signal)) => format!("its process was ended by signal {signal}"),
        (Some(code), _) => format!("its process ended with exit code {code}"),
        (None, None) => "its process ended".to_owned(),
    };
    let said = ended.words.lines().find(|line| !line.trim().is_empty()).map(str::to_owned);
    let message = text("message").or(said.map(|said| format!("{how}: {said}"))).unwrap_or(how);
    let code = text("code");
    let is_settled = code.as_deref().is_some_and(|code| SETTLED.contains(&code));
    let may_pass = ended.signal.is_some() || matches!(ended.code, Some(7 | 8 | 11));
    Failed {
        code,
        message,
        fix: text("hint"),
        is_retryable: may_pass && !is_settled,
        is_interrupted: is_stopped && matches!(ended.code, None | Some(130 | 143)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: Option<i32>, signal: Option<i32>) -> Ended {
        Ended { code, signal, words: "error: x\n".into() }
    }

    #[test]
    fn what_a_command_says_becomes_the_end_of_the_item() {
        let mut words = Words::default();
        for line in [
            r#"{"event":"item","path":"/o/a.qcow2","file_bytes":5}"#,
            r#"{"event":"warning","code":"W0101"}"#,
            r#"{"event":"result","exit":0,"data":{"source":{"digest":"sha256:aa"}}}"#,
        ] {
            words.take(&serde_json::from_str(line).unwrap());
        }
        let done = words.end(&ended(Some(0), None), false).unwrap();
        assert_eq!((done.bytes, done.warnings.as_slice()), (5, &["W0101".to_owned()][..]));
        assert_eq!(done.source.as_deref(), Some("sha256:aa"));
    }

    #[test]
    fn only_what_may_pass_is_tried_again_and_a_stopped_item_is_not_at_fault() {
        let error: Value =
            serde_json::from_str(r#"{"code":"E0203","message":"no","hint":"fetch it"}"#).unwrap();
        let of = |code, signal, stopped| failed(Some(&error), &ended(code, signal), stopped);
        let at = of(Some(5), None, false);
        assert_eq!((at.code.as_deref(), at.fix.as_deref()), (Some("E0203"), Some("fetch it")));
        assert!(!at.is_retryable && !at.is_interrupted);
        assert!(of(Some(8), None, false).is_retryable);
        let exists: Value = serde_json::from_str(r#"{"code":"E0509"}"#).unwrap();
        assert!(!failed(Some(&exists), &ended(Some(8), None), false).is_retryable);
        assert!(of(None, Some(9), false).is_retryable);
        assert!(of(Some(143), None, true).is_interrupted);
        assert!(!of(Some(143), None, false).is_interrupted);
        let silent = failed(None, &ended(None, Some(9)), false);
        assert_eq!(silent.message, "its process was ended by signal 9: error: x");
    }
}
