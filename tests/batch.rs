//! Batches: planned, run, taken up again, parted among processes, reported.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, kill_process},
};
use serde_json::Value;
use testkit::{MIB, Package};

use crate::bench::{Bench, RELIFT, Run};

/// The longest that something may take to come about.
const PATIENCE: Duration = Duration::from_secs(60);

/// The journal of the batch of these tests.
const JOURNAL: &str = "b.journal.jsonl";

/// A folder `in` with these sound appliances.
fn appliances(names: &[&str]) -> Bench {
    let bench = Bench::empty();
    fs::create_dir(bench.path("in")).unwrap();
    for name in names {
        bench.write(&format!("in/{name}.ova"), &Package::small("vm", MIB).ova());
    }
    bench
}

/// A folder with two sound appliances, one that is cut off and one that is none.
fn mixed() -> Bench {
    let bench = appliances(&["web", "db"]);
    let whole = bench.read("in/web.ova");
    bench.write("in/cut.ova", &whole[..whole.len() / 2]);
    bench.write("in/none.ova", b"no appliance");
    bench
}

/// Plans what lies in `in`, with these flags besides.
fn plan(bench: &Bench, flags: &str) {
    let run = line(bench, &format!("batch plan in --to dir:out -o b.toml --net user {flags}"));
    assert_eq!(run.code, Some(0), "{run:?}");
}

/// Runs a command line without blanks in its words.
fn line(bench: &Bench, line: &str) -> Run {
    bench.run(line.split_whitespace())
}

/// The batch file.
fn file(bench: &Bench) -> toml::Table {
    String::from_utf8(bench.read("b.toml")).unwrap().parse().unwrap()
}

/// The items of the batch file by their ids.
fn items(bench: &Bench) -> BTreeMap<String, toml::Table> {
    let file = file(bench);
    let items = file["item"].as_array().unwrap().iter().map(|item| item.as_table().unwrap());
    items.map(|item| (item["id"].as_str().unwrap().to_owned(), item.clone())).collect()
}

/// Every line of a journal that is one, about items.
fn records(bench: &Bench, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(bench.path(name)).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.get("id").is_some()).collect()
}

/// The ids of the records with this state, in the order of the journal.
fn ids(records: &[Value], state: &str) -> Vec<String> {
    let of_state = records.iter().filter(|record| record["state"] == state);
    of_state.map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}

/// The last state of each item, as `batch status` tells it.
fn states(bench: &Bench) -> BTreeMap<String, String> {
    let document = line(bench, "batch status b.toml --json").json();
    let items = document["data"]["items"].as_array().unwrap();
    let text = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
    items.iter().map(|item| (text(item, "id"), text(item, "state"))).collect()
}

/// Every file below the folder of the output, with its bytes.
fn outputs(bench: &Bench) -> BTreeMap<String, Vec<u8>> {
    bench.files("out").into_iter().map(|name| (name.clone(), bench.read(&name))).collect()
}

fn as_pairs<'a>(pairs: &[(&'a str, &'a str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect()
}

mod planned {
    use super::*;

    #[test]
    fn a_folder_becomes_a_file_that_names_each_item_and_what_blocks_it() {
        let bench = mixed();
        fs::create_dir(bench.path("in/sub")).unwrap();
        bench.package("in/sub/web.ova");
        let run = line(&bench, "batch plan in --to dir:out -o b.toml --net user --compress");
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        assert!(run.stdout.starts_with("Planned 5 items, 2 of them blocked; "), "{run:?}");
        assert!(run.stdout.ends_with("Review b.toml, then:  relift batch run b.toml\n"), "{run:?}");
        let written = file(&bench);
        let target = format!("dir:{}", bench.path("out").display());
        assert_eq!(written["target"].as_str(), Some(target.as_str()));
        assert_eq!(written["choices"]["net"][0].as_str(), Some("user"));
        assert!(written["choices"].get("compress").is_some(), "{written}");
        let items = items(&bench);
        assert_eq!(items.keys().collect::<Vec<_>>(), ["cut", "db", "none", "web", "web-2"]);
        let blocked = |id: &str| items[id]["blockers"][0].as_str().unwrap();
        assert!(blocked("cut").starts_with("E0102 the tar entry "), "{}", blocked("cut"));
        assert!(blocked("none").starts_with("E0102 ") || blocked("none").starts_with("E0101 "));
        let web = &items["web"];
        assert!(web["digest"].as_str().unwrap().starts_with("sha256:"));
        assert_eq!(web["machines"][0].as_str(), Some("vm"));
        assert!(web["needed_bytes"].as_integer().unwrap() > 0, "{web}");
        let length = fs::metadata(web["source"].as_str().unwrap()).unwrap().len();
        assert_eq!(web["source_bytes"].as_integer(), i64::try_from(length).ok());
        assert!(bench.files("out").is_empty());
    }

