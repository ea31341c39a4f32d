//! A server at the other end of a socket pair, and its client.

use std::{os::unix::net::UnixStream, thread, time::Duration};

use nbd::{Client, Options, Result};
use testkit::{NbdExport, NbdRequest};

/// The name of every export here.
pub(crate) const NAME: &str = "vda";

/// Connects to an export whose requests are answered by `answer`; all of these contexts are asked for.
pub(crate) fn connect(
    export: &NbdExport,
    contexts: &[&str],
    mut answer: impl FnMut(&NbdExport, &NbdRequest) -> Option<Vec<u8>> + Send + 'static,
) -> Result<Client> {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let export = export.clone();
    // It ends when the client goes, and need not be heard then.
    thread::spawn(move || export.serve(theirs, |request| answer(&export, request)));
    over(&ours, contexts)
}

/// A client of whoever is at the other end; a short time is enough here.
pub(crate) fn over(stream: &UnixStream, contexts: &[&str]) -> Result<Client> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket has it");
    let contexts = contexts.iter().map(|&name| name.to_owned()).collect();
    let options = Options { contexts, ..Options::default() };
    let [input, output] = [stream, stream].map(|stream| stream.try_clone().expect("a copy"));
    Client::over(Box::new(input), Box::new(output), NAME, &options)
}

/// Connects to an export whose server is honest.
pub(crate) fn honest(export: &NbdExport, contexts: &[&str]) -> Result<Client> {
    connect(export, contexts, |export, request| Some(export.answer(request)))
}
