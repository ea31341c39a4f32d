//! `backup append` that is killed, or has no room left, at each of its steps.

use bundle::{Bundle, Form};
use testkit::oracle;

use crate::{
    backups::{open, write},
    bench::Bench,
    tracing::can_trace,
};

/// The most steps that an append of one small file may have.
const MAX_STEPS: usize = 40;
/// What a shell says of a process that was killed.
const KILLED: i32 = 128 + 9;

/// A bundle that files are appended to.
struct Attempt {
    bench: Bench,
    file: String,
    old: Vec<u8>,
}

impl Attempt {
    fn new(form: Form) -> Self {
        let bench = Bench::empty();
        let file = format!("web01.{}", form.ending());
        write(&bench.path(&file), form);
        bench.write("tools.iso", &[9; 5000]);
        bench.write("more.iso", &testkit::content(700));
        let old = bench.read(&file);
        Self { bench, file, old }
    }

    /// Puts the old bundle back.
    fn reset(&self) {
        self.bench.write(&self.file, &self.old);
    }

    fn bundle(&self) -> Bundle {
        open(&self.bench.path(&self.file))
    }

    /// The names that GNU tar lists; `None` where it cannot be asked.
    fn listed(&self) -> Option<Vec<String>> {
        oracle("tar", ["--version"])?;
        let unpack = if self.file.ends_with("zst") {
            oracle("zstd", ["--version"])?;
            "zstd -dcq"
        } else {
            "cat"
        };
        let run = self.bench.shell(&format!("{unpack} {} | tar -tf -", self.file));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        let names = run.stdout.lines().filter(|name| *name != ".pad");
        Some(names.map(str::to_owned).collect())
    }

    /// That the bundle is the old one or the whole new one, and that the next append succeeds.
    fn check(&self, old: &[(String, Vec<u8>)], step: &str) {
        let found = content(&self.bundle());
        assert!(found.starts_with(old), "{step}: an old member is lost");
        if found.len() > old.len() {
            assert_eq!(found.len(), old.len() + 2, "{step}");
            assert!(found[old.len()] == ("tools.iso".to_owned(), vec![9; 5000]), "{step}");
        }
        let names: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
        assert!(self.listed().is_none_or(|listed| listed == names), "{step}: tar lists others");
        let run = self.bench.run(["backup", "verify", &self.file]);
        assert_eq!(run.code, Some(0), "{step}: {run:?}");
        let run = self.bench.run(["backup", "append", &self.file, "more.iso"]);
        assert_eq!(run.code, Some(0), "{step}: {run:?}");
        let run = self.bench.run(["backup", "verify", &self.file]);
        assert_eq!(run.code, Some(0), "{step}: {run:?}");
        let grown = content(&self.bundle());
        assert!(grown.starts_with(&found) && grown.len() == found.len() + 2, "{step}");
    }
}

/// Each member with its content.
fn content(bundle: &Bundle) -> Vec<(String, Vec<u8>)> {
    let read = |member: &bundle::Member| {
        let mut bytes = vec![0; usize::try_from(member.length_bytes).unwrap()];
        bundle.bytes(member).unwrap().read_exact_at(&mut bytes, 0).unwrap();
        (member.name.to_string(), bytes)
    };
    bundle.members().map(read).collect()
}

#[test]
fn an_append_that_is_killed_leaves_the_old_bundle_or_the_new_one() {
    if !can_trace() {
        return;
    }
    for form in [Form::Tar, Form::TarZst] {
        let attempt = Attempt::new(form);
        let old = content(&attempt.bundle());
        let killed = (1..=MAX_STEPS).take_while(|step| {
            attempt.reset();
            let run = attempt.bench.shell(&format!(
                "strace -f -qq -o /dev/null -e trace=pwrite64,fsync,ftruncate \
                 -e inject=pwrite64,fsync,ftruncate:signal=KILL:when={step} \
                 relift backup append {} tools.iso",
                attempt.file
            ));
            let was_killed = run.code == Some(KILLED);
            assert!(was_killed || run.code == Some(0), "{step}: {run:?}");
            attempt.check(&old, &format!("{form:?}, killed at step {step}"));
            was_killed
        });
        let steps = killed.count();
        assert!((6..MAX_STEPS).contains(&steps), "{form:?}: {steps} steps");
    }
}

#[test]
fn an_append_without_room_leaves_the_old_bundle_byte_for_byte() {
    for form in [Form::Tar, Form::TarZst] {
        let attempt = Attempt::new(form);
        let old = content(&attempt.bundle());
        let first = attempt.old.len() / 512;
        let refused = (first..first + MAX_STEPS).take_while(|blocks| {
            attempt.reset();
            // A process that ignores the signal gets an error, as it does of a full file system.
            let run = attempt.bench.shell(&format!(
                "trap '' XFSZ; ulimit -f {blocks}; relift backup append {} tools.iso",
                attempt.file
            ));
            let step = format!("{form:?}, room for {blocks} blocks");
            let has_room = run.code == Some(0);
            if !has_room {
                assert!(run.stderr.starts_with("error["), "{step}: {run:?}");
                assert!(attempt.bench.read(&attempt.file) == attempt.old, "{step}");
            }
            attempt.check(&old, &step);
            !has_room
        });
        let steps = refused.count();
        assert!((1..MAX_STEPS).contains(&steps), "{form:?}: {steps} steps");
    }
}
