//! What a command may reach: from what was typed to what the sandbox lets through.
//!
//! ```text
//! SRC: an archive           the file              OUT   the folder, or the nearest above that is there:
//!      a descriptor, image  and its folder              unfinished files lie beside their later names
//!      http://…             servers, and what     flags every file and folder that one names
//!                           finding them needs
//! ```
//!
//! A flag that names a path and is forgotten here breaks a user: who adds one adds it here, too.

use std::path::{Path, PathBuf, absolute};

use host::{
    http::Address,
    sandbox::{Network, Reach},
};

use crate::{
    args::{
        BackupCommand, BackupConfigArgs, BackupRewriteArgs, Command, DiskCommand, HardwareArgs,
        HostArgs, ImageArgs, ImportArgs, PolicyArgs, SampleCommand, ShelfArgs, SignatureArgs,
    },
    hypervisor::Hypervisor,
    plan_file::PlanFile,
    state,
    verbs::{Target, USUAL_TARGET, backup_file, usual_folders},
};

/// What the standard library reads to know how many processors this process may use.
const PROCESSORS: [&str; 3] = ["/proc/self/cgroup", "/proc/self/mountinfo", "/sys/fs/cgroup"];

/// What it takes to find a server and to know that it is the right one: names, libraries that the C
/// library loads to resolve them, certificates.
const SERVERS: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ld.so.cache",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/pki",
    "/var/lib/ca-certificates",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/run/systemd/resolve",
    "/run/NetworkManager/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
    "/run/resolvconf",
];

/// Where other certificates than those of the system are.
const CERTIFICATE_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// What it takes to know what a clock on the wall shows.
const CLOCKS: [&str; 3] = ["/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo"];

/// Endings of packages that are one file and have nothing beside them.
const ARCHIVES: [&str; 8] = ["ova", "tar", "zst", "gz", "tgz", "xz", "txz", "zip"];

/// What a command needs.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    /// Files and servers.
    pub(crate) reach: Reach,
    /// The host that has to say what it offers before the program is confined.
    pub(crate) asks: Option<Hypervisor>,
    /// How many workers were asked for.
    pub(crate) jobs: Option<u16>,
    /// A folder that is made before, so that not all around it has to be let through.
    pub(crate) makes: Option<PathBuf>,
}

/// What a command needs; `None` for one that runs programs of others, which need what they need.
pub(crate) fn of(command: &Command, usual: &Hypervisor) -> Option<Bounds> {
    let bounds = Bounds::new();
    match command {
        Command::Inspect(args) => Some(bounds.source(&args.source).signature(&args.signature)),
        Command::Verify(args) => Some(bounds.source(&args.source).signature(&args.signature)),
        Command::Plan(args) => {
            let typed = Typed {
                source: &args.source,
                goal: Goal::Target { to: args.target.to.as_deref(), otherwise: None },
                host: &args.host,
                hardware: &args.hardware,
                policy: &args.policy,
                acts: Acts::No,
            };
            typed.needs(bounds, usual).map(|bounds| bounds.write_all(args.out.as_deref()))
        }
        Command::Convert(args) => {
            let typed = Typed {
                source: &args.source,
                goal: Goal::Out(&args.out),
                host: &args.host,
                hardware: &args.hardware,
                policy: &args.policy,
                acts: Acts::unless(args.run.dry_run),
            };
            typed.needs(bounds, usual).map(|bounds| bounds.jobs(args.run.jobs))
        }
        Command::Import(args) => import(args, bounds, usual),
        Command::Restore(args) => import(&args.import, bounds, usual),
        Command::Export(args) => Some(bounds.read([&args.source]).write(&args.out).jobs(args.jobs)),
        Command::Disk(command) => Some(disk(command, bounds)),
        Command::Backup(command) => backup(command, bounds, usual),
        Command::Sample(SampleCommand::Create(args)) => Some(bounds.write(&args.out)),
        // A batch and a job have each item done by a process of its own, which is confined.
        Command::Doctor(_)
        | Command::Batch(_)
        | Command::Job(_)
        | Command::Snapshot(_)
        | Command::Guard(_) => None,
        Command::Explain(_) | Command::Completions(_) => Some(bounds),
    }
}

