//! Standard input as a reader that ends when somebody says stop.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    os::fd::AsFd as _,
};

use code::Code;

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::{
    failure::{Failure, Result},
    signals::Stop,
};

/// How long a silent writer is waited for before the stop is looked at again.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Standard input, which may be silent for long.
#[derive(Debug)]
pub(crate) struct Stdin<'a> {
    /// Without a buffer: what waits in one is not seen by `poll`.
    file: File,
    stop: &'a Stop,
}

impl<'a> Stdin<'a> {
    /// Takes standard input; a terminal is refused, since nobody types an archive.
    pub(crate) fn open(stop: &'a Stop) -> Result<Self> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Err(Failure::usage(
                "- reads a package from standard input, which is a terminal",
            )
            .tip("cat FILE.ova | relift … -"));
        }
        match stdin.as_fd().try_clone_to_owned() {
            Ok(descriptor) => Ok(Self { file: descriptor.into(), stop }),
            Err(error) => {
                Err(Failure::new(Code::E0508, "cannot read standard input")
                    .cause(error.to_string()))
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        loop {
            if self.stop.is_asked() {
                // Not `Interrupted`, which readers take for a reason to try again.
                return Err(io::Error::other("stopped on request"));
            }
            let mut waiting = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut waiting, Some(&WAIT)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Read for Stdin<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        self.file.read(out)
    }
}
