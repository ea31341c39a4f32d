//! Every example of every help text runs.

use crate::bench::Bench;

const COMMANDS: [&str; 41] = [
    "import",
    "inspect",
    "plan",
    "convert",
    "verify",
    "disk",
    "disk info",
    "disk convert",
    "disk check",
    "disk compare",
    "backup",
    "backup show",
    "backup config",
    "backup verify",
    "backup compress",
    "backup decompress",
    "backup append",
    "backup copy",
    "backup list",
    "backup prune",
    "backup protect",
    "backup delete",
    "job",
    "job add",
    "job list",
    "job show",
    "job run",
    "job pause",
    "job resume",
    "job remove",
    "job history",
    "batch",
    "batch plan",
    "batch run",
    "batch status",
    "batch retry",
    "batch report",
    "batch merge",
    "sample create",
    "explain",
    "completions",
];

#[test]
fn every_command_has_two_examples_and_each_of_them_runs() {
    let bench = Bench::new();
    for command in COMMANDS {
        let help = bench.shell(&format!("relift {command} --help")).stdout;
        let (_, examples) = help.split_once("EXAMPLES\n").expect(command);
        let lines: Vec<&str> = examples.lines().map(str::trim).collect();
        assert!(lines.len() >= 2, "{command}: {help}");
        for line in lines {
            let fresh = Bench::new();
            crate::backups::write(&fresh.path("web01.tar"), bundle::Form::Tar);
            fresh.write("tools.iso", &[9; 4096]);
            if command.starts_with("batch") {
                prepare_batch(&fresh, line);
            }
            if command.starts_with("job") && !line.starts_with("relift job add") {
                prepare_jobs(&fresh);
            }
            let run = fresh.shell(line);
            assert_eq!(run.code, Some(0), "{line}: {run:?}");
            assert!(!run.stdout.is_empty(), "{line}");
        }
    }
}

/// What the examples of batches name: appliances, a list, a batch file unless the line writes it.
fn prepare_batch(bench: &Bench, line: &str) {
    std::fs::create_dir(bench.path("appliances")).unwrap();
    bench.package("appliances/web-01.ova");
    bench.write("list.csv", b"id,source\nweb-01,appliances/web-01.ova\n");
    std::fs::create_dir(bench.path("other")).unwrap();
    bench.write("other/wave1.journal.0-of-3.jsonl", b"");
    if !line.ends_with("-o wave1.toml") {
        let planned = bench.shell("relift batch plan appliances --to dir:machines -o wave1.toml");
        assert_eq!(planned.code, Some(0), "{planned:?}");
    }
}

/// What the examples of jobs name; nothing is due yet, and a backup on this bench would need a host.
fn prepare_jobs(bench: &Bench) {
    for line in [
        "relift job add nightly --vm web01 --schedule 'daily 02:00'",
        "relift job add scrub --vm web01 --task verify --storage .",
    ] {
        let added = bench.shell(line);
        assert_eq!(added.code, Some(0), "{added:?}");
    }
}

#[test]
fn the_short_help_fits_on_a_screen() {
    let help = Bench::empty().run(["-h"]);
    assert!(help.stdout.lines().count() <= 24, "{}", help.stdout);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    let bare = Bench::empty().run([""; 0]);
    assert_eq!((bare.code, bare.stdout.as_str()), (Some(2), ""));
}