    #[test]
    fn a_batch_file_is_replaced_only_on_request() {
        let bench = appliances(&["web"]);
        bench.write("b.toml", b"mine");
        let run = line(&bench, "batch plan in --to dir:out -o b.toml");
        assert_eq!(run.code, Some(8), "{run:?}");
        assert!(run.stderr.starts_with("error[E0509]: b.toml exists already\n"), "{run:?}");
        assert_eq!(bench.read("b.toml"), b"mine");
        plan(&bench, "--force");
        assert_eq!(items(&bench).len(), 1);
    }

    #[test]
    fn a_text_has_a_path_a_line_from_the_folder_of_the_list() {
        let bench = appliances(&["web", "db"]);
        bench.write("in/list.txt", b"# two\nweb.ova\n\nweb.ova\n");
        let run = line(&bench, "batch plan in/list.txt --to dir:out -o b.toml --json");
        assert_eq!(run.code, Some(0), "{run:?}");
        let document = run.json();
        assert_eq!(document["schema"], "relift.batch.plan/1");
        let ids = document["data"]["items"].as_array().unwrap().iter().map(|item| &item["id"]);
        assert_eq!(ids.collect::<Vec<_>>(), ["web", "web-2"]);
    }

    #[test]
    fn a_table_has_flags_for_each_row_and_they_take_effect() {
        let bench = appliances(&["web", "db"]);
        let rows = "id,source,name,net,vcpus\nfront,web.ova,Web 1,br0,4\n,db.ova,,,\n";
        bench.write("in/list.csv", rows.as_bytes());
        let run = line(&bench, "batch plan in/list.csv --to dir:out -o b.toml --net user");
        assert_eq!(run.code, Some(0), "{run:?}");
        let planned = items(&bench);
        assert_eq!(planned["front"]["networks"][0].as_str(), Some("bridge:br0"));
        assert_eq!(planned["front"]["machines"][0].as_str(), Some("Web 1"));
        assert_eq!(planned["db"]["networks"][0].as_str(), Some("user"));
        let run = line(&bench, "batch run b.toml");
        assert_eq!(run.code, Some(0), "{run:?}");
        let xml = String::from_utf8(bench.read("out/front/domain.xml")).unwrap();
        assert!(xml.contains("<name>Web 1</name>") && xml.contains("bridge=\"br0\""), "{xml}");
        assert!(xml.contains(">4</vcpu>"), "{xml}");
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused_with_its_line() {
        let bench = appliances(&["web"]);
        for (name, text, told) in [
            ("l.csv", "id,source\na,web.ova\nb,\n", "line 3 has no source"),
            ("l.csv", "id,name\na,b\n", "the first line names no column 'source'"),
            ("l.csv", "id,source\na,x.ova\na,y.ova\n", "two items of the list have the id a"),
            ("l.csv", "id,source\n../a,x.ova\n", "'../a' is no id"),
            ("l.csv", "source,nett\nx.ova,br0\n", "unknown option '--nett'\n  item      x\n"),
            ("l.txt", "# nothing\n", "there is no appliance in in/l.txt"),
        ] {
            bench.write(&format!("in/{name}"), text.as_bytes());
            let run = line(&bench, &format!("batch plan in/{name} --to dir:out -o b.toml"));
            assert_eq!(run.code, Some(2), "{text}: {run:?}");
            assert!(run.stderr.contains(told), "{told}: {run:?}");
            assert!(!bench.path("b.toml").exists());
        }
    }
}

mod carried_out {
    use super::*;

