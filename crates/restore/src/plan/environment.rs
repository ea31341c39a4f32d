//! The files that tell a guest its properties: a CD image, and a document for the firmware's
//! configuration where the package asks for VMware's back door.

use std::path::PathBuf;

use code::Code;
use convert::source::System;
use vm::{FwCfg, Machine};

use super::{FilePlan, FileRole, machines::Place};
use crate::Error;

/// The name of the document on the CD (DSP0243 1.1.1, 11.1).
const DOCUMENT: &str = "ovf-env.xml";

/// Makes the files of a machine whose drive for them is known, and attaches them.
pub(super) fn files(
    system: &System,
    others: &[&System],
    machine: &mut Machine,
    drive: Option<usize>,
    place: &Place<'_>,
) -> Result<Vec<FilePlan>, Error> {
    let Some(drive) = drive.and_then(|at| machine.removables.get_mut(at)) else {
        return Ok(Vec::new());
    };
    let path = |ending: &str| place.folder.join(format!("{}-ovf-env.{ending}", place.name.slug));
    let iso = path("iso");
    drive.image = Some(iso.clone());
    let document = convert::environment(system, machine, others).write()?;
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
    FilePlan { image: None, href: None, to, role: FileRole::Made(bytes.into()) }
}
