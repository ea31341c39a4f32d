//! The files that tell a guest its properties: a CD image, and a document for the firmware's
//! configuration where the package asks for VMware's back door.

use std::{fmt, path::PathBuf, sync::Arc};

use code::Code;
use convert::source::System;
use vm::{FwCfg, Machine};

use super::{
    FilePlan, FileRole,
    machines::{Inputs, Place},
};
use crate::Error;

/// The name of the document on the CD (DSP0243 1.1.1, 11.1).
const DOCUMENT: &str = "ovf-env.xml";

/// The bytes of a file that the planner made itself; passwords may be among them.
#[derive(Clone)]
pub struct Made(Arc<[u8]>);

impl Made {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Made {
    /// Says how many there are, and none of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Made({} bytes)", self.0.len())
    }
}

/// Makes the files of a machine, and attaches them: the CD to the drive that was placed for it.
pub(super) fn files(
    inputs: &Inputs<'_>,
    system: &System,
    machine: &mut Machine,
    (drive, place): (usize, &Place<'_>),
) -> Result<Vec<FilePlan>, Error> {
    let path = |ending: &str| place.folder.join(format!("{}-ovf-env.{ending}", place.name.slug));
    let iso = path("iso");
    if let Some(drive) = machine.removables.get_mut(drive) {
        drive.image = Some(iso.clone());
    }
    let choices = &inputs.choices.hardware;
    let document = convert::environment(system, choices, machine, inputs.systems).write()?;
    let cd = iso9660::File {
        volume: "OVF ENV",
        short_name: "OVF_ENV.XML",
        name: DOCUMENT,
        bytes: document.as_bytes(),
    };
    let cd = iso9660::image(&cd).map_err(|error| {
        Error::new(Code::E0306, "the properties make no CD image").caused_by(error)
    })?;
    let mut files = vec![made(iso, &cd)];
    if convert::wants_guest_info(system) {
        let file = path("xml");
        machine.fw_cfg.push(FwCfg { name: convert::FW_CFG_NAME.to_owned(), file: file.clone() });
        files.push(made(file, document.as_bytes()));
    }
    Ok(files)
}

fn made(to: PathBuf, bytes: &[u8]) -> FilePlan {
    FilePlan { image: None, href: None, to, role: FileRole::Made(Made(bytes.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_shows_what_was_made_in_debug_output() {
        let file = made(PathBuf::from("/x"), b"hunter2");
        let shown = format!("{file:?}");
        assert!(shown.contains("Made(7 bytes)") && !shown.contains("104, 117"), "{shown}");
    }
}
