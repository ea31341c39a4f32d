//! `import` and `restore` onto a host, and what is taken back when they fail.

use std::process::{Child, Stdio};

use bundle::Form;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    bench::{Bench, RELIFT, Run},
    tree,
    virsh::Hosted,
};

const IMPORT: &str = "import fixtures/demo.ova --net default --pool images";

fn first_error(run: &Run) -> &str {
    run.stderr.lines().find(|line| line.starts_with("error")).unwrap_or_default()
}

/// A line without the spaces that fill its columns up.
fn squeezed(line: &str) -> String {
    let words = line.split("  ").filter(|word| !word.is_empty()).map(str::trim);
    let indent = if line.starts_with("  ") { "  " } else { "" };
    format!("{indent}{}", words.collect::<Vec<_>>().join("  "))
}

fn succeeds(run: &Run) {
    assert_eq!(run.code, Some(0), "{run:?}");
}

/// What is on the host: machines by file names, acts in order.
fn state(host: &Hosted) -> (Vec<String>, Vec<String>) {
    (host.holds("images"), host.acts())
}

#[test]
fn an_appliance_becomes_a_machine_of_the_host() {
    let host = Hosted::new();
    let run = host.run(&format!("{IMPORT} --to libvirt"));
    succeeds(&run);
    // The columns are as wide as the name of the folder.
    let seen = run.seen().lines().map(squeezed).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(seen);
    let (files, acts) = state(&host);
    assert_eq!(files, ["demo-disk0.qcow2", "demo-ovf-env.iso"]);
    assert_eq!(acts, ["pool-refresh", "define"]);
    let [xml] = host.machines().try_into().unwrap();
    let disk = host.bench.path("host/images/demo-disk0.qcow2").display().to_string();
    for said in ["<name>demo</name>", &format!("<source file=\"{disk}\"/>"), "network=\"default\""]
    {
        assert!(xml.contains(said), "{said}\n{xml}");
    }
    assert!(host.holds("active").is_empty());
}

