//! The report as Markdown: for a tracker, a wiki or a mail.

use std::fmt::Write as _;

use super::{
    Entry, Group, Report, Standing,
    escape::{markdown as text, markdown_code as code},
    quantity,
};

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _written = write(&mut out, report);
    out
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "# Batch {}\n", text(&report.batch))?;
    head(out, report)?;
    if !report.failures.is_empty() {
        writeln!(out, "\n## Failures by code\n")?;
        writeln!(out, "| code | meaning | items | what usually helps |\n|---|---|---:|---|")?;
        for group in &report.failures {
            failure(out, group)?;
        }
        writeln!(out, "\n## Failed items")?;
        for item in report.standing(Standing::Failed) {
            failed(out, item)?;
        }
    }
    writeln!(out, "\n## All items\n")?;
    writeln!(out, "| item | package | state | code | warnings | written | time |")?;
    writeln!(out, "|---|---|---|---|---|---:|---:|")?;
    for item in Standing::ALL.into_iter().flat_map(|state| report.standing(state)) {
        row(out, item)?;
    }
    Ok(())
}

fn head(out: &mut String, report: &Report) -> std::fmt::Result {
    let totals = &report.totals;
    writeln!(out, "Target {}, reported {}.\n", code(&report.target), text(&report.reported))?;
    writeln!(out, "| items | done | failed | interrupted | queued | written | time |")?;
    writeln!(out, "|---:|---:|---:|---:|---:|---:|---:|")?;
    writeln!(
        out,
        "| {} | {} | {} | {} | {} | {} | {} |",
        totals.items,
        totals.done,
        totals.failed,
        totals.interrupted,
        totals.queued,
        quantity::bytes(totals.written_bytes),
        totals.duration_ms.map_or_else(|| "—".to_owned(), quantity::duration),
    )?;
    if totals.interrupted + totals.queued > 0 {
        writeln!(out, "\nNot all items have ended; `relift batch run BATCH.toml` goes on.")?;
    }
    Ok(())
}

fn failure(out: &mut String, group: &Group) -> std::fmt::Result {
    let of = |value: &Option<String>| value.as_deref().map_or_else(|| "—".to_owned(), text);
    writeln!(
        out,
        "| {} | {} | {} | {} |",
        of(&group.code),
        of(&group.title),
        group.count,
        of(&group.fix)
    )
}

fn failed(out: &mut String, item: &Entry) -> std::fmt::Result {
    writeln!(out, "\n### {}\n", text(&item.id))?;
    writeln!(out, "- package: {}", code(&item.source))?;
    let title =
        item.title.as_deref().map_or_else(String::new, |title| format!(", {}", text(title)));
    if let Some(told) = &item.code {
        writeln!(out, "- code: {}{title}", text(told))?;
    }
    for (name, value) in [("error", &item.message), ("cause", &item.cause), ("fix", &item.fix)] {
        if let Some(value) = value {
            writeln!(out, "- {name}: {}", text(value))?;
        }
    }
    for blocker in &item.plan_blockers {
        writeln!(out, "- blocker of the plan: {}", text(blocker))?;
    }
    for command in item.commands() {
        writeln!(out, "- next: {}", code(&command))?;
    }
    Ok(())
}

fn row(out: &mut String, item: &Entry) -> std::fmt::Result {
    let warnings: Vec<_> = item.warnings.iter().map(|finding| text(&finding.code)).collect();
    writeln!(
        out,
        "| {} | {} | {} | {} | {} | {} | {} |",
        text(&item.id),
        code(&item.source),
        item.state.as_str(),
        item.code.as_deref().map_or_else(String::new, text),
        warnings.join(" "),
        item.written_bytes.map_or_else(String::new, quantity::bytes),
        item.duration_ms.map_or_else(String::new, quantity::duration),
    )
}
