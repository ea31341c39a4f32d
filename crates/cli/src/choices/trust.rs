//! `--signature` and `--trust`: whose signatures are good enough.

use std::{fs::File, io::Read as _, path::Path};

use ovf::signature::Trust;
use restore::SignaturePolicy;

use crate::{
    args::SignatureChoice,
    clock,
    failure::{Failure, Result},
};

/// The largest trust store that is read: the stores of systems have about 250 KiB.
const MAX_STORE_BYTES: u64 = 16 << 20;

/// What is done with a signature.
pub(super) const fn policy(choice: SignatureChoice) -> SignaturePolicy {
    match choice {
        SignatureChoice::Require => SignaturePolicy::Require,
        SignatureChoice::Check => SignaturePolicy::Check,
        SignatureChoice::Skip => SignaturePolicy::Skip,
    }
}

/// The certificates of a file; without one nobody is trusted.
pub(super) fn store(file: Option<&Path>) -> Result<Trust> {
    let now_seconds = clock::now_seconds();
    let Some(path) = file else { return Ok(Trust::nobody(now_seconds)) };
    let shown = path.display();
    let unusable = |why: String| {
        Failure::usage(format!("--trust {shown}: {why}"))
            .tip("--trust FILE.pem, certificates in PEM")
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_STORE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unusable(error.to_string()))?;
    if bytes.len() as u64 > MAX_STORE_BYTES {
        return Err(unusable(format!("more than {MAX_STORE_BYTES} bytes")));
    }
    Trust::of_pem(&bytes, now_seconds).map_err(|error| unusable(error.to_string()))
}