#[test]
fn json_tells_the_same_as_the_result_of_a_folder() {
    let host = Hosted::new();
    let run = host.run(&format!("{IMPORT} --json"));
    succeeds(&run);
    let json = run.json();
    assert_eq!((&json["schema"], &json["ok"]), (&"relift.import/1".into(), &true.into()));
    let machine = &json["data"]["machines"][0];
    assert_eq!(machine["name"], "demo");
    let uuid = machine["uuid"].as_str().unwrap();
    assert_eq!(host.holds("machines"), [format!("{uuid}.xml")]);
    let outputs = json["data"]["outputs"].as_array().unwrap();
    let paths: Vec<_> = outputs.iter().map(|output| output["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["demo-disk0.qcow2", "demo-ovf-env.iso"]);
    let restored = Hosted::new();
    let run = restored.run("restore fixtures/demo.ova --net default --pool images --json");
    succeeds(&run);
    assert_eq!(run.json()["data"], json["data"]);
}

#[test]
fn disks_go_to_a_folder_that_is_named_and_no_pool_is_asked_to_look() {
    let host = Hosted::new();
    succeeds(&host.run("import fixtures/demo.ova --net default --storage disks"));
    assert_eq!(host.bench.files("disks"), ["disks/demo-disk0.qcow2", "disks/demo-ovf-env.iso"]);
    assert_eq!(state(&host), (vec![], vec!["define".to_owned()]));
    let [xml] = host.machines().try_into().unwrap();
    let disk = host.bench.path("disks/demo-disk0.qcow2").display().to_string();
    assert!(xml.contains(&disk), "{xml}");
}

#[test]
fn a_machine_is_started_on_request() {
    let host = Hosted::new();
    let run = host.run(&format!("{IMPORT} --start"));
    succeeds(&run);
    assert!(run.stdout.contains("demo (started)"), "{run:?}");
    assert!(run.stdout.ends_with("virsh -c qemu:///system console demo\n"), "{run:?}");
    assert_eq!(host.acts(), ["pool-refresh", "define", "start"]);
    assert_eq!(host.holds("active").len(), 1);
}

#[test]
fn a_dry_run_changes_nothing() {
    let host = Hosted::new();
    let run = host.run(&format!("{IMPORT} --start --dry-run"));
    succeeds(&run);
    assert!(run.stdout.starts_with("Plan for demo → libvirt qemu:///system "), "{run:?}");
    assert!(host.is_empty() && host.acts().is_empty());
}

#[test]
fn a_name_that_is_taken_blocks_or_becomes_another() {
    let host = Hosted::new();
    succeeds(&host.run(IMPORT));
    let (machines, before) = (host.machines(), state(&host));
    let run = host.run(IMPORT);
    assert_eq!(run.code, Some(7), "{run:?}");
    assert_eq!(first_error(&run), "error[E0503]: qemu:///system has a machine called demo already");
    assert!(run.stderr.contains("\n  fix:   --name NAME, or --on-conflict rename\n"), "{run:?}");
    assert_eq!((host.machines(), state(&host)), (machines, before));
    succeeds(&host.run(&format!("{IMPORT} --on-conflict rename")));
    let files =
        ["demo-2-disk0.qcow2", "demo-2-ovf-env.iso", "demo-disk0.qcow2", "demo-ovf-env.iso"];
    assert_eq!(host.holds("images"), files);
    assert_eq!(host.holds("machines").len(), 2);
}

#[test]
fn a_place_that_the_host_does_not_have_blocks() {
    let host = Hosted::new();
    for (line, said) in [
        ("--net default --pool nope", "qemu:///system has no pool called nope"),
        ("--net network:nope --pool images", "qemu:///system has no network called nope"),
        ("--net default", "qemu:///system has no pool called default"),
    ] {
        let run = host.run(&format!("import fixtures/demo.ova {line}"));
        assert_eq!(run.code, Some(7), "{run:?}");
        assert_eq!(first_error(&run), format!("error[E0504]: {said}"));
    }
    assert!(host.is_empty() && host.acts().is_empty());
}

#[test]
fn a_host_that_does_not_answer_is_told_before_anything_is_done() {
    let host = Hosted::new();
    for verb in ["import", "restore"] {
        let line = format!("{verb} fixtures/demo.ova --to libvirt:qemu+ssh://nobody/system");
        let run = host.run(&line);
        assert_eq!(run.code, Some(7), "{run:?}");
        assert_eq!(
            first_error(&run),
            "error[E0501]: no libvirt answers at qemu+ssh://nobody/system"
        );
    }
}

#[test]
fn a_backup_comes_back_with_its_tree_of_snapshots() {
    for form in [Form::Tar, Form::TarZst] {
        let host = Hosted::beside(Bench::empty());
        let backup = tree::write(&host.bench, form);
        succeeds(&host.run(&format!("restore {backup} --pool images")));
        let images = ["web01-b.qcow2", "web01-base.qcow2", "web01-c.qcow2", "web01-now.qcow2"];
        assert_eq!(host.holds("images"), images);
        let acts =
            ["pool-refresh", "define", "snapshot-create", "snapshot-create", "snapshot-create"];
        assert_eq!(host.acts(), acts);
        let [machine] = host.holds("machines").try_into().unwrap();
        let of = format!("snapshots/{}", machine.trim_end_matches(".xml"));
        assert_eq!(host.holds(&of), ["fresh.xml", "kept.xml", "tried.xml"]);
        let [xml] = host.machines().try_into().unwrap();
        let now = host.bench.path("host/images/web01-now.qcow2").display().to_string();
        assert!(xml.contains(&now), "{xml}");
    }
}

#[test]
fn a_backup_by_tar_comes_back() {
    let host = Hosted::beside(Bench::empty());
    host.bench.write("1700000000-web01.xml", tree::definition("web01.qcow2").as_bytes());
    let disk = testkit::Qcow2::new(1 << 20).build().bytes;
    host.bench.write("web01.qcow2", &disk);
    succeeds(&host.bench.shell("tar -cf web01.tar 1700000000-web01.xml web01.qcow2"));
    succeeds(&host.run("restore web01.tar --storage disks"));
    assert!(host.bench.read("disks/web01.qcow2") == disk);
    assert_eq!(host.acts(), ["define"]);
}

#[test]
fn a_definition_alone_brings_hardware_only() {
    let host = Hosted::beside(Bench::empty());
    host.bench.write("web01.xml", tree::definition("web01.qcow2").as_bytes());
    succeeds(&host.run("restore web01.xml --pool images"));
    let [xml] = host.machines().try_into().unwrap();
    assert!(!xml.contains("<disk"), "{xml}");
    assert!(host.holds("images").is_empty());
    let refused = host.run("import web01.xml --pool images --name other");
    assert_eq!(refused.code, Some(4), "{refused:?}");
    let text = "web01.xml is the definition of a libvirt machine: there is nothing to convert";
    assert_eq!(first_error(&refused), format!("error[E0103]: {text}"));
    assert!(refused.stderr.contains("\n  fix:   relift restore web01.xml\n"), "{refused:?}");
    assert_eq!(host.run("convert web01.xml -o out").code, Some(4));
}

#[test]
fn a_descriptor_alone_brings_hardware_and_its_disks_on_request() {
    let host = Hosted::new();
    std::fs::create_dir(host.bench.path("ovf")).unwrap();
    succeeds(&host.bench.shell("tar -C ovf -xf fixtures/demo.ova"));
    succeeds(&host.run("restore ovf/demo.ovf --net default --pool images --name bare"));
    let [bare] = host.machines().try_into().unwrap();
    assert!(!bare.contains("disk0.qcow2"), "{bare}");
    let line = "restore ovf/demo.ovf --with-disks --net default --pool images --name full";
    succeeds(&host.run(line));
    assert!(host.holds("images").contains(&"full-disk0.qcow2".to_owned()));
    assert_eq!(host.machines().iter().filter(|xml| xml.contains("full-disk0.qcow2")).count(), 1);
}

#[test]
fn an_act_that_the_host_refuses_is_taken_back_with_all_before_it() {
    let backup = |host: &Hosted| tree::write(&host.bench, Form::Tar);
    for (verb, acts) in [
        ("pool-refresh", 2),
        // The refresh, the refused act, and the refresh when the files are gone.
        ("define", 3),
        ("snapshot-create", 5),
    ] {
        let host = Hosted::beside(Bench::empty());
        let line = format!("restore {} --pool images", backup(&host));
        host.set("refuse", &format!("{verb} XML error: something new"));
        let run = host.run(&line);
        assert_eq!(run.code, Some(7), "{run:?}");
        assert!(first_error(&run).starts_with("error[E0502]: qemu:///system cannot "), "{run:?}");
        assert!(run.stderr.contains("\n  cause: XML error: something new\n"), "{run:?}");
        assert!(host.is_empty(), "{verb}: {:?}", host.bench.files("host"));
        assert_eq!(host.acts().len(), acts, "{verb}: {:?}", host.acts());
        host.unset("refuse");
        succeeds(&host.run(&line));
    }
}

#[test]
fn a_machine_that_does_not_start_stays_and_is_told() {
    let host = Hosted::new();
    host.set("refuse", "start Requested operation is not valid: network 'default' is not active");
    let run = host.run(&format!("{IMPORT} --start"));
    assert_eq!(run.code, Some(7), "{run:?}");
    assert_eq!(first_error(&run), "error[E0504]: the machine demo is there, and does not start");
    assert!(run.stderr.contains("  fix:   see why, then: virsh start demo\n"), "{run:?}");
    assert_eq!(host.holds("machines").len(), 1);
    assert_eq!(host.holds("images"), ["demo-disk0.qcow2", "demo-ovf-env.iso"]);
}

/// Waits until the host has been asked for the act.
fn wait_for(host: &Hosted, act: &str, child: &mut Child) {
    let begun = std::time::Instant::now();
    while !host.acts().iter().any(|said| said == act) {
        let is_over = child.try_wait().unwrap().is_some();
        assert!(begun.elapsed().as_secs() < 30 && !is_over, "no {act}");
        std::thread::yield_now();
    }
}

#[test]
fn a_run_that_is_stopped_while_the_host_works_takes_everything_back() {
    let host = Hosted::new();
    host.set("linger", "pool-refresh");
    let mut command = host.command(RELIFT);
    command.args(IMPORT.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    wait_for(&host, "pool-refresh", &mut child);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    succeeds(&host.bench.shell("echo >'host/go on'"));
    let run = Run::of(&child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(130), "{run:?}");
    assert!(host.is_empty(), "{:?}", host.bench.files("host"));
}

/// libvirt replaces a machine that has both the name and the UUID of one that is defined.
#[test]
fn a_machine_that_somebody_defines_in_the_meantime_is_neither_replaced_nor_removed() {
    let host = Hosted::new();
    assert_eq!(host.run(IMPORT).code, Some(0));
    let [machine] = <[String; 1]>::try_from(host.holds("machines")).unwrap();
    for brought in ["machines", "images"] {
        std::fs::remove_dir_all(host.bench.path(&format!("host/{brought}"))).unwrap();
    }
    std::fs::remove_file(host.bench.path("host/said")).unwrap();
    std::fs::create_dir(host.bench.path("host/images")).unwrap();
    host.set("linger", "pool-refresh");
    let mut command = host.command(RELIFT);
    command.args(IMPORT.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    wait_for(&host, "pool-refresh", &mut child);
    host.set(&format!("machines/{machine}"), "<domain><name>demo</name></domain>");
    succeeds(&host.bench.shell("echo >'host/go on'"));
    let run = Run::of(&child.wait_with_output().unwrap());
    let uuid = machine.trim_end_matches(".xml");
    assert_eq!(
        first_error(&run),
        format!(
            "error[E0503]: a machine with the UUID {uuid} has come to the host in the meantime"
        )
    );
    assert_eq!(run.code, Some(7), "{run:?}");
    assert_eq!(host.machines(), ["<domain><name>demo</name></domain>\n"]);
    assert!(host.holds("images").is_empty(), "{run:?}");
}
