//! What this process may still reach, kept by the kernel: Landlock (Linux, landlock(7)).
//!
//! ```text
//! Reach (paths, network) --enter--> the calling thread, and every thread and program that it starts:
//!                                   files by path, TCP, signals and abstract sockets to others
//! ```
//!
//! There is no way back, and what was opened before stays open. UDP, and sockets that have a path, are
//! not kept: Landlock does not know them, or only on kernels that are newer than what was tested here.

use std::{
    fmt,
    path::{Path, PathBuf},
    thread,
};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, AddRuleError, AddRulesError, BitFlags, LandlockStatus,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, make_bitflags,
};
use rustix::{
    fs::{FileType, fstat},
    io::Errno,
};

/// The version of Landlock whose rights are asked for (Linux 6.15); an older kernel keeps fewer.
const ASKED: ABI = ABI::V7;

/// The first version that keeps the length of files that may not be written (Linux 6.2).
const LENGTHS: ABI = ABI::V3;

/// The first version that knows TCP (Linux 6.7).
const TCP: ABI = ABI::V4;

/// The first version that knows signals and abstract sockets (Linux 6.12).
const SCOPES: ABI = ABI::V6;

/// What may be done with what is read.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});

/// What may be done with a folder of which only the names count.
const LIST: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadDir});

/// What may be done with a file that is changed where it lies.
const CHANGE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate});

/// What may be done in a folder that receives output: regular files and folders, and nothing else.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir
});

/// The rights that a file can have; the others are those of folders.
const OF_FILES: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate});

/// What a process may reach. A path stands for what it leads to now, through links, and for all that
/// is beneath; one that leads nowhere is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    /// Files and folders that are read.
    pub read: Vec<PathBuf>,
    /// Folders of which only the names are read.
    pub list: Vec<PathBuf>,
    /// Files that are changed where they lie.
    pub change: Vec<PathBuf>,
    /// Folders in which files and folders are made, written, read, renamed and removed.
    pub write: Vec<PathBuf>,
    /// Servers.
    pub network: Network,
}

/// Which servers a process may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// None by TCP.
    #[default]
    Nobody,
    /// All.
    Everybody,
}

/// What the kernel keeps of a [`Reach`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    abi: ABI,
    network: Network,
}

/// Why the kernel keeps nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unkept {
    /// It was built without Landlock, or is older than Linux 5.13.
    #[error("this kernel has no Landlock")]
    NotBuilt,
    /// It was started without it.
    #[error("Landlock is not among the security modules that this kernel was started with")]
    NotEnabled,
    /// It knows Landlock and refuses.
    #[error("the kernel refuses the sandbox: {0}")]
    Refused(#[from] RulesetError),
}

impl Reach {
    /// Gives up everything else, for the calling thread and all that it starts from now on.
    ///
    /// Call it before any other thread is there: those would keep what they have.
    ///
    /// # Errors
    /// Nothing was given up, and why.
    pub fn enter(&self) -> Result<Kept, Unkept> {
        let mut ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(ASKED))?
            .scope(Scope::from_all(ASKED))?;
        if self.network == Network::Nobody {
            ruleset = ruleset.handle_access(AccessNet::from_all(ASKED))?;
        }
        let mut created = ruleset.create()?;
        let rules =
            [(&self.read, READ), (&self.list, LIST), (&self.change, CHANGE), (&self.write, WRITE)];
        for (paths, rights) in rules {
            for path in paths {
                allow(&mut created, path, rights)?;
            }
        }
        Kept::of(&created.restrict_self()?, self.network)
    }
}

impl Kept {
    fn of(status: &RestrictionStatus, network: Network) -> Result<Self, Unkept> {
        match (status.landlock, &status.ruleset) {
            (LandlockStatus::NotEnabled, _) => Err(Unkept::NotEnabled),
            (LandlockStatus::Available { effective_abi: abi, .. }, ruleset)
                if *ruleset != RulesetStatus::NotEnforced =>
            {
                Ok(Self { abi, network })
            }
            _ => Err(Unkept::NotBuilt),
        }
    }

    /// Whether everything is kept that is asked for.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.abi >= SCOPES
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = if self.abi >= LENGTHS { "files" } else { "files but for their lengths" };
        write!(f, "Landlock ABI {}: {files}", self.abi)?;
        if self.abi >= TCP && self.network == Network::Nobody {
            f.write_str(", TCP")?;
        }
        if self.abi >= SCOPES {
            f.write_str(", signals, abstract sockets")?;
        }
        Ok(())
    }
}

/// What the kernel would keep; nothing is given up.
///
/// # Errors
/// It would keep nothing.
pub fn offered() -> Result<Kept, Unkept> {
    // The thread that gives everything up is one that nobody needs.
    let tried = thread::spawn(|| Reach::default().enter()).join();
    tried.unwrap_or(Err(Unkept::NotBuilt))
}

/// Allows what leads to a file or folder to be used with these rights.
fn allow(
    created: &mut RulesetCreated,
    path: &Path,
    rights: BitFlags<AccessFs>,
) -> Result<(), RulesetError> {
    // What cannot be reached now cannot be opened later: whoever opens it says why.
    let Ok(found) = PathFd::new(path) else { return Ok(()) };
    let Ok(stat) = fstat(&found) else { return Ok(()) };
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let rights = if is_folder { rights } else { rights & OF_FILES };
    if rights.is_empty() {
        return Ok(());
    }
    match created.add_rule(PathBeneath::new(found, rights)) {
        Err(error) if is_nowhere(&error) => Ok(()),
        done => done.map(|_| ()),
    }
}

