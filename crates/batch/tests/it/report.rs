//! The four forms of a report over one small batch, with names that nobody means well with.

use batch::{Batch, Format, History, Line, Record, Report, State};

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

fn record(t: &str, id: &str, state: State) -> Record {
    Record {
        t: format!("2026-11-21T{t}Z"),
        batch: "weekend".into(),
        id: id.into(),
        state,
        attempt: 1,
        code: None,
        bytes: None,
        source: None,
        stamp: None,
        plan: None,
        message: None,
        fix: None,
        warnings: Vec::new(),
        files: Vec::new(),
    }
}

fn failed(t: &str, id: &str, code: &str, message: &str) -> Record {
    let (code, message) = (Some(code.into()), Some(message.into()));
    Record { code, message, ..record(t, id, State::Failed) }
}

fn report() -> Report {
    let batch = Batch::parse(BATCH).expect("the batch of this test is one");
    let done = Record {
        bytes: Some(5 << 20),
        warnings: vec!["W0102".into(), "W9999".into()],
        files: vec!["/srv/vm/web-01/web-01-disk0.qcow2".into()],
        ..record("22:01:00.500", "web-01", State::Done)
    };
    let odd = Record {
        fix: Some("+ask\n<a href='//x.y'>Ann</a>".into()),
        attempt: 2,
        ..failed(
            "22:03:00",
            "odd-01",
            "E0305|<i>",
            "@item 7\nof ![x](http://x.y) is \u{202e}required",
        )
    };
    let records = [
        record("22:00:00", "web-01", State::Inspect),
        record("22:00:10", "web-01", State::Convert),
        done,
        record("22:00:30", "cut-01", State::Convert),
        failed("22:00:45", "cut-01", "E0102", "the tar entry ends too early"),
        Record { attempt: 2, ..record("22:02:00", "odd-01", State::Plan) },
        odd,
        failed("22:02:30", "cut-02", "E0102", "the tar entry ends too early"),
        record("22:02:40", "db-01", State::Convert),
        record("22:00:00", "db-02", State::Queued),
    ];
    let lines = records.into_iter().map(|record| Line::Item(Box::new(record))).collect();
    Report::of(&batch, &History::of([lines]), "2026-11-21T22:04:00Z")
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
    let lines = (0..300).flat_map(|n| {
        let (id, minute) = (format!("vm-{n}"), n / 60);
        let second = n % 60;
        [(State::Convert, 1), (State::Done, 2)].map(|(state, hour)| {
            Line::Item(Box::new(record(&format!("0{hour}:0{minute}:{second:02}"), &id, state)))
        })
    });
    let report = Report::of(&batch, &History::of([lines.collect()]), "now");
    let page = report.render(Format::Html);
    assert_eq!(page.matches("<rect ").count(), 300);
    assert!(page.contains("viewBox=\"0 0 1000 1526\""));
}
