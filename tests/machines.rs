//! Programs that read what the program prints: JSON, events, pipes.

use std::process::Stdio;

use serde_json::Value;

use crate::bench::Bench;

#[test]
fn a_package_on_a_pipe_gives_the_same_result_as_the_file() {
    let bench = Bench::new();
    let mut results = Vec::new();
    for line in [
        "relift convert fixtures/demo.ova -o out",
        "cat fixtures/demo.ova | relift convert - -o out",
    ] {
        let run = bench.shell(line);
        assert_eq!(run.code, Some(0), "{run:?}");
        let files = bench.files("out");
        let names = ["demo-disk0.qcow2", "demo-ovf-env.iso", "domain.xml", "relift.result.json"];
        assert_eq!(files, names.map(|name| format!("out/{name}")));
        let mut result: Value = serde_json::from_slice(&bench.read(&files[3])).unwrap();
        // A pipe has no name.
        result["source"]["path"] = Value::Null;
        let read = |at: usize| bench.read(&files[at]);
        results.push((read(0), read(1), read(2), result));
        std::fs::rename(bench.path("out"), bench.path(&format!("done{}", results.len()))).unwrap();
    }
    assert!(results[0] == results[1], "{:?}", (&results[0].3, &results[1].3));
}

#[test]
fn a_run_is_the_same_each_time() {
    let bench = Bench::new();
    for verb in ["inspect", "plan", "verify"] {
        let run = || bench.run([verb, "--json", "fixtures/demo.ova"]);
        let (one, two) = (run(), run());
        let mut documents = [one.json(), two.json()];
        for document in &mut documents {
            // Other programs use the same disk.
            if let Some(space) = document["data"].get_mut("space") {
                space["free_bytes"] = Value::Null;
            }
        }
        assert_eq!(documents[0], documents[1], "{verb}");
        assert_eq!(documents[0]["schema"], format!("relift.{verb}/1"));
        assert_eq!(documents[0]["ok"], true);
    }
}

#[test]
fn a_failure_is_a_document_too_and_the_exit_code_agrees() {
    let bench = Bench::new();
    bench.write("none.ova", b"no tar at all");
    for (words, schema, code, exit) in [
        (vec!["inspect", "none.ova"], "relift.inspect/1", Some("E0101"), 4),
        (vec!["verify", "absent.ova"], "relift.verify/1", Some("E0508"), 8),
        (vec!["disk", "info", "absent.vmdk"], "relift.disk.info/1", Some("E0508"), 8),
        (vec!["plan", "fixtures/demo.ova", "--strict"], "relift.plan/1", Some("E0801"), 6),
        (vec!["convert", "fixtures/demo.ova", "-o", "a.ova"], "relift.convert/1", None, 2),
        (vec!["improt"], "relift.usage/1", None, 2),
    ] {
        let run = bench.run(words.iter().chain(&["--json"]));
        let document = run.json();
        assert_eq!(run.code, Some(exit), "{run:?}");
        assert_eq!((&document["schema"], &document["ok"]), (&schema.into(), &false.into()));
        assert_eq!(document["error"]["code"], Value::from(code), "{run:?}");
        assert_eq!(document["error"]["severity"], "error");
        assert!(document["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
        assert!(run.stderr.starts_with("error"), "{run:?}");
    }
}

#[test]
fn events_begin_with_the_start_and_end_with_the_result() {
    let bench = Bench::new();
    let line = "relift convert fixtures/demo.ova -o out --events fd:3 3>events";
    assert_eq!(bench.shell(line).code, Some(0));
    let text = String::from_utf8(bench.read("events")).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&events[0]["event"], &events[0]["verb"]), (&"start".into(), &"convert".into()));
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["exit"]), (&"result".into(), &0.into()));
    for name in ["phase", "warning", "item"] {
        assert!(events.iter().any(|event| event["event"] == name), "no {name} in {text}");
    }
    for event in &events {
        let time = event["t"].as_str().unwrap();
        assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    }
}

#[test]
fn events_on_stdout_are_alone_there() {
    let bench = Bench::new();
    let run = bench.run(["inspect", "absent.ova", "--events", "-"]);
    let last: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["exit"]), (&"error".into(), &8.into()));
    assert_eq!(last["error"]["code"], "E0508");
    let run = bench.run(["inspect", "fixtures/demo.ova", "--events", "-"]);
    assert!(run.stdout.lines().all(|line| line.starts_with('{')), "{}", run.stdout);
    assert!(run.stderr.contains("Demo appliance"), "{}", run.stderr);
    let run = bench.run(["inspect", "fixtures/demo.ova", "--events", "-", "--json"]);
    assert_eq!(run.code, Some(2), "{run:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let bench = Bench::new();
    for words in [vec!["explain"], vec!["disk", "convert", "disk.vmdk", "-O", "raw", "-o", "-"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = bench.command(crate::bench::RELIFT);
        let status = command.args(&words).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(status.status.code(), Some(0), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&status.stderr), "", "{words:?}");
    }
}

#[test]
fn a_full_disk_behind_stdout_is_a_failure() {
    let bench = Bench::empty();
    let run = bench.shell("relift explain > /dev/full");
    assert_eq!(run.code, Some(8), "{run:?}");
    assert!(run.stderr.starts_with("error[E0508]: cannot write to standard output"), "{run:?}");
}

#[test]
fn quiet_leaves_errors_only() {
    let bench = Bench::new();
    let run = bench.run(["-q", "convert", "fixtures/demo.ova", "-o", "out"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let run = bench.run(["-q", "convert", "fixtures/demo.ova", "-o", "out"]);
    assert_eq!(run.code, Some(8));
    assert!(run.stderr.starts_with("error[E0509]: "), "{run:?}");
}
