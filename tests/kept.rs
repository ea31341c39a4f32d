//! Backups of a machine with snapshots: every image of its tree is in them, each by itself.

use serde_json::{Value, json};

use crate::guest::{Running, UUID};

/// The images of the machine, the lowest first, with the member that each becomes.
const IMAGES: [(&str, &str); 3] = [
    ("vda.qcow2", "vda.qcow2"),
    ("vda.s1.qcow2", "vda.s1.qcow2.snapshot"),
    ("vda.s2.qcow2", "web01-vda-1795287900.snapshot"),
];

/// The machine with the snapshots `s1` and `s2`, which wrote something after each.
fn with_tree() -> Option<Running> {
    let running = Running::new()?;
    for (name, byte) in [("s1", 2), ("s2", 3)] {
        running.done(&format!("snapshot create web01 --name {name}"), 0);
        let act = format!("write -q -P {byte} {byte}M 64k");
        running.shell(&format!("qemu-io -f qcow2 -c '{act}' host/images/vda.{name}.qcow2"));
    }
    let document = format!("host/snapshots/{UUID}/s2.xml");
    let text = String::from_utf8(running.host.bench.read(&document)).unwrap();
    let text = text.replace("<state>", "<parent><name>s1</name></parent><state>");
    running.host.bench.write(&document, text.as_bytes());
    Some(running)
}

fn document(running: &Running, line: &str) -> Value {
    let mut told: Value = serde_json::from_str(&running.done(line, 0).stdout).unwrap();
    told["data"].take()
}

/// The images and the definition of the machine are what they were before any backup.
fn goes_on(running: &Running, at: &str) {
    assert_eq!(running.host.holds("images"), IMAGES.map(|(image, _)| image), "{at}");
    let machine = running.host.machines().pop().unwrap();
    assert!(machine.contains("/vda.s2.qcow2'"), "{at}: {machine}");
    let known = document(running, "snapshot list web01 --json");
    let names: Vec<_> =
        known["snapshots"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["s1", "s2"], "{at}");
}

const FILE: &str = "out/web01-20261121-190500.tar";

#[test]
fn a_machine_is_backed_up_with_its_tree_whether_it_runs_or_not() {
    for way in ["snapshot", "images"] {
        let Some(running) = with_tree() else { return };
        if way == "images" {
            running.shell(&format!("rm host/active/{UUID}"));
        }
        let acts = running.host.acts().len();
        let plan = document(&running, "backup create web01 --storage out --dry-run --json");
        assert_eq!(plan["plans"][0]["snapshots"], json!(["s1", "s2"]), "{plan}");
        assert_eq!(plan["plans"][0]["way"], way);
        assert_eq!(running.host.acts().len(), acts, "{way}: nothing is done");
        let made = document(&running, "backup create web01 --storage out --json");
        assert_eq!(made["backups"][0]["snapshots"], json!(["s1", "s2"]), "{made}");
        assert_eq!(made["backups"][0]["untaken"], json!([]));
        assert_eq!(made["backups"][0]["disks"][0]["read_bytes"], 6 << 16, "of all its images");
        goes_on(&running, way);
        running.done(&format!("backup verify --level deep {FILE}"), 0);
        let shown = document(&running, &format!("backup show {FILE} --json"));
        let tree: Vec<_> = shown["snapshots"].as_array().unwrap().iter().collect();
        let told = |at: usize| (&tree[at]["name"], &tree[at]["parent"], &tree[at]["nodes"]);
        assert_eq!(told(0), (&json!("s1"), &Value::Null, &json!([IMAGES[0].1])));
        assert_eq!(told(1), (&json!("s2"), &json!("s1"), &json!([IMAGES[1].1])));
        running.shell(&format!("mkdir members && tar -xf {FILE} -C members"));
        for (image, member) in IMAGES {
            // All of the chain, and what each image has by itself.
            running.shell(&format!("qemu-img compare -q members/{member} host/images/{image}"));
            running
                .shell(&format!("cp host/images/{image} a.qcow2 && cp members/{member} b.qcow2"));
            running.shell("for it in a b; do qemu-img rebase -u -f qcow2 -b '' $it.qcow2; done");
            running.shell("qemu-img compare -q a.qcow2 b.qcow2");
        }
    }
}

#[test]
fn an_image_of_small_clusters_shows_the_same_disk_in_the_backup() {
    let Some(running) = with_tree() else { return };
    running.shell(&format!("rm host/active/{UUID}"));
    // What has been in the image goes: it is another one, of clusters that the backup does not have.
    let create = "qemu-img create -q -f qcow2 -o cluster_size=4k -F qcow2";
    running.shell(&format!("cd host/images && {create} -b \"$PWD/vda.qcow2\" vda.s1.qcow2"));
    for act in ["write -q -P 7 12k 4k", "write -q -z 100k 8k", "write -q -P 8 3M 20k"] {
        running.shell(&format!("qemu-io -f qcow2 -c '{act}' host/images/vda.s1.qcow2"));
    }
    running.done("backup create web01 --storage out", 0);
    running.done(&format!("backup verify --level deep {FILE}"), 0);
    running.shell(&format!("mkdir members && tar -xf {FILE} -C members"));
    for (image, member) in IMAGES {
        running.shell(&format!("qemu-img compare -q members/{member} host/images/{image}"));
    }
}