/// Whether a rule was refused since the file is in no folder, as a pipe is: those are not kept anyway.
fn is_nowhere(error: &RulesetError) -> bool {
    let RulesetError::AddRules(AddRulesError::Fs(AddRuleError::AddRuleCall { source, .. })) = error
    else {
        return false;
    };
    source.raw_os_error() == Some(Errno::BADFD.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::{self, ErrorKind, Write as _},
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd as _,
    };

    use super::*;

    /// Runs a piece on a thread of its own, the only one that is confined; `None`, said aloud, where
    /// the kernel has no Landlock.
    fn confined<T: Send>(reach: &Reach, piece: impl FnOnce(Kept) -> T + Send) -> Option<T> {
        let done = thread::scope(|scope| {
            scope.spawn(|| reach.enter().map(piece)).join().expect("the piece does not panic")
        });
        done.inspect_err(|why| {
            // Not `eprintln`, which a passing test keeps to itself.
            let said = writeln!(io::stderr(), "skipped: the sandbox: {why}");
            said.expect("standard error is open");
        })
        .ok()
    }

    fn kind<T>(done: io::Result<T>) -> Option<ErrorKind> {
        done.err().map(|error| error.kind())
    }

    const DENIED: Option<ErrorKind> = Some(ErrorKind::PermissionDenied);

    #[test]
    fn nothing_is_reached_but_what_was_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["read", "write", "list", "other"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("file"), name).unwrap();
        }
        fs::write(at("changed"), "old").unwrap();
        let reach = Reach {
            read: vec![at("read"), at("not there")],
            list: vec![at("list")],
            change: vec![at("changed")],
            write: vec![at("write")],
            network: Network::Nobody,
        };
        let done = confined(&reach, |_| {
            let file = |name: &str| at(name).join("file");
            assert_eq!(fs::read(file("read")).unwrap(), b"read");
            assert_eq!(kind(fs::write(file("read"), "x")), DENIED);
            assert_eq!(kind(fs::remove_file(file("read"))), DENIED);
            assert_eq!(kind(File::create(at("read").join("new"))), DENIED);

            fs::write(file("write"), "new").unwrap();
            fs::write(at("write").join("made"), "made").unwrap();
            fs::rename(at("write").join("made"), at("write").join("named")).unwrap();
            fs::remove_file(at("write").join("named")).unwrap();
            fs::create_dir(at("write").join("folder")).unwrap();
            fs::remove_dir(at("write").join("folder")).unwrap();
            let link = std::os::unix::fs::symlink(at("other"), at("write").join("link"));
            assert_eq!(kind(link), DENIED);

            assert_eq!(fs::read_dir(at("list")).unwrap().count(), 1);
            assert_eq!(kind(fs::read(file("list"))), DENIED);
            fs::write(at("changed"), "new").unwrap();

            assert_eq!(kind(fs::read(file("other"))), DENIED);
            assert_eq!(kind(fs::read_dir(at("other"))), DENIED);
            assert_eq!(kind(fs::write(file("other"), "x")), DENIED);
            assert_eq!(kind(File::create(at("new"))), DENIED);
            assert_eq!(kind(fs::read("/etc/passwd")), DENIED);
        });
        if done.is_some() {
            // The other threads are as free as before.
            assert_eq!(fs::read(at("other").join("file")).unwrap(), b"other");
        }
    }

    #[test]
    fn a_path_stands_for_what_its_links_lead_to() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real").join("file"), "real").unwrap();
        std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
        let reach = Reach { read: vec![at("link")], ..Reach::default() };
        let read = confined(&reach, |_| fs::read(at("link").join("file")).unwrap());
        assert!(read.is_none_or(|bytes| bytes == b"real"));
    }

    #[test]
    fn a_server_is_reached_only_where_that_is_allowed() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        for (network, want) in [(Network::Nobody, DENIED), (Network::Everybody, None)] {
            let reach = Reach { network, ..Reach::default() };
            let done = confined(&reach, |kept| (kept, kind(TcpStream::connect(address))));
            let Some((kept, found)) = done else { return };
            if kept.abi >= TCP {
                assert_eq!(found, want, "{kept}");
            }
        }
    }

    #[test]
    fn an_open_pipe_is_no_obstacle() {
        let (reader, _writer) = io::pipe().unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()));
        let reach = Reach { read: vec![path], ..Reach::default() };
        confined(&reach, |_| ());
    }

    #[test]
    fn what_would_be_kept_is_told_without_giving_anything_up() {
        let offered = offered();
        assert!(fs::read("/proc/self/status").is_ok(), "{offered:?}");
    }

    #[test]
    fn what_is_kept_depends_on_the_kernel() {
        let told = |abi, network| Kept { abi, network }.to_string();
        for (abi, network, want) in [
            (ABI::V1, Network::Nobody, "Landlock ABI 1: files but for their lengths"),
            (ABI::V3, Network::Nobody, "Landlock ABI 3: files"),
            (ABI::V4, Network::Nobody, "Landlock ABI 4: files, TCP"),
            (ABI::V7, Network::Nobody, "Landlock ABI 7: files, TCP, signals, abstract sockets"),
            (ABI::V7, Network::Everybody, "Landlock ABI 7: files, signals, abstract sockets"),
        ] {
            assert_eq!(told(abi, network), want);
        }
        assert!(!Kept { abi: ABI::V5, network: Network::Nobody }.is_whole());
    }
}
