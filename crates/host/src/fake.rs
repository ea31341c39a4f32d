//! A host for tests: the real one underneath, every act recorded, one of them failing.

mod guest;
mod overlays;
mod protection;

use std::{
    cell::RefCell,
    io,
    path::{Path, PathBuf},
};

use vm::Uuid;

use crate::{
    Error, Existed, Host, Partial,
    dir::Dir,
    libvirt::{Hypervisor, KnownSnapshot, LibvirtError, LibvirtKind, Power, Volume},
};

pub use guest::FakeGuest;

/// Records acts, and fails the one whose number a test gives.
#[derive(Debug)]
pub struct Fake {
    inner: Dir,
    fail_at: Option<usize>,
    fail_as: LibvirtKind,
    acts: RefCell<Vec<String>>,
    guest: RefCell<FakeGuest>,
}

impl Fake {
    /// A host that fails its `fail_at`-th act (from 0), or none.
    #[must_use]
    pub fn new(fail_at: Option<usize>) -> Self {
        Self {
            inner: Dir::new("fake"),
            fail_at,
            fail_as: LibvirtKind::Refused,
            acts: RefCell::default(),
            guest: RefCell::default(),
        }
    }

    /// The same host, whose failing act on a machine fails in this way.
    #[must_use]
    pub fn failing_as(self, kind: LibvirtKind) -> Self {
        Self { fail_as: kind, ..self }
    }

    /// The same host, all of whose machines are this one.
    #[must_use]
    pub fn with_guest(self, guest: FakeGuest) -> Self {
        Self { guest: RefCell::new(guest), ..self }
    }

    /// The machine as it is now.
    #[must_use]
    pub fn guest(&self) -> FakeGuest {
        self.guest.borrow().clone()
    }

    /// Changes the machine, as somebody else than the caller would.
    pub fn disturb(&self, change: impl FnOnce(&mut FakeGuest)) {
        change(&mut self.guest.borrow_mut());
    }

    /// The acts so far: a verb and a file name each.
    #[must_use]
    pub fn acts(&self) -> Vec<String> {
        self.acts.borrow().clone()
    }

    fn act(&self, verb: &'static str, path: &Path) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if self.note(format!("{verb} {name}")) {
            return Ok(());
        }
        Err(Error::new("cannot go on with", path, io::Error::other("the test said so")))
    }

    fn order(&self, act: String) -> Result<(), LibvirtError> {
        let refusal = LibvirtError::refused_by_test(&act, self.fail_as);
        if self.note(act) { Ok(()) } else { Err(refusal) }
    }

    /// Records an act, and says whether it may be done.
    fn note(&self, act: String) -> bool {
        let number = self.acts.borrow().len();
        self.acts.borrow_mut().push(act);
        self.fail_at != Some(number)
    }
}

impl Host for Fake {
    fn create_folder(&self, path: &Path) -> Result<Existed, Error> {
        self.act("folder", path)?;
        self.inner.create_folder(path)
    }

    fn create_partial(&self, path: &Path) -> Result<Partial, Error> {
        self.act("create", path)?;
        self.inner.create_partial(path)
    }

    fn publish(&self, partial: &Partial) -> Result<(), Error> {
        self.act("publish", &partial.published)?;
        self.inner.publish(partial)
    }

    fn set_aside(&self, path: &Path) -> Result<Option<PathBuf>, Error> {
        self.act("set aside", path)?;
        self.inner.set_aside(path)
    }

    fn put_back(&self, aside: &Path, path: &Path) -> Result<(), Error> {
        self.act("put back", path)?;
        self.inner.put_back(aside, path)
    }

    fn second_name(&self, path: &Path, name: &Path) -> Result<(), Error> {
        self.act("second name", name)?;
        self.inner.second_name(path, name)
    }

    fn remove_file(&self, path: &Path) -> Result<(), Error> {
        self.act("remove", path)?;
        self.inner.remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> Result<(), Error> {
        self.act("remove", path)?;
        self.inner.remove_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> Result<(), Error> {
        self.act("sync", path)?;
        self.inner.sync_folder(path)
    }
}

impl Hypervisor for Fake {
    fn define(&self, name: &str, xml: &str) -> Result<(), LibvirtError> {
        self.order(format!("define {name}"))?;
        xml.clone_into(&mut self.guest.borrow_mut().definition);
        Ok(())
    }

    fn is_defined(&self, _machine: Uuid) -> Result<bool, LibvirtError> {
        Ok(false)
    }

    fn define_snapshot(&self, _machine: Uuid, xml: &str) -> Result<(), LibvirtError> {
        let name = xml.split_once("<name>").and_then(|(_, rest)| rest.split_once("</name>"));
        let name = name.map_or("", |(name, _)| name);
        self.order(format!("snapshot {name}"))?;
        let snapshots = &mut self.guest.borrow_mut().snapshots;
        snapshots.retain(|other| other.name != name);
        let (name, xml) = (name.to_owned(), xml.to_owned());
        snapshots.push(KnownSnapshot { name, is_current: false, xml });
        Ok(())
    }

    fn undefine(&self, machine: Uuid) -> Result<(), LibvirtError> {
        self.order(format!("undefine {machine}"))
    }

    fn start(&self, machine: Uuid) -> Result<(), LibvirtError> {
        self.order(format!("start {machine}"))?;
        self.guest.borrow_mut().power = Power::Running;
        Ok(())
    }

    fn destroy(&self, machine: Uuid) -> Result<(), LibvirtError> {
        self.order(format!("destroy {machine}"))?;
        self.guest.borrow_mut().power = Power::Off;
        Ok(())
    }

    fn refresh_pool(&self, pool: &str) -> Result<(), LibvirtError> {
        self.order(format!("refresh {pool}"))
    }

    fn create_volume(&self, volume: &Volume<'_>) -> Result<(), LibvirtError> {
        self.order(format!("volume {}", volume.name))
    }

    fn fill_volume(&self, volume: &Volume<'_>, _file: &Path) -> Result<(), LibvirtError> {
        self.order(format!("fill {}", volume.name))
    }

    fn delete_volume(&self, volume: &Volume<'_>) -> Result<(), LibvirtError> {
        self.order(format!("delete {}", volume.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_acts_of_both_kinds_in_one_row_and_fails_the_wanted_one() {
        let folder = tempfile::tempdir().unwrap();
        let fake = Fake::new(Some(2));
        fake.create_folder(&folder.path().join("out")).unwrap();
        fake.define("vm", "<domain/>").unwrap();
        let error = fake.refresh_pool("default").unwrap_err();
        assert_eq!(error.to_string(), "the test does not refresh default");
        fake.remove_folder(&folder.path().join("out")).unwrap();
        assert_eq!(fake.acts(), ["folder out", "define vm", "refresh default", "remove out"]);
    }
}