fn import(args: &ImportArgs, bounds: Bounds, usual: &Hypervisor) -> Option<Bounds> {
    let to = args.target.to.as_deref();
    let typed = Typed {
        source: &args.source,
        goal: Goal::Target { to, otherwise: Some(USUAL_TARGET) },
        host: &args.host,
        hardware: &args.hardware,
        policy: &args.policy,
        acts: Acts::unless(args.run.dry_run),
    };
    typed.needs(bounds, usual).map(|bounds| bounds.jobs(args.run.jobs))
}

fn disk(command: &DiskCommand, bounds: Bounds) -> Bounds {
    match command {
        DiskCommand::Info(args) => bounds.read([&args.image]),
        DiskCommand::Check(args) | DiskCommand::Map(args) => bounds.input(&args.input),
        DiskCommand::Measure(args) => bounds.input(&args.input).jobs(args.output.jobs),
        DiskCommand::Compare(args) => {
            bounds.beside(&args.a).beside(&args.b).read(&args.gate.allow_backing)
        }
        DiskCommand::Convert(args) => {
            let bounds = bounds.input(&args.input).jobs(args.output.jobs);
            if args.out.as_os_str() == "-" { bounds } else { bounds.write(&args.out) }
        }
    }
}

fn backup(command: &BackupCommand, bounds: Bounds, usual: &Hypervisor) -> Option<Bounds> {
    match command {
        // virsh runs meanwhile, and the scratch files lie beside the images of a machine.
        BackupCommand::Create(_) => None,
        BackupCommand::Show(args) => Some(bounds.read([backup_file(&args.file)])),
        BackupCommand::Verify(args) => {
            Some(bounds.read(args.files.iter().map(|file| backup_file(file))).remembers())
        }
        BackupCommand::List(args) => bounds.shelf(&args.shelf),
        BackupCommand::Prune(args) => {
            let bounds = bounds.shelf(&args.shelf)?;
            let folders = usual_folders(&args.shelf, &state::of_environment());
            let acts = Acts::unless(args.dry_run);
            Some(folders.iter().fold(bounds, |bounds, folder| bounds.target(folder, acts)))
        }
        BackupCommand::Protect(args) => Some(bounds.change(&backup_file(&args.file))),
        BackupCommand::Delete(args) => {
            let file = backup_file(&args.file);
            Some(
                bounds
                    .state()
                    .read([&folder_of(&file)])
                    .target(&folder_of(&file), Acts::unless(args.dry_run)),
            )
        }
        BackupCommand::Config(args) => config(args, bounds, usual),
        BackupCommand::Compress(args) => Some(rewrite(&args.rewrite, bounds)),
        BackupCommand::Decompress(args) => Some(rewrite(args, bounds)),
        BackupCommand::Append(args) => Some(bounds.read(&args.members).change(&args.file)),
    }
}

/// The file lies in the folder that receives the other form, and is removed, unless that goes elsewhere.
fn rewrite(args: &BackupRewriteArgs, bounds: Bounds) -> Bounds {
    bounds.read([&args.file]).write(args.out.as_ref().unwrap_or(&args.file))
}

fn config(args: &BackupConfigArgs, bounds: Bounds, usual: &Hypervisor) -> Option<Bounds> {
    let bounds = bounds.read([restore::split_point(&args.file).0]);
    let Some(to) = &args.to else { return Some(bounds) };
    match Target::parse(to, usual) {
        Ok(Target::Folder(folder)) => {
            Some(bounds.target(&folder, Acts::No).asks(usual, &args.host))
        }
        Ok(Target::Host(_)) | Err(_) => None,
    }
}

/// Whether a command carries its plan out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acts {
    /// It writes.
    Yes,
    /// It only says what it would do.
    No,
}

impl Acts {
    const fn unless(dry_run: bool) -> Self {
        if dry_run { Self::No } else { Self::Yes }
    }
}

