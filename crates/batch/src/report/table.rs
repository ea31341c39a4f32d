//! The report as CSV: a line an item, in the order of the batch file.

use super::{Entry, Report, escape};

/// The names of the columns.
const NAMES: [&str; 17] = [
    "id",
    "source",
    "state",
    "phase",
    "attempt",
    "code",
    "title",
    "message",
    "cause",
    "fix",
    "warnings",
    "source_bytes",
    "written_bytes",
    "began",
    "ended",
    "duration_ms",
    "files",
];

pub(super) fn render(report: &Report) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Rows of one length into memory: nothing of this fails.
    let _written = writer.write_record(NAMES);
    for item in &report.items {
        let _written = writer.write_record(row(item).map(|text| escape::cell(&text)));
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// The cells of an item; what is unknown is empty, several values are parted by `;`.
fn row(item: &Entry) -> [String; NAMES.len()] {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let several = |values: Vec<String>| values.join(";");
    [
        item.id.clone(),
        item.source.clone(),
        item.state.as_str().to_owned(),
        item.phase.map_or("", |phase| phase.as_str()).to_owned(),
        number(item.attempt.map(u64::from)),
        text(&item.code),
        text(&item.title),
        escape::one_line(&text(&item.message)),
        text(&item.cause),
        escape::one_line(&text(&item.fix)),
        several(item.warnings.iter().map(|finding| finding.code.clone()).collect()),
        item.source_bytes.to_string(),
        number(item.written_bytes),
        text(&item.began),
        text(&item.ended),
        number(item.duration_ms),
        several(item.files.clone()),
    ]
}
