//! Opening what the user typed as SRC.

use std::{path::Path, sync::Arc};

use host::http::{Address, Client, Remote};

use restore::{Named, Policy, Source};

use crate::{
    failure::{Failure, Result},
    session::Session,
    stdin::Stdin,
};

/// How much of a package will be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Headers and small files: of an address, only these are asked for, if the server can do that.
    Headers,
    /// All of it, once.
    Everything,
}

/// Opens a package: `-` is an archive on standard input, `http://…` one that lies at an address,
/// everything else is a path.
pub(super) fn open<'a>(
    path: &Path,
    need: Need,
    policy: &Policy,
    session: &'a Session,
) -> Result<Box<dyn Source + 'a>> {
    if is_stdin(path) {
        let reader = Box::new(Stdin::open(&session.stop)?);
        return Ok(restore::open_stream(Named::stdin(), reader, policy)?);
    }
    match path.to_str().and_then(Address::parse) {
        Some(Ok(address)) => at_address(&address, need, policy),
        Some(Err(why)) => Err(Failure::usage(format!("{}: {why}", path.display()))
            .tip("http://HOST/FILE.ova or https://HOST/FILE.ova")),
        None => Ok(restore::open(path, policy)?),
    }
}

/// Opens a package that lies at an address of the web.
fn at_address<'a>(address: &Address, need: Need, policy: &Policy) -> Result<Box<dyn Source + 'a>> {
    let named = Named { name: address.to_string(), folder: None };
    let client = Client::new();
    let remote = match need {
        Need::Headers => client.open(address),
        Need::Everything => client.fetch(address).map(Remote::Stream),
    };
    Ok(match remote.map_err(restore::Error::from)? {
        Remote::Ranged(bytes) => restore::open_bytes(named, Arc::new(bytes), policy)?,
        Remote::Stream(stream) => restore::open_stream(named, Box::new(stream), policy)?,
    })
}

/// Lets a pipe pass to its end, so that every member is known; nothing is read of the others.
pub(super) fn pass(source: &mut dyn Source) -> Result<()> {
    if source.facts().is_complete {
        return Ok(());
    }
    Ok(source.deliver(&|_| false, &mut |_, _| Ok(()))?)
}

/// Whether the path stands for standard input.
fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