/// Where a plan leads.
#[derive(Debug, Clone, Copy)]
enum Goal<'a> {
    /// To files at this place, whatever a plan file says.
    Out(&'a Path),
    /// To the target that was typed, or that the plan file has, or that is meant otherwise.
    Target { to: Option<&'a str>, otherwise: Option<&'a str> },
}

/// What was typed behind a verb that plans.
#[derive(Debug, Clone, Copy)]
struct Typed<'a> {
    source: &'a Path,
    goal: Goal<'a>,
    host: &'a HostArgs,
    hardware: &'a HardwareArgs,
    policy: &'a PolicyArgs,
    acts: Acts,
}

impl Typed<'_> {
    /// What the plan needs, and what carrying it out does; `None` where it leads to a host, and where
    /// the target or the plan file is none: that ends the run before anything else is read.
    fn needs(&self, bounds: Bounds, usual: &Hypervisor) -> Option<Bounds> {
        let file = PlanFile::of(self.source).transpose().ok()?;
        let (to, otherwise) = match self.goal {
            Goal::Out(_) => (None, None),
            Goal::Target { to, otherwise } => (to, otherwise),
        };
        let to = match &file {
            Some(file) => file.target(to).ok()?,
            None => to,
        };
        let target = to.or(otherwise).map(|text| Target::parse(text, usual)).transpose().ok()?;
        let asked = target.as_ref().map_or(usual, |target| target.hypervisor(usual));
        let bounds = bounds.asks(asked, self.host);
        let bounds = match &file {
            Some(file) => self.replay(file, bounds),
            None => bounds.source(self.source).flags(self.hardware, self.policy),
        };
        match (self.goal, target) {
            (Goal::Out(out), _) => Some(bounds.target(out, self.acts)),
            (Goal::Target { .. }, None) => Some(bounds),
            (Goal::Target { .. }, Some(Target::Folder(out))) => {
                Some(bounds.target(&out, self.acts))
            }
            (Goal::Target { .. }, Some(Target::Host(_))) => None,
        }
    }

    /// What a plan file names: its source, the files of its flags, places of disks.
    fn replay(&self, file: &PlanFile, bounds: Bounds) -> Bounds {
        let bounds = bounds.read([&file.path]).source(&file.source);
        let bounds = bounds.flags(&file.flags.hardware, &file.flags.policy);
        match self.acts {
            Acts::Yes => file.pinned.places().fold(bounds, |bounds, place| bounds.write(place)),
            Acts::No => bounds,
        }
    }
}

impl Bounds {
    fn new() -> Self {
        Self::default().read(PROCESSORS)
    }

    /// A package: a file that is all of it, a file in the folder that is, that folder, or an address.
    fn source(mut self, path: &Path) -> Self {
        let (path, _) = restore::split_point(path);
        let address = path.to_str().and_then(Address::parse);
        if path.as_os_str() == "-" {
            self
        } else if address.is_some() {
            self.reach.network = Network::Everybody;
            let other = CERTIFICATE_VARIABLES.iter().filter_map(std::env::var_os);
            let other: Vec<PathBuf> = other.map(PathBuf::from).collect();
            self.read(SERVERS).read(other)
        } else if is_archive(path) || path.is_dir() {
            self.read([path])
        } else {
            self.beside(path)
        }
    }

    /// An image, and what its flags let it open.
    fn input(self, args: &ImageArgs) -> Self {
        self.beside(&args.image).read(&args.gate.allow_backing)
    }

    /// A file that may name others of its folder. Of the folder of a device only the names are read.
    fn beside(mut self, path: &Path) -> Self {
        let folder = folder_of(path);
        if path.is_file() {
            self.reach.read.push(folder);
        } else {
            self.reach.list.push(folder);
        }
        self.read([path])
    }

    /// Flags of a package that name files.
    fn flags(self, hardware: &HardwareArgs, policy: &PolicyArgs) -> Self {
        let values = hardware.prop.iter().filter_map(|flag| flag.split_once('='));
        let files = values.filter_map(|(_, value)| value.strip_prefix('@'));
        self.read(files).read(&hardware.prop_file).signature(&policy.signature)
    }

    fn signature(self, args: &SignatureArgs) -> Self {
        self.read(&args.trust)
    }

