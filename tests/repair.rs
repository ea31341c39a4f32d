//! What interrupted backups left on a host: `doctor` tells it, `doctor --repair` puts it right.

use std::{fs, os::unix::fs::PermissionsExt as _};

use bundle::{Checkpoint, Mode, Point, State};

use crate::{shelf, virsh::Hosted};

const UUID: &str = "5b1c0000-1111-4222-8333-444455556666";

/// Plays a machine with files of its own before the host: `power`, `job` and `counted` (checkpoints), a name a line.
const MACHINE: &str = r#"#!/bin/sh
here=$(dirname "$0")
case "$4" in
  domstate) cat "$here/power" ;;
  backup-dumpxml)
    [ -e "$here/job" ] && cat "$here/job" && exit
    echo "error: Domain backup job id not found: no domain backup job present" >&2
    exit 1
    ;;
  domjobinfo)
    if [ -e "$here/lost" ]; then echo "error: internal error: backup job data missing" >&2; exit 1; fi
    if [ -e "$here/job" ]; then printf 'Job type: 2\noperation: 9\n'; else echo "Job type: 0"; fi
    ;;
  checkpoint-list) cat "$here/counted" ;;
  domjobabort) echo "$4" >>"$here/said"; rm "$here/job" ;;
  resume) echo "$4" >>"$here/said"; echo "running (unpaused)" >"$here/power" ;;
  checkpoint-delete)
    for name; do :; done
    echo "$4 $name" >>"$here/said"
    grep -vx "$name" "$here/counted" >"$here/kept"
    mv "$here/kept" "$here/counted"
    ;;
  *) exec "$here/plain" "$@" ;;
esac
"#;

/// A host whose machine `web01` is `power`, with a backup in `backups` whose point has a checkpoint.
fn hosted(power: &str, checkpoints: &[&str]) -> Hosted {
    let hosted = Hosted::new();
    let bench = &hosted.bench;
    fs::rename(bench.path("host/virsh"), bench.path("host/plain")).unwrap();
    bench.write("host/virsh", MACHINE.as_bytes());
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(bench.path("host/virsh"), mode).unwrap();
    fs::create_dir_all(bench.path("host/machines")).unwrap();
    let disk = bench.path("host/images/web01.qcow2");
    let xml = format!(
        "<domain type='kvm'><name>web01</name>\n<uuid>{UUID}</uuid><devices><disk type='file' \
         device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/><target dev='vda'/>\
         </disk></devices></domain>\n",
        disk.display()
    );
    bench.write(&format!("host/machines/{UUID}.xml"), xml.as_bytes());
    hosted.set("power", power);
    hosted.set("counted", &checkpoints.join("\n"));
    fs::create_dir(bench.path("backups")).unwrap();
    let known = Checkpoint { name: name(&hosted, 2), xml: String::new() };
    shelf::backup_with(bench, "backups/web01-1", &point(known));
    let place = format!("{{\"folder\":\"{}\"}}\n", bench.path("backups").display());
    fs::write(bench.state("places.jsonl"), place).unwrap();
    fs::create_dir(bench.state("locks")).unwrap();
    fs::write(bench.state(&format!("locks/backup-{UUID}.lock")), "").unwrap();
    hosted
}

/// The checkpoint of this number in the series of the folder `backups`.
fn name(hosted: &Hosted, number: u64) -> String {
    let series = backup::create::series_of(&hosted.bench.path("backups"));
    format!("relift-{series}-{number}")
}

fn point(checkpoint: Checkpoint) -> Point {
    Point {
        id: "20260104-010000".to_owned(),
        created_unix_seconds: shelf::FIRST,
        mode: Mode::Full,
        config: format!("{}-web01.xml", shelf::FIRST),
        state: State::Running,
        indications: Vec::new(),
        disks: Vec::new(),
        left_out: Vec::new(),
        checkpoint: Some(checkpoint),
        snapshots: Vec::new(),
    }
}