#[test]
fn memory_is_a_snapshot_of_its_own_below_the_disks_and_only_of_a_machine_that_is_on() {
    let Some(running) = with_tree() else { return };
    let refused = running.run("backup create web01 --storage out --memory --quiesce require", 0);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.starts_with("error: a guest whose memory is kept"), "{refused:?}");
    let name = "backup-20261121-190500";
    let made = document(&running, "backup create web01 --storage out --memory --json");
    assert_eq!(made["backups"][0]["snapshots"], json!([name, "s1", "s2"]), "{made}");
    goes_on(&running, "memory");
    running.done(&format!("backup verify --level deep {FILE}"), 0);
    let shown = document(&running, &format!("backup show {FILE} --json"));
    let memory = shown["snapshots"].as_array().unwrap().iter().find(|it| it["name"] == name);
    let memory = memory.unwrap();
    assert_eq!(memory["memory"], format!("{name}.memory"));
    assert_eq!(memory["nodes"], json!(["vda.s2.qcow2.snapshot"]), "what the machine wrote to");
    let members = shown["members"].as_array().unwrap();
    let top = members.iter().find(|it| it["name"] == IMAGES[2].1).unwrap();
    assert_eq!(top["backing"], "vda.s2.qcow2.snapshot");
    running.shell(&format!("mkdir members && tar -xf {FILE} -C members"));
    running.shell(&format!("qemu-img compare -q members/{} host/images/vda.s2.qcow2", IMAGES[2].1));
    assert_eq!(running.shell(&format!("cat members/{name}.memory")), format!("memory of {UUID}\n"));
    running.shell(&format!("rm host/active/{UUID}"));
    let refused = running.run("backup create web01 --storage out --memory", 1);
    let want = "error[E0510]: the machine is off, and has no memory to keep";
    assert!(refused.stderr.starts_with(want), "{refused:?}");
}

#[test]
fn a_run_that_is_killed_leaves_the_machine_to_the_next_one_which_merges_what_it_wrote() {
    for at in [
        "before snapshot-create 2",
        "after snapshot-create 2",
        "before blockcommit 0",
        "after blockcommit 0",
        "before snapshot-delete 0",
        "after snapshot-delete 0",
    ] {
        let Some(running) = with_tree() else { return };
        running.host.set("kill", at);
        let line = "backup create web01 --storage out";
        let run = running.run(line, 0);
        assert_eq!(run.code, None, "{at}: {run:?}");
        running.host.unset("kill");
        let doctor = running.run("doctor", 0).stdout;
        assert!(doctor.contains("the snapshot relift-backup-1795287900 of"), "{at}: {doctor}");
        let overlay = "host/images/vda.relift-backup-1795287900.qcow2";
        let is_on_overlay = running.host.machines()[0].contains("relift-backup");
        if is_on_overlay {
            running.shell(&format!("qemu-io -f qcow2 -c 'write -q -P 9 512k 64k' {overlay}"));
        }
        let again = running.done(line, 1);
        let told =
            "deleted the snapshot relift-backup-1795287900, which an interrupted run had left";
        assert!(again.stdout.contains(told), "{at}: {again:?}");
        goes_on(&running, at);
        if is_on_overlay {
            let head = "host/images/vda.s2.qcow2";
            running.shell(&format!("qemu-io -f qcow2 -c 'read -q -P 9 512k 64k' {head}"));
        }
        running.done("backup verify --level deep out/web01-20261122-190500.tar", 1);
    }
}

#[test]
fn an_increment_has_the_snapshots_of_the_full_backup_and_tells_of_newer_ones() {
    let Some(running) = with_tree() else { return };
    running.done("backup create web01 --storage out --incrementable", 0);
    goes_on(&running, "full");
    running.done("snapshot create web01 --name s3", 0);
    let run = running.done("backup create web01 --storage out --mode auto --json", 1);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    let backup = &told["data"]["backups"][0];
    assert_eq!(backup["snapshots"], json!(["s1", "s2"]), "{told}");
    assert_eq!(backup["untaken"][0]["name"], "s3");
    let codes: Vec<_> = told["warnings"].as_array().unwrap().iter().map(|it| &it["code"]).collect();
    assert!(codes.contains(&&json!("W0612")), "{told}");
    running.done(&format!("backup verify --level deep {FILE}"), 1);
}