    /// The folders that backups are looked for in, and what is known of them; `None` where a host has to
    /// say which.
    fn shelf(self, args: &ShelfArgs) -> Option<Self> {
        let folders = usual_folders(args, &state::of_environment());
        args.pool.is_none().then(|| self.state().read(folders).read(CLOCKS))
    }

    /// What relift remembers is read.
    fn state(self) -> Self {
        self.read([state::of_environment().folder()])
    }

    /// What relift remembers is added to.
    fn remembers(mut self) -> Self {
        let folder = state::of_environment().folder().to_owned();
        self.reach.write.push(folder.clone());
        self.makes = Some(folder);
        self
    }

    fn read<P: AsRef<Path>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.reach.read.extend(paths.into_iter().map(|path| path.as_ref().to_owned()));
        self
    }

    fn change(mut self, path: &Path) -> Self {
        self.reach.change.push(path.to_owned());
        self
    }

    /// A file or folder that is made: its name is given in the folder around it.
    fn write(mut self, path: &Path) -> Self {
        self.reach.write.push(nearest_folder(path));
        self
    }

    fn write_all(self, path: Option<&Path>) -> Self {
        path.into_iter().fold(self, Self::write)
    }

    /// Where output goes, or would go: what is there already is looked at.
    fn target(self, path: &Path, acts: Acts) -> Self {
        match acts {
            Acts::Yes => self.write(path),
            Acts::No => self.read([path]),
        }
    }

    fn asks(mut self, host: &Hypervisor, args: &HostArgs) -> Self {
        self.asks = (!args.offline).then(|| host.clone());
        self
    }

    const fn jobs(mut self, jobs: Option<u16>) -> Self {
        self.jobs = jobs;
        self
    }
}

/// Whether a file is a package by itself, by its name.
fn is_archive(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ARCHIVES.iter().any(|one| ending.eq_ignore_ascii_case(one)))
}