    #[test]
    fn sound_ones_are_done_and_broken_ones_stand_in_the_journal_with_code_and_fix() {
        let bench = mixed();
        plan(&bench, "");
        let run = line(&bench, "batch run b.toml --json");
        assert_eq!(run.code, Some(3), "{run:?}");
        let document = run.json();
        assert_eq!(
            (&document["schema"], &document["ok"]),
            (&"relift.batch.run/1".into(), &false.into())
        );
        assert_eq!(document["error"]["message"], "2 of 4 items failed");
        let data = &document["data"];
        assert_eq!([&data["done"], &data["failed"], &data["left"]], [2, 2, 0]);
        let told = states(&bench);
        assert_eq!(
            told,
            as_pairs(&[("cut", "failed"), ("db", "done"), ("none", "failed"), ("web", "done")])
        );
        let records = records(&bench, JOURNAL);
        let cut = records.iter().find(|it| it["id"] == "cut" && it["state"] == "failed").unwrap();
        assert_eq!(cut["code"], "E0102");
        assert!(cut["message"].as_str().unwrap().starts_with("the tar entry "), "{cut}");
        assert!(cut["fix"].as_str().unwrap().starts_with("Copy or download "), "{cut}");
        let of_web = records.iter().filter(|it| it["id"] == "web").map(|it| &it["state"]);
        let path = ["queued", "inspect", "plan", "convert", "verify", "define", "done"];
        assert_eq!(of_web.collect::<Vec<_>>(), path);
        for id in ["db", "web"] {
            let single = line(&bench, &format!("import in/{id}.ova --to dir:alone --net user"));
            assert_eq!(single.code, Some(0), "{single:?}");
            let disk = bench.read(&format!("out/{id}/vm-disk0.qcow2"));
            assert!(disk == bench.read("alone/vm-disk0.qcow2"), "{id}");
            fs::remove_dir_all(bench.path("alone")).unwrap();
        }
        assert!(!bench.files("out").iter().any(|name| name.contains("cut")));
    }

    #[test]
    fn what_is_done_is_skipped_until_its_source_or_its_plan_is_another() {
        let bench = appliances(&["web", "db"]);
        plan(&bench, "");
        assert_eq!(line(&bench, "batch run b.toml").code, Some(0));
        let again = || {
            let run = line(&bench, "batch run b.toml --json");
            assert_eq!(run.code, Some(0), "{run:?}");
            let data = run.json()["data"].take();
            (data["done"].as_u64().unwrap(), data["skipped"].as_u64().unwrap())
        };
        assert_eq!(again(), (0, 2));
        // A package that was copied anew is the same package.
        bench.write("in/web.ova", &bench.read("in/web.ova"));
        assert_eq!(again(), (0, 2));
        let text = String::from_utf8(bench.read("b.toml")).unwrap();
        let edited = format!("{text}\n[item.choices]\nname = \"other\"\n");
        bench.write("b.toml", edited.as_bytes());
        assert_eq!(again(), (1, 1));
        let xml = String::from_utf8(bench.read("out/web/domain.xml")).unwrap();
        assert!(xml.contains("<name>other</name>"), "{xml}");
        let of_web = ["domain.xml", "other-disk0.qcow2", "relift.result.json"];
        assert_eq!(bench.files("out/web"), of_web.map(|name| format!("out/web/{name}")));
        assert_eq!(again(), (0, 2));
        bench.write("in/db.ova", &Package::small("vm", 2 * MIB).ova());
        let run = line(&bench, "batch run b.toml");
        assert_eq!(run.code, Some(3), "{run:?}");
        let changed =
            format!("{} changed since the batch was planned", bench.path("in/db.ova").display());
        assert!(run.stderr.contains(&format!("failed   db  E0803  {changed}")), "{run:?}");
        plan(&bench, "--force");
        assert_eq!(again(), (2, 0));
    }