/// The lines of what was left, without what else doctor says.
fn told(stdout: &str) -> Vec<String> {
    let left = |line: &&str| {
        ["found ", "repaired ", "skipped ", "FAILED "]
            .iter()
            .any(|it| line.trim_start().starts_with(it))
    };
    stdout.lines().filter(left).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn what_a_killed_backup_left_is_told_then_rehearsed_then_put_right_once() {
    let hosted = hosted("paused (I/O error)", &[]);
    let names = [1, 2, 3].map(|number| name(&hosted, number));
    hosted.set(
        "counted",
        &[&names[0], &names[1], &names[2], "relift-0000beef-9", "x"].map(String::from).join("\n"),
    );
    let scratch = hosted.bench.path("host/images/.relift-5b1c00001111");
    fs::create_dir(&scratch).unwrap();
    fs::write(scratch.join("note"), "relift backs up web01; the machine was on\n").unwrap();
    let job = format!(
        "<domainbackup mode='pull'><server transport='unix' socket='{0}/nbd'/><disks><disk \
         name='vda' backup='yes' type='file'><scratch file='{0}/vda.scratch'/></disk></disks>\
         </domainbackup>",
        scratch.display()
    );
    hosted.set("job", &job);
    hosted.bench.write("backups/web01-2.tar.partial-77", b"half");
    hosted.bench.write("backups/notes.partial-77", b"theirs");

    let found = [
        "found   web01   a backup job of an interrupted run".to_owned(),
        "found   web01   a guest that a full scratch file has stopped".to_owned(),
        format!("found   web01   the checkpoint {}, which no point knows", names[2]),
        format!("found   web01   the checkpoint {}, which no point knows", names[0]),
        "found   web01   scratch files of an interrupted run in /bench/host/images".to_owned(),
        "found   -       /bench/backups/web01-2.tar.partial-77, a backup that was only begun"
            .to_owned(),
    ];
    for (line, again) in [
        ("doctor", "relift doctor --repair"),
        ("doctor --repair --dry-run", "the same without --dry-run"),
    ] {
        let run = hosted.run(line);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(told(&run.stdout), found);
        let row = run.stdout.lines().find(|line| line.contains("left behind")).unwrap();
        assert!(row.contains("6 things of interrupted backups"), "{row}");
        assert!(row.ends_with(&format!("→ {again}")), "{row}");
    }
    assert_eq!(hosted.acts(), [""; 0], "a look changes nothing");

    let run = hosted.run("doctor --repair");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        told(&run.stdout),
        [
            "repaired   web01   ended the backup job that an interrupted run had left".to_owned(),
            "repaired   web01   let the guest go on, which a full scratch file had stopped".to_owned(),
            format!("repaired   web01   deleted the checkpoint {}, which no point knows", names[2]),
            format!("repaired   web01   deleted the checkpoint {}, which no point knows", names[0]),
            "repaired   web01   removed /bench/host/images/.relift-5b1c00001111, which an interrupted \
             run had left"
                .to_owned(),
            "repaired   -       removed /bench/backups/web01-2.tar.partial-77, a backup that was only begun"
                .to_owned(),
        ]
    );
    assert_eq!(hosted.acts(), ["domjobabort", "resume", "checkpoint-delete", "checkpoint-delete"]);
    let kept = format!("{}\nrelift-0000beef-9\nx\n", names[1]);
    assert_eq!(hosted.bench.read("host/counted"), kept.as_bytes());
    assert_eq!(hosted.bench.files("backups"), ["backups/notes.partial-77", "backups/web01-1.tar"]);
    assert!(!scratch.exists());

    let run = hosted.run("doctor --repair --json");
    assert!(run.stdout.contains("\"left\":[]"), "{}", run.stdout);
}

#[test]
fn no_checkpoint_is_deleted_while_the_folder_of_its_series_cannot_tell() {
    let hosted = hosted("running (booted)", &[]);
    let unknown = name(&hosted, 1);
    hosted.set("counted", &unknown);
    hosted.bench.write("backups/cut.tar", &[9; 2000]);
    let run = hosted.run("doctor --repair");
    assert_eq!(
        told(&run.stdout),
        [
            "skipped   -   the checkpoints of backups in /bench/backups: /bench/backups/cut.tar is damaged"
        ]
    );
    // The place of a file system that is not mounted now.
    for file in ["cut.tar", "web01-1.tar"] {
        fs::remove_file(hosted.bench.path(&format!("backups/{file}"))).unwrap();
    }
    let run = hosted.run("doctor --repair");
    assert_eq!(
        told(&run.stdout),
        ["skipped   -   the checkpoints of backups in /bench/backups: it has no backups"]
    );
    assert_eq!(hosted.acts(), [""; 0]);
}

#[test]
fn a_machine_that_is_being_backed_up_is_left_alone_and_one_that_is_not_there_is_refused() {
    let hosted = hosted("running (booted)", &[]);
    hosted.set("counted", &name(&hosted, 1));
    let path = hosted.bench.state(&format!("locks/backup-{UUID}.lock"));
    let lock = host::lock::attempt(&path).unwrap().unwrap();
    let run = hosted.run("doctor --repair --vm web01");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(told(&run.stdout), ["skipped   web01   a backup of it is under way"]);
    let run = hosted.run("doctor");
    assert_eq!(told(&run.stdout), [""; 0]);
    drop(lock);
    let run = hosted.run("doctor --repair --vm nobody");
    assert_eq!(run.code, Some(13), "{run:?}");
    let run = hosted.run("doctor --dry-run");
    assert_eq!(run.code, Some(2), "{run:?}");
}

#[test]
fn a_job_of_another_program_is_nobodys_to_end() {
    let hosted = hosted("running (booted)", &[]);
    hosted.set(
        "job",
        "<domainbackup mode='push'><disks><disk name='vda' backup='yes'/></disks></domainbackup>",
    );
    let run = hosted.run("doctor --repair");
    assert_eq!(told(&run.stdout), ["skipped   web01   another program backs up the machine now"]);
    assert_eq!(hosted.acts(), [""; 0]);
}

#[test]
fn a_job_that_libvirt_has_lost_is_told_and_what_else_there_is_is_put_right() {
    let hosted = hosted("paused (I/O error)", &[]);
    hosted.set("counted", &name(&hosted, 1));
    hosted.set("lost", "");
    let found = [
        format!("found   web01   the checkpoint {}, which no point knows", name(&hosted, 1)),
        "found   web01   a backup job that libvirt has lost (relift explain E0510)".to_owned(),
    ];
    let run = hosted.run("doctor");
    assert_eq!((run.code, told(&run.stdout)), (Some(0), found.into()), "{run:?}");
    let run = hosted.run("doctor --repair");
    assert_eq!(run.code, Some(7), "{run:?}");
    let lines = told(&run.stdout);
    assert!(lines[0].starts_with("repaired   web01   deleted the checkpoint "), "{lines:?}");
    let lost =
        "a backup job that libvirt has lost (relift explain E0510): libvirt holds a backup job";
    assert!(lines[1].starts_with(&format!("FAILED     web01   {lost}")), "{lines:?}");
    assert!(run.stderr.contains("error[E0510]: not everything could be put right"), "{run:?}");
    assert!(
        run.stderr.contains("\n  fix:   Stop the libvirt daemon, write async='none'"),
        "{run:?}"
    );
    hosted.unset("lost");
    let run = hosted.run("doctor --repair");
    assert_eq!((run.code, told(&run.stdout).len()), (Some(0), 0), "{run:?}");
}