/// The folder that a file lies in, by its name.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The folder itself, or the nearest one above that is there.
fn nearest_folder(path: &Path) -> PathBuf {
    let path = absolute(path).unwrap_or_else(|_| path.to_owned());
    path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    /// A folder with an archive, a descriptor, an image, a backup and an empty folder.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.ova", "b.ovf", "c.vmdk", "d.tar", "list", "key.pem", "back.qcow2"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("out")).unwrap();
        folder
    }

    /// What a line may reach, with `F` for the folder in it and in the answer.
    fn reached(folder: &Path, line: &str) -> Option<String> {
        let place = folder.display().to_string();
        let line = line.replace("F/", &format!("{place}/"));
        let cli = Cli::try_parse_from(["relift"].into_iter().chain(line.split(' '))).unwrap();
        let bounds = of(&cli.command, &Hypervisor::of(None))?;
        let Reach { read, list, change, write, network } = bounds.reach;
        let mut told = Vec::new();
        let ways = [("read", read), ("list", list), ("change", change), ("write", write)];
        for (way, paths) in ways {
            let usual = |path: &&PathBuf| PROCESSORS.iter().all(|one| Path::new(one) != *path);
            let paths = paths.iter().filter(usual).map(|path| path.display().to_string());
            told.extend(paths.map(|path| format!("{way} {}", path.replacen(&place, "F", 1))));
        }
        told.extend((network == Network::Everybody).then(|| "servers".to_owned()));
        told.extend(bounds.asks.map(|_| "asks".to_owned()));
        told.extend(bounds.jobs.map(|jobs| format!("jobs {jobs}")));
        Some(told.join(", "))
    }

    #[test]
    fn a_command_reaches_what_was_typed_and_nothing_else() {
        let folder = folder();
        for (line, want) in [
            ("inspect F/a.ova", "read F/a.ova"),
            ("inspect F/b.ovf --trust F/key.pem", "read F, read F/b.ovf, read F/key.pem"),
            ("inspect -", ""),
            ("verify F/out", "read F/out"),
            ("convert F/a.ova -o F/out --offline --jobs 3", "read F/a.ova, write F/out, jobs 3"),
            ("convert F/a.ova -o F/new/er --offline", "read F/a.ova, write F"),
            ("convert F/a.ova -o F/x.tar --offline", "read F/a.ova, write F"),
            ("convert F/a.ova -o F/out --offline --dry-run", "read F/a.ova, read F/out"),
            ("convert F/a.ova -o F/out", "read F/a.ova, write F/out, asks"),
            (
                "plan F/a.ova --offline --prop k=@F/key.pem --prop-file F/list -o F/p.toml",
                "read F/a.ova, read F/key.pem, read F/list, write F",
            ),
            ("plan F/a.ova --offline --to dir:F/out", "read F/a.ova, read F/out"),
            ("import F/a.ova --offline --to dir:F/out", "read F/a.ova, write F/out"),
            ("restore F/d.tar --offline --to dir:F/out", "read F/d.tar, write F/out"),
            ("export F/out -o F/x.ova", "read F/out, write F"),
            ("disk info F/c.vmdk", "read F/c.vmdk"),
            ("disk info /dev/null", "read /dev/null"),
            ("disk check /dev/null", "read /dev/null, list /dev"),
            (
                "disk convert F/c.vmdk -o F/out/x --allow-backing F/back.qcow2",
                "read F, read F/c.vmdk, read F/back.qcow2, write F/out",
            ),
            ("disk convert F/c.vmdk -O raw -o -", "read F, read F/c.vmdk"),
            ("backup show F/d.tar", "read F/d.tar"),
            ("backup config F/d.tar", "read F/d.tar"),
            ("backup config F/d.tar --to dir:F/out", "read F/d.tar, read F/out, asks"),
            ("backup compress F/d.tar", "read F/d.tar, write F"),
            ("backup decompress F/d.tar -o F/out/x", "read F/d.tar, write F/out"),
            (
                "backup append F/d.tar F/list F/key.pem",
                "read F/list, read F/key.pem, change F/d.tar",
            ),
            ("backup protect F/d.tar", "change F/d.tar"),
            ("sample create -o F/out/demo.ova", "write F/out"),
            ("explain", ""),
        ] {
            assert_eq!(reached(folder.path(), line).as_deref(), Some(want), "{line}");
        }
    }

    #[test]
    fn what_is_remembered_is_read_by_lists_and_written_by_what_verifies() {
        let folder = folder();
        let state = state::of_environment().folder().display().to_string();
        let clocks = CLOCKS.map(|path| format!("read {path}")).join(", ");
        for (line, want) in [
            ("backup list --storage F/out", format!("read {state}, read F/out, {clocks}")),
            (
                "backup prune --storage F/out --keep-last 1",
                format!("read {state}, read F/out, {clocks}, write F/out"),
            ),
            (
                "backup prune --storage F/out --keep-last 1 --dry-run",
                format!("read {state}, read F/out, {clocks}, read F/out"),
            ),
            ("backup delete F/d.tar", format!("read {state}, read F, write F")),
            ("backup verify F/d.tar", format!("read F/d.tar, write {state}")),
        ] {
            assert_eq!(reached(folder.path(), line), Some(want), "{line}");
        }
    }

    #[test]
    fn a_command_that_runs_programs_is_not_confined() {
        let folder = folder();
        for line in [
            "doctor",
            "snapshot list web01",
            "import F/a.ova",
            "restore F/d.tar --to libvirt:qemu:///session",
            "plan F/a.ova --to libvirt",
            "backup config F/d.tar --to libvirt",
            "backup list --pool images",
            "job run --due",
        ] {
            assert_eq!(reached(folder.path(), line), None, "{line}");
        }
    }

    #[test]
    fn an_address_needs_servers_and_no_secrets_of_the_system() {
        let folder = folder();
        let told = reached(folder.path(), "inspect https://example.org/a.ova").unwrap();
        assert!(told.ends_with("servers") && told.contains("read /etc/resolv.conf"), "{told}");
        let secrets = ["read /etc,", "read /etc/ssl,", "read /,", "read /run,"];
        assert!(secrets.iter().all(|secret| !told.contains(secret)), "{told}");
    }
}