    #[test]
    fn what_is_done_and_gone_since_is_done_again_and_the_run_says_why() {
        let bench = appliances(&["web", "db"]);
        plan(&bench, "");
        assert_eq!(line(&bench, "batch run b.toml").code, Some(0));
        let whole = outputs(&bench);
        fs::remove_file(bench.path("out/db/vm-disk0.qcow2")).unwrap();
        fs::remove_dir_all(bench.path("out/web")).unwrap();
        let run = line(&bench, "batch run b.toml --dry-run");
        assert_eq!(run.stdout, "Would do 1 items, 1 are done already\n\n  web\n");
        assert_eq!(run.stderr, "again    web  its output is gone\n");
        let run = line(&bench, "batch run b.toml");
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stdout.starts_with("Done 1 · failed 0 · skipped 1 "), "{run:?}");
        assert!(run.stderr.starts_with("again    web  its output is gone\n"), "{run:?}");
        let of_web = |(name, _): &(&String, &Vec<u8>)| name.starts_with("out/web/");
        assert!(outputs(&bench).iter().filter(of_web).eq(whole.iter().filter(of_web)));
        assert!(!bench.path("out/db/vm-disk0.qcow2").exists(), "who moved a disk knows why");
    }

    #[test]
    fn a_dry_run_names_what_would_be_done_and_writes_nothing() {
        let bench = mixed();
        plan(&bench, "");
        let run = line(&bench, "batch run b.toml --dry-run");
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        let told = "Would do 4 items, 0 are done already\n\n  cut\n  db\n  none\n  web\n";
        assert_eq!(run.stdout, told);
        assert_eq!(bench.files("out"), [""; 0]);
        assert!(!bench.path(JOURNAL).exists());
    }

    #[test]
    fn a_run_ends_after_as_many_failures_as_it_may_have() {
        for (flags, failed) in
            [("--on-error stop", 1), ("--max-failures 1", 2), ("--max-failures 25%", 2)]
        {
            let bench = mixed();
            bench.write("in/also.ova", b"no appliance");
            plan(&bench, "");
            let data =
                line(&bench, &format!("batch run b.toml --json --jobs 1 {flags}")).json()["data"]
                    .take();
            assert_eq!(
                (data["failed"].as_u64(), data["left"].as_u64()),
                (Some(failed), Some(5 - failed)),
                "{flags}"
            );
            // What was not begun waits.
            assert_eq!(states(&bench)["web"], "queued");
        }
        let bench = mixed();
        plan(&bench, "");
        let run = line(&bench, "batch run b.toml --max-failures many");
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(
            run.stderr.contains("--max-failures 'many' is neither a number nor a share"),
            "{run:?}"
        );
    }

    #[test]
    fn items_are_done_in_the_order_that_was_asked_for() {
        for (order, want) in [
            ("size", ["small", "a-large", "z-larger"]),
            ("name", ["a-large", "small", "z-larger"]),
            ("file", ["z-larger", "small", "a-large"]),
        ] {
            let bench = appliances(&["small"]);
            bench.write("in/a-large.ova", &Package::small("vm", 2 * MIB).ova());
            bench.write("in/z-larger.ova", &Package::small("vm", 3 * MIB).ova());
            bench.write("in/list.txt", b"z-larger.ova\nsmall.ova\na-large.ova\n");
            let planned = line(&bench, "batch plan in/list.txt --to dir:out -o b.toml --net user");
            assert_eq!(planned.code, Some(0), "{planned:?}");
            let run = line(&bench, &format!("batch run b.toml --jobs 1 --order {order}"));
            assert_eq!(run.code, Some(0), "{run:?}");
            assert_eq!(ids(&records(&bench, JOURNAL), "done"), want, "{order}");
        }
    }

    #[test]
    fn each_state_of_each_item_is_an_event() {
        let bench = appliances(&["web"]);
        plan(&bench, "");
        let run = line(&bench, "batch run b.toml --events -");
        assert_eq!(run.code, Some(0), "{run:?}");
        let events: Vec<Value> =
            run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of_web = events.iter().filter(|event| event["item"] == "web");
        let phases: Vec<&Value> = of_web.map(|event| &event["phase"]).collect();
        assert_eq!(phases, ["queued", "inspect", "plan", "convert", "verify", "define", "done"]);
        assert_eq!(events[0]["verb"], "batch.run");
        let of_all = events.iter().find(|event| event["phase"] == "batch").unwrap();
        let length = fs::metadata(bench.path("in/web.ova")).unwrap().len();
        assert_eq!(of_all["total_bytes"].as_u64(), Some(length));
        assert_eq!(events.last().unwrap()["event"], "result");
    }
}

