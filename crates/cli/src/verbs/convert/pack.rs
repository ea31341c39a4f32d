//! A native backup file as the output: what there is to know of it before anything is planned.

use std::{collections::BTreeSet, fs::File, path::Path, sync::Arc};

use bundle::{Bundle, Form};
use convert::copy::TargetOptions;
use disk::FileBytes;
use host::dir;
use restore::{
    Source,
    plan::{BundleFacts, TargetFacts, Where},
};
use vm::DiskFormat;

use crate::{
    clock,
    failure::{Failure, Result},
};

/// Looks at the folder that the file goes to.
pub(super) fn facts(out: &Path, form: Form) -> Result<TargetFacts> {
    let shown = out.display();
    let path = std::path::absolute(out).map_err(|error| {
        Failure::usage(format!("-o {shown} is no path")).cause(error.to_string())
    })?;
    let folder = dir::facts(path.parent().unwrap_or(&path))?;
    let taken: BTreeSet<_> =
        path.symlink_metadata().is_ok().then(|| path.clone()).into_iter().collect();
    let target = TargetFacts::folder(folder.clone());
    let bundle = BundleFacts {
        path,
        folder,
        form,
        unix_seconds: clock::stamp_seconds()?,
        tool: concat!("relift ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    Ok(TargetFacts { place: Where::Bundle(Box::new(bundle)), taken, ..target })
}

/// The file itself, where it is a backup file that has our manifest: such a one may be replaced.
pub(super) fn written_before(target: &TargetFacts) -> BTreeSet<std::path::PathBuf> {
    let ours = |path: &Path| {
        let bytes = FileBytes::new(File::open(path).ok()?).ok()?;
        Bundle::open(Arc::new(bytes)).ok()?.manifest().ok()?
    };
    let path = target.bundle().map(|bundle| &bundle.path);
    path.filter(|path| ours(path).is_some()).into_iter().cloned().collect()
}

/// Refuses what no backup file can hold.
pub(super) fn check_choices(form: Form, output: TargetOptions) -> Result<()> {
    if output.format() != DiskFormat::Qcow2 {
        return Err(Failure::usage("the disks of a backup file are qcow2"));
    }
    if matches!(output, TargetOptions::Clone(_)) && form == Form::TarZst {
        return Err(Failure::usage(
            "--layout clone keeps the bytes of the source as they are, and .tar.zst compresses them",
        )
        .tip("name it .tar, or leave --layout clone out"));
    }
    Ok(())
}

/// Refuses a source that is packed already.
pub(super) fn check_source(source: &dyn Source) -> Result<()> {
    if source.facts().description.native().is_some() {
        return Err(Failure::usage(
            "a backup file is made of an appliance, this is a backup already",
        )
        .tip("it is packed or unpacked with: relift backup compress, relift backup decompress"));
    }
    Ok(())
}
