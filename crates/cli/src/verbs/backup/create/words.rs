//! What is typed behind `backup create`, as far as it needs no host.

use std::collections::BTreeMap;

use bundle::{DEFAULT_LEVEL, Form};

use crate::{
    args::BackupCreateArgs,
    failure::{Failure, Result},
};

/// Refuses words that no backup can be made of, before any host is asked.
pub(super) fn check(args: &BackupCreateArgs) -> Result<()> {
    if args.where_to.output.is_some() && args.machines.len() > 1 {
        return Err(Failure::usage("-o names one file, and there are several machines")
            .tip("name a folder instead: --storage DIR"));
    }
    form(args)?;
    tags(args)?;
    Ok(())
}

/// The form of a new bundle, and how hard it is compressed.
pub(super) fn form(args: &BackupCreateArgs) -> Result<(Form, i32)> {
    if let Some(file) = &args.where_to.output {
        let name = file.to_string_lossy();
        return match (name.ends_with(".tar"), name.ends_with(".tar.zst")) {
            (true, _) => Ok((Form::Tar, DEFAULT_LEVEL)),
            (_, true) => Ok((Form::TarZst, DEFAULT_LEVEL)),
            _ => Err(Failure::usage(format!("-o {name} ends neither in .tar nor in .tar.zst"))),
        };
    }
    let level = |text: &str| text.parse().ok().filter(|level| (1..=22).contains(level));
    let how = args.compress.as_str();
    match (how, how.strip_prefix("zstd:").and_then(level)) {
        ("none", _) => Ok((Form::Tar, DEFAULT_LEVEL)),
        ("zstd", _) => Ok((Form::TarZst, DEFAULT_LEVEL)),
        (_, Some(level)) => Ok((Form::TarZst, level)),
        _ => Err(Failure::usage(format!(
            "--compress {how} is none of none, zstd, zstd:1 to zstd:22"
        ))),
    }
}

/// What is said of a new bundle, by key.
pub(super) fn tags(args: &BackupCreateArgs) -> Result<BTreeMap<String, String>> {
    let tag = |text: &String| {
        let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty())?;
        Some((key.to_owned(), value.to_owned()))
    };
    let one = |text: &String| {
        tag(text).ok_or_else(|| Failure::usage(format!("--tag {text} is not KEY=VALUE")))
    };
    args.tag.iter().map(one).collect()
}
