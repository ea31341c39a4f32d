//! A new image that has nothing of its own yet and stands on another one.

use std::{os::unix::fs::FileExt as _, path::Path, sync::Arc};

use disk::{Format, Target as _, qcow2};
use host::Host;

use crate::{Error, Result};

/// What an overlay stands on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Below<'a> {
    /// The image.
    pub(super) image: &'a Path,
    /// Its format.
    pub(super) format: Format,
    /// The size of the guest's disk.
    pub(super) capacity_bytes: u64,
}

/// Makes an overlay at `path`, durable, under its own name at the end only.
///
/// # Errors
/// A file of that name is there, or the folder takes no writes.
pub(super) fn create(files: &dyn Host, path: &Path, below: Below<'_>) -> Result<()> {
    let partial = files.create_partial(path)?;
    let done = write(&partial.file, below).and_then(|()| Ok(files.publish(&partial)?));
    if done.is_err() {
        // The failure itself is what is told.
        drop(files.remove_file(&partial.path));
    }
    done
}

fn write(file: &std::fs::File, below: Below<'_>) -> Result<()> {
    let Below { image, format, capacity_bytes } = below;
    let io = |error: std::io::Error| Error::io("cannot make an overlay of", image, error);
    let told = |error: disk::Error| {
        let text = format!("cannot make an overlay of {}", image.display());
        Error::coded(error.code(), text, error)
    };
    let writable = file.try_clone().map_err(io)?;
    let mut writer = qcow2::Writer::create(Arc::new(writable), capacity_bytes).map_err(told)?;
    writer.finish().map_err(told)?;
    let mut head = [0; 24];
    file.read_exact_at(&mut head, 0).map_err(io)?;
    let mut head = vec![0; qcow2::head_len_bytes(&head).map_err(told)?];
    file.read_exact_at(&mut head, 0).map_err(io)?;
    let name = image.to_string_lossy();
    let head = qcow2::rename_backing(&head, Some((&name, format))).map_err(told)?;
    file.write_all_at(&head, 0).map_err(io)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use host::fake::Fake;

    use super::{super::chain, *};

    #[test]
    fn an_overlay_reads_as_what_is_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base.raw");
        let content: Vec<u8> = (0..100 << 10).map(|at: u32| (at / 512) as u8).collect();
        fs::write(&base, &content).unwrap();
        let (one, two) = (folder.path().join("one.qcow2"), folder.path().join("two.qcow2"));
        let fake = Fake::new(None);
        let capacity_bytes = content.len() as u64;
        let below = |image, format| Below { image, format, capacity_bytes };
        create(&fake, &one, below(&base, Format::Raw)).unwrap();
        create(&fake, &two, below(&one, Format::Qcow2)).unwrap();
        let chain = chain::open(&two, "qcow2").unwrap();
        let want = [(one.clone(), base.clone()), (two.clone(), one.clone())];
        assert_eq!(chain.below, want.into());
        let base = chain::open(&base, "raw").unwrap();
        let same = disk::compare(&*chain.image, &*base.image, &disk::Unheard).unwrap();
        assert_eq!(same.first_difference_bytes, None);
        let error = create(&fake, &two, below(&one, Format::Qcow2)).unwrap_err();
        assert_eq!(error.code(), Some(code::Code::E0509));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn nothing_is_left_of_an_overlay_that_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base.raw");
        fs::write(&base, [0; 512]).unwrap();
        for fail_at in 0..2 {
            let fake = Fake::new(Some(fail_at));
            let below = Below { image: &base, format: Format::Raw, capacity_bytes: 512 };
            create(&fake, &folder.path().join("a"), below).unwrap_err();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
