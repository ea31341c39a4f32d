//! The four forms of a report over one small batch, with names that nobody means well with.

use batch::{Batch, Format, History, Line, Report};

const BATCH: &str = r#"
schema = 1
name = "week<end> | *one*"
target = "dir:/srv/vm"

[[item]]
id = "web-01"
source = "/in/web-01.ova"
source_bytes = 1048576
warnings = ["W0102 nic 0: network card model changed"]

[[item]]
id = "cut-01"
source = "/in/<script>alert(1)</script>|`x`.ova"
source_bytes = 40000

[[item]]
id = "odd-01"
source = "=HYPERLINK(\"http://x.y\")\u202egpj.ova"
source_bytes = 5
blockers = ["E0305 item 7: \u001b[2J<b>required</b>"]

[[item]]
id = "cut-02"
source = "/in/cut-02.ova"
source_bytes = 700

[[item]]
id = "db-01"
source = "/in/db-01.ova"
source_bytes = 3000000000

[[item]]
id = "db-02"
source = "/in/db-02.ova"
source_bytes = 2000000000
"#;

const JOURNAL: &str = r#"
{"t":"2026-11-21T21:59:00Z","batch":"weekend","run":"vh1, process 7"}
{"t":"2026-11-21T22:00:00Z","batch":"weekend","id":"web-01","state":"inspect","attempt":1}
{"t":"2026-11-21T22:00:00Z","batch":"weekend","id":"db-02","state":"queued","attempt":1}
{"t":"2026-11-21T22:00:10Z","batch":"weekend","id":"web-01","state":"convert","attempt":1}
{"t":"2026-11-21T22:00:30Z","batch":"weekend","id":"cut-01","state":"convert","attempt":1}
{"t":"2026-11-21T22:00:45Z","batch":"weekend","id":"cut-01","state":"failed","attempt":1,"code":"E0102","message":"the tar entry ends too early"}
{"t":"2026-11-21T22:01:00.500Z","batch":"weekend","id":"web-01","state":"done","attempt":1,"bytes":5242880,"warnings":["W0102","W9999"],"files":["/srv/vm/web-01/web-01-disk0.qcow2"]}
{"t":"2026-11-21T22:02:00Z","batch":"weekend","id":"odd-01","state":"plan","attempt":2}
{"t":"2026-11-21T22:02:30Z","batch":"weekend","id":"cut-02","state":"failed","attempt":1,"code":"E0102","message":"the tar entry ends too early"}
{"t":"2026-11-21T22:02:40Z","batch":"weekend","id":"db-01","state":"convert","attempt":1}
{"t":"2026-11-21T22:03:00Z","batch":"weekend","id":"odd-01","state":"failed","attempt":2,"code":"E0305|<i>","message":"@item 7\nof ![x](http://x.y) is \u202erequired","fix":"+ask\n<a href='//x.y'>Ann</a>"}
"#;

fn lines(journal: &str) -> Vec<Line> {
    let lines = journal.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).expect("a line of a journal")).collect()
}

fn report() -> Report {
    let batch = Batch::parse(BATCH).expect("the batch of this test is one");
    Report::of(&batch, &History::of([lines(JOURNAL)]), "2026-11-21T22:04:00Z")
}

#[test]
fn markdown() {
    insta::assert_snapshot!(report().render(Format::Markdown));
}

#[test]
fn html() {
    insta::assert_snapshot!(report().render(Format::Html));
}

#[test]
fn csv() {
    insta::assert_snapshot!(report().render(Format::Csv));
}

#[test]
fn json() {
    insta::assert_snapshot!(report().render(Format::Json));
}

#[test]
fn no_form_has_a_character_that_moves_a_cursor_or_turns_a_line_round() {
    for format in [Format::Markdown, Format::Html, Format::Csv, Format::Json] {
        let text = report().render(format);
        let hostile = text.chars().find(|one| matches!(one, '\u{1b}' | '\u{202e}'));
        assert_eq!(hostile, None, "{format:?}");
    }
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    let page = report().render(Format::Html);
    for forbidden in
        ["<script", "<link", "<img", "<iframe", " src=\"", " href=\"", "url(", "@import", "<i>"]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn a_page_of_three_hundred_items_has_a_thin_bar_for_each() {
    let items = (0..300).map(|n| format!("[[item]]\nid = \"vm-{n}\"\nsource = \"/in/{n}.ova\"\n"));
    let head = "schema = 1\nname = \"b\"\ntarget = \"dir:o\"\n".to_owned();
    let batch = Batch::parse(&(head + &items.collect::<String>())).unwrap();
    let journal = (0..300).flat_map(|n| {
        [("convert", 1), ("done", 2)].map(|(state, hour)| {
            let t = format!("2026-11-21T0{hour}:0{}:{:02}Z", n / 60, n % 60);
            format!(r#"{{"t":"{t}","batch":"b","id":"vm-{n}","state":"{state}","attempt":1}}"#)
                + "\n"
        })
    });
    let history = History::of([lines(&journal.collect::<String>())]);
    let report = Report::of(&batch, &history, "now");
    let page = report.render(Format::Html);
    assert_eq!(page.matches("<rect ").count(), 300);
    assert!(page.contains("viewBox=\"0 0 1000 1526\""));
}