mod afterwards {
    use super::*;

    #[test]
    fn failed_items_are_tried_again_and_named_ones_whatever_became_of_them() {
        let bench = mixed();
        plan(&bench, "");
        assert_eq!(line(&bench, "batch run b.toml").code, Some(3));
        let whole = bench.read("in/web.ova");
        bench.write("in/cut.ova", &whole);
        let run = line(&bench, "batch retry b.toml --failed");
        assert_eq!(run.code, Some(3), "{run:?}");
        assert!(
            run.stdout.starts_with("Done 1 · failed 1 · skipped 0 · left 0 · wrote "),
            "{run:?}"
        );
        assert_eq!(states(&bench)["cut"], "done");
        let run = line(&bench, "batch retry b.toml --id web --id db");
        assert_eq!(run.code, Some(0), "{run:?}");
        let records = records(&bench, JOURNAL);
        let mut done = ids(&records, "done");
        done.sort();
        assert_eq!(done, ["cut", "db", "db", "web", "web"]);
        let run = line(&bench, "batch retry b.toml --id wbe");
        assert_eq!(run.code, Some(13), "{run:?}");
        assert_eq!(run.stderr, "error: b.toml has no item 'wbe'\n");
    }

    #[test]
    fn the_status_tells_each_item_and_how_many_there_are_of_each() {
        let bench = mixed();
        plan(&bench, "");
        let run = line(&bench, "batch status b.toml");
        assert!(run.stdout.starts_with("4 items · 0 done · 0 failed · 4 to do\n"), "{run:?}");
        line(&bench, "batch run b.toml");
        let run = line(&bench, "batch status b.toml");
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stdout.starts_with("4 items · 2 done · 2 failed · 0 to do\n"), "{run:?}");
        assert!(run.stdout.contains("failed   cut    E0102   the tar entry "), "{run:?}");
    }

    #[test]
    fn the_report_has_four_forms_and_each_names_what_failed_with_code_and_fix() {
        let bench = mixed();
        plan(&bench, "");
        line(&bench, "batch run b.toml");
        for (format, start) in
            [("md", "# "), ("html", "<!DOCTYPE html>"), ("csv", "id,"), ("json", "{")]
        {
            let run = line(&bench, &format!("batch report b.toml --format {format}"));
            assert_eq!(run.code, Some(0), "{run:?}");
            assert!(run.stdout.to_lowercase().starts_with(&start.to_lowercase()), "{run:?}");
            for word in ["cut", "E0102", "the tar entry", "Copy or download the package again"] {
                assert!(run.stdout.contains(word), "{format}: {word}: {run:?}");
            }
            let to_file = line(&bench, &format!("batch report b.toml --format {format} -o r"));
            assert_eq!(to_file.stdout, "Wrote r\n");
            assert!(!bench.read("r").is_empty());
        }
        let document = |flag: &str| {
            let mut document = line(&bench, &format!("batch report b.toml {flag}")).json();
            assert!(document["data"]["reported"].take().is_string(), "{document}");
            document
        };
        let whole = document("--json");
        assert_eq!(whole["schema"], "relift.batch.report/1");
        assert_eq!(document("--format json"), whole);
        let run = line(&bench, "batch report b.toml --format pdf");
        assert_eq!(run.code, Some(2), "{run:?}");
    }
}

mod parted {
    use super::*;

    const NAMES: [&str; 6] = ["web-01", "web-02", "db-01", "demo", "mail", "files"];

