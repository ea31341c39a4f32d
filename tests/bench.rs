//! A folder of its own for each test, and the program in it.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use testkit::{MIB, Package};

/// The program.
pub(crate) const RELIFT: &str = env!("CARGO_BIN_EXE_relift");

/// A folder with the demo appliance in `fixtures/`.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    /// What the program remembers, beside the folder.
    state: tempfile::TempDir,
}

/// What a run of the program left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Bench {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), state: tempfile::tempdir().unwrap() }
    }

    /// An empty folder that no part of its path hides: nothing of a backup lies in or goes to a hidden one.
    pub(crate) fn visible() -> Self {
        let folder = tempfile::Builder::new().prefix("bench").tempdir().unwrap();
        Self { folder, ..Self::empty() }
    }

    /// A folder with `fixtures/demo.ova` and `disk.vmdk`.
    pub(crate) fn new() -> Self {
        let bench = Self::empty();
        fs::create_dir(bench.path("fixtures")).unwrap();
        let made = bench.run(["sample", "create", "-o", "fixtures/demo.ova"]);
        assert_eq!(made.code, Some(0), "{made:?}");
        let disk = testkit::stream_optimized(&testkit::content(MIB), "disk.vmdk");
        bench.write("disk.vmdk", &disk);
        bench
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path in what the program remembers.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    /// Writes a file of the folder.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Reads a file of the folder.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Every file below a folder of the folder, sorted; none where it is not there.
    pub(crate) fn files(&self, name: &str) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.path(name)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(self.folder.path()).unwrap();
                    files.push(name.display().to_string());
                }
            }
        }
        files.sort();
        files
    }

    /// Runs the program in the folder.
    pub(crate) fn run<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Run {
        let mut command = self.command(RELIFT);
        command.args(words);
        Run::of(&command.output().unwrap())
    }

    /// Runs a line of a shell in the folder; `relift` is the program.
    pub(crate) fn shell(&self, line: &str) -> Run {
        let mut command = self.command("sh");
        Run::of(&command.args(["-c", line]).output().unwrap())
    }

    /// A command in the folder, with an environment that is the same everywhere.
    pub(crate) fn command(&self, program: &str) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the one wrapper of these tests")]
        let mut command = Command::new(program);
        let beside = Path::new(RELIFT).parent().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env("PATH", format!("{}:{path}", beside.display()))
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("RELIFT_STATE_DIR", self.state.path())
            // The servers of the tests are on this machine.
            .env_remove("http_proxy")
            .env_remove("HTTP_PROXY")
            .env_remove("https_proxy")
            .env_remove("HTTPS_PROXY")
            .env_remove("all_proxy")
            .env_remove("ALL_PROXY")
            // Results do not depend on what the machine of the tests can run.
            .env("RELIFT_OFFLINE", "1")
            .env_remove("RELIFT_SANDBOX")
            .env_remove("RELIFT_CONNECT")
            .env_remove("RELIFT_COLOR")
            .env_remove("CLICOLOR_FORCE");
        command
    }

    /// A small package of the test kit, as a file of the folder.
    pub(crate) fn package(&self, name: &str) -> Package {
        let package = Package::small("vm", MIB);
        self.write(name, &package.ova());
        package
    }
}

impl Run {
    /// What a finished process left.
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// The one document on stdout.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// All of it as one text; what differs from run to run has a word of its own.
    pub(crate) fn seen(&self) -> String {
        let stream = |name: &str, stream: &str| match stream {
            "" => String::new(),
            stream => format!("--- {name}\n{stream}"),
        };
        let (out, err) = (stream("stdout", &self.stdout), stream("stderr", &self.stderr));
        let text = format!("exit {}\n{out}{err}", self.code.unwrap());
        let words = text.lines().map(|line| {
            let line = replaced(line, " when full; ", " free.", "FREE");
            let line = replaced(&line, "Imported demo in ", "", "TIME");
            replaced(&line, "Converted demo in ", "", "TIME")
        });
        words.collect::<Vec<_>>().join("\n")
    }
}

/// Puts a word in the place of what stands between two texts.
fn replaced(line: &str, before: &str, behind: &str, word: &str) -> String {
    match line.split_once(before) {
        Some((head, tail)) if tail.ends_with(behind) => format!("{head}{before}{word}{behind}"),
        _ => line.to_owned(),
    }
}