    #[test]
    fn shards_make_journals_of_their_own_which_merge_to_what_a_single_run_says() {
        let single = appliances(&NAMES);
        let bench = appliances(&NAMES);
        for bench in [&single, &bench] {
            bench.write("in/none.ova", b"no appliance");
            plan(bench, "");
        }
        assert_eq!(line(&single, "batch run b.toml").code, Some(3));
        let mut all = Vec::new();
        for index in 0..3 {
            let run = line(&bench, &format!("batch run b.toml --shard {index}/3"));
            assert!(matches!(run.code, Some(0 | 3)), "{run:?}");
            let name = format!("b.journal.{index}-of-3.jsonl");
            all.extend(ids(&records(&bench, &name), "queued"));
        }
        all.sort();
        assert_eq!(all, ["db-01", "demo", "files", "mail", "none", "web-01", "web-02"]);
        assert!(!bench.path(JOURNAL).exists());
        assert_eq!(states(&bench), states(&single));
        let run = line(&bench, "batch merge b.toml");
        assert_eq!(run.code, Some(0), "{run:?}");
        let count = records(&bench, JOURNAL).len();
        let told = format!("Merged 3 journals into b.journal.jsonl: {count} records are new\n");
        assert_eq!(run.stdout, told);
        let again = line(&bench, "batch merge b.toml").stdout;
        assert_eq!(again, "Merged 3 journals into b.journal.jsonl: 0 records are new\n");
        for index in 0..3 {
            fs::remove_file(bench.path(&format!("b.journal.{index}-of-3.jsonl"))).unwrap();
        }
        assert_eq!(states(&bench), states(&single));
        let (of_shards, of_one) = (outputs(&bench), outputs(&single));
        assert_eq!(of_shards.keys().collect::<Vec<_>>(), of_one.keys().collect::<Vec<_>>());
        for (name, bytes) in of_one.iter().filter(|(name, _)| name.ends_with(".qcow2")) {
            assert!(of_shards[name] == *bytes, "{name}");
        }
    }

    #[test]
    fn the_shard_is_found_where_schedulers_put_its_number() {
        let bench = appliances(&NAMES);
        plan(&bench, "");
        let todo = |words: &str, variables: &[(&str, &str)]| {
            let mut command = bench.command(RELIFT);
            command.args(["batch", "run", "b.toml", "--dry-run", "--json"]);
            command.args(words.split_whitespace()).envs(variables.iter().copied());
            let run = Run::of(&command.output().unwrap());
            (run.code, run.json()["data"]["items"].clone(), run.stderr)
        };
        let (_, second, _) = todo("--shard 1/3", &[]);
        assert!(!second.as_array().unwrap().is_empty());
        let kubernetes = [("JOB_COMPLETION_INDEX", "1")];
        assert_eq!(todo("--shard kubernetes/3", &kubernetes).1, second);
        assert_eq!(todo("", &[("RELIFT_SHARD", "1/3")]).1, second);
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "5"),
            ("SLURM_ARRAY_TASK_MIN", "4"),
            ("SLURM_ARRAY_TASK_COUNT", "3"),
        ];
        assert_eq!(todo("--shard slurm", &slurm).1, second);
        let (code, _, stderr) = todo("--shard kubernetes/3", &[]);
        assert_eq!(code, Some(2));
        assert!(stderr.contains("needs the variable JOB_COMPLETION_INDEX"), "{stderr}");
        assert_eq!(todo("--shard 3/3", &[]).0, Some(2));
    }

    #[test]
    fn a_journal_from_elsewhere_is_merged_by_its_name() {
        let bench = appliances(&["web"]);
        plan(&bench, "");
        let run = line(&bench, "batch run b.toml --journal elsewhere.jsonl");
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(states(&bench)["web"], "queued");
        let run = line(&bench, "batch merge b.toml elsewhere.jsonl");
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(states(&bench)["web"], "done");
        let run = line(&bench, "batch merge b.toml absent.jsonl");
        assert_eq!(run.code, Some(8), "{run:?}");
        let told = "error[E0508]: cannot read the journal absent.jsonl\n";
        assert!(run.stderr.starts_with(told), "{run:?}");
    }
}

mod cut_off {
    use super::*;

    const NAMES: [&str; 4] = ["a", "b", "c", "d"];

    /// What the outputs of these appliances are when nobody disturbs the run; the folders of both have
    /// to be called the same, since their files name them.
    fn undisturbed(bench: &Bench) -> BTreeMap<String, Vec<u8>> {
        let run = line(bench, "batch run b.toml --journal other.jsonl");
        assert_eq!(run.code, Some(0), "{run:?}");
        let whole = outputs(bench);
        fs::remove_dir_all(bench.path("out")).unwrap();
        fs::remove_file(bench.path("other.jsonl")).unwrap();
        whole
    }

    fn runner(bench: &Bench, flags: &[&str]) -> Child {
        let mut command: Command = bench.command(RELIFT);
        command.args(["batch", "run", "b.toml"]).args(flags);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until something is so, or the run has ended; says whether it is so.
    fn comes_about(child: &mut Child, is_so: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "it does not come about");
            if child.try_wait().unwrap().is_some() {
                return is_so();
            }
            std::thread::yield_now();
        }
        true
    }

    /// How many processes work for this one.
    fn workers_of(pid: u32) -> usize {
        let mark = format!("RELIFT_WORKER_OF={pid}");
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let environments =
            processes.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
        environments
            .filter(|all| all.split(|byte| *byte == 0).any(|one| one == mark.as_bytes()))
            .count()
    }

    /// Every item is done once in the journal, unless it says that it was begun again since.
    fn is_done_once(bench: &Bench, at: &str) {
        let done = ids(&records(bench, JOURNAL), "done");
        for name in NAMES {
            let times = done.iter().filter(|id| *id == name).count();
            assert_eq!(times, 1, "{at}: {name} was done {times} times");
        }
    }

    #[test]
    fn a_run_that_is_killed_at_any_state_is_taken_up_again_and_ends_in_the_same_files() {
        let bench = appliances(&NAMES);
        plan(&bench, "");
        let whole = undisturbed(&bench);
        let (mut killed, mut workers) = (0, 0);
        for states in 1..=40 {
            let mut child = runner(&bench, &["--jobs", "2"]);
            let is_far = comes_about(&mut child, || records(&bench, JOURNAL).len() >= states);
            let pid = child.id();
            workers += workers_of(pid);
            child.kill().unwrap();
            let run = child.wait_with_output().unwrap();
            killed += usize::from(run.status.code().is_none());
            let begun = Instant::now();
            while workers_of(pid) > 0 {
                assert!(begun.elapsed() < PATIENCE, "workers outlive the run");
            }
            let before = outputs(&bench);
            for (name, bytes) in before.iter().filter(|(name, _)| !name.contains(".partial-")) {
                assert!(whole.get(name) == Some(bytes), "state {states}: {name} is not whole");
            }
            let run = line(&bench, "batch run b.toml");
            assert_eq!(run.code, Some(0), "state {states}: {run:?}");
            assert!(outputs(&bench) == whole, "state {states}: {:?}", bench.files("out"));
            is_done_once(&bench, &format!("state {states}"));
            if bench.path("out").exists() {
                fs::remove_dir_all(bench.path("out")).unwrap();
            }
            fs::remove_file(bench.path(JOURNAL)).unwrap();
            if !is_far {
                break;
            }
        }
        assert!(killed > 15, "only {killed} runs were killed");
        assert!(workers > 0, "no run was killed while a worker ran");
    }

    #[test]
    fn a_run_that_is_stopped_leaves_nothing_unfinished_and_no_item_is_at_fault() {
        for (signal, exit) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let bench = appliances(&NAMES);
            plan(&bench, "");
            let whole = undisturbed(&bench);
            let mut child = runner(&bench, &["--jobs", "1"]);
            let is_begun =
                || records(&bench, JOURNAL).iter().any(|record| record["state"] == "convert");
            assert!(comes_about(&mut child, is_begun));
            kill_process(Pid::from_child(&child), signal).unwrap();
            let run = Run::of(&child.wait_with_output().unwrap());
            assert_eq!(run.code, Some(exit), "{run:?}");
            assert!(run.stderr.ends_with("error: stopped on request\n"), "{run:?}");
            assert!(!bench.files("out").iter().any(|name| name.contains(".partial-")));
            let states = states(&bench);
            assert!(states.values().all(|state| state != "failed"), "{states:?}");
            assert_eq!(states["d"], "queued");
            let run = line(&bench, "batch run b.toml");
            assert_eq!(run.code, Some(0), "{run:?}");
            assert!(outputs(&bench) == whole);
            is_done_once(&bench, "stopped");
        }
    }

    #[test]
    fn two_runs_do_not_share_a_journal_and_the_second_names_the_first() {
        let bench = appliances(&["a"]);
        plan(&bench, "");
        let owner = r#"{"t":"2026-11-21T10:00:00.000Z","batch":"b","run":"vh1, process 7"}"#;
        bench.write(JOURNAL, format!("{owner}\n").as_bytes());
        let journal = File::open(bench.path(JOURNAL)).unwrap();
        flock(&journal, FlockOperation::LockExclusive).unwrap();
        for verb in ["run", "retry --id a", "merge"] {
            let (verb, flags) = verb.split_once(' ').unwrap_or((verb, ""));
            let run = line(&bench, &format!("batch {verb} b.toml {flags}"));
            assert_eq!(run.code, Some(11), "{verb}: {run:?}");
            let told = "error[E0602]: the journal b.journal.jsonl is in use by vh1, process 7, \
                        since 2026-11-21T10:00:00.000Z\n";
            assert!(run.stderr.starts_with(told), "{verb}: {run:?}");
        }
        let run = line(&bench, "batch status b.toml");
        assert_eq!(run.code, Some(0), "who only reads needs no lock: {run:?}");
        drop(journal);
        assert_eq!(line(&bench, "batch run b.toml").code, Some(0));
    }

    #[test]
    fn two_runs_do_not_do_one_item_whatever_journals_they_have() {
        let bench = appliances(&["a", "b", "c", "d"]);
        plan(&bench, "");
        let owner = r#"{"t":"2026-11-21T10:00:00.000Z","batch":"b","run":"vh2, process 9"}"#;
        let all = ["run", "run --shard 0/2", "run --shard 1/4", "run --journal x.jsonl", "retry"];
        for (held, refused) in [
            (JOURNAL, all.as_slice()),
            ("b.journal.0-of-2.jsonl", &["run", "run --shard 2/4", "run --shard 0/3", "retry"]),
        ] {
            bench.write(held, format!("{owner}\n").as_bytes());
            let journal = File::open(bench.path(held)).unwrap();
            flock(&journal, FlockOperation::LockExclusive).unwrap();
            for words in refused {
                let run = line(&bench, &format!("batch {words} b.toml"));
                assert_eq!(run.code, Some(11), "{words}: {run:?}");
                let told = format!(
                    "error[E0602]: the journal {held} is in use by vh2, process 9, \
                     since 2026-11-21T10:00:00.000Z\n"
                );
                assert!(run.stderr.starts_with(&told), "{words}: {run:?}");
            }
            assert_eq!(bench.files("out"), [""; 0]);
        }
        // Another part of the same two, and a part of that one.
        let journal = File::open(bench.path("b.journal.0-of-2.jsonl")).unwrap();
        flock(&journal, FlockOperation::LockExclusive).unwrap();
        for words in ["run --shard 1/2", "run --shard 3/4"] {
            let run = line(&bench, &format!("batch {words} b.toml"));
            assert_eq!(run.code, Some(0), "{words}: {run:?}");
        }
    }

    #[test]
    fn a_run_that_cannot_keep_others_off_says_so() {
        let bench = appliances(&["a"]);
        plan(&bench, "");
        std::os::unix::fs::symlink("absent/journal", bench.path(JOURNAL)).unwrap();
        let run = line(&bench, "batch run b.toml --journal x.jsonl");
        assert_eq!(run.code, Some(0), "{run:?}");
        let told = "other runs of this batch are not kept from its items: \
                    cannot open the journal b.journal.jsonl\n";
        assert!(run.stderr.starts_with(told), "{run:?}");
    }

    #[test]
    fn a_journal_that_ends_in_the_middle_of_a_line_is_gone_on_with() {
        let bench = appliances(&["a", "b"]);
        plan(&bench, "");
        assert_eq!(line(&bench, "batch run b.toml --jobs 1").code, Some(0));
        let whole = bench.read(JOURNAL);
        bench.write(JOURNAL, &whole[..whole.len() - 20]);
        let run = line(&bench, "batch status b.toml");
        assert!(run.stdout.starts_with("2 items · 1 done · 0 failed · 1 to do\n"), "{run:?}");
        assert!(run.stdout.contains("begun and not ended"), "{run:?}");
        let run = line(&bench, "batch run b.toml");
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stdout.starts_with("Done 1 · failed 0 · skipped 1 "), "{run:?}");
        assert_eq!(states(&bench), as_pairs(&[("a", "done"), ("b", "done")]));
    }
}
