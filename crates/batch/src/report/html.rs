//! The report as one page of HTML that needs no other file, no script and no network.

use super::{Entry, Group, Report, Standing, Totals, markup::Markup, quantity, timeline};

/// What stands before the title: the page may load nothing and run nothing.
const HEAD: &str = concat!(
    "<meta charset=\"utf-8\">\n",
    "<meta http-equiv=\"Content-Security-Policy\" ",
    "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<style>\n",
    include_str!("style.css"),
    "</style>\n",
);

pub(super) fn render(report: &Report) -> String {
    let mut page = Markup::default();
    page.own("<!DOCTYPE html>\n");
    page.element("html", &[("lang", "en")], |page| {
        page.line();
        page.element("head", &[], |page| {
            page.own(HEAD);
            page.leaf("title", &[], &format!("Batch {}", report.batch));
        });
        page.line();
        page.element("body", &[], |page| body(page, report));
    });
    page.line();
    page.finish()
}

fn body(page: &mut Markup, report: &Report) {
    page.line();
    page.leaf("h1", &[], &format!("Batch {}", report.batch));
    page.element("p", &[("class", "soft")], |page| {
        page.text("Target ");
        page.leaf("code", &[], &report.target);
        page.text(&format!(" · reported {}", report.reported));
    });
    page.line();
    totals(page, &report.totals);
    if !report.failures.is_empty() {
        page.leaf("h2", &[], "Failures by code");
        page.line();
        page.element("table", &[], |page| failures(page, &report.failures));
        page.line();
    }
    if report.totals.began.is_some() {
        page.leaf("h2", &[], "Timeline");
        page.line();
        page.leaf(
            "p",
            &[("class", "soft")],
            "The last try of each item that has begun, in UTC. Point at a bar to see its item.",
        );
        page.line();
        timeline::draw(page, report);
    }
    page.leaf("h2", &[], "Items");
    page.line();
    for item in Standing::ALL.into_iter().flat_map(|state| report.standing(state)) {
        details(page, item);
    }
}

fn totals(page: &mut Markup, totals: &Totals) {
    let length = totals.duration_ms.map_or_else(|| "—".to_owned(), quantity::duration);
    page.element("div", &[("class", "totals")], |page| {
        page.line();
        tile(page, "all", &totals.items.to_string(), "items");
        for state in Standing::ALL.into_iter().rev() {
            tile(page, state.as_str(), &totals.of_state(state).to_string(), state.as_str());
        }
        tile(page, "all", &quantity::bytes(totals.source_bytes), "of packages");
        tile(page, "all", &quantity::bytes(totals.written_bytes), "written");
        tile(page, "all", &length, "from first begin to last end");
    });
    page.line();
    if totals.interrupted + totals.queued > 0 {
        page.element("p", &[], |page| {
            page.text("Not all items have ended; ");
            page.leaf("code", &[], "relift batch run BATCH.toml");
            page.text(" goes on.");
        });
        page.line();
    }
}

fn tile(page: &mut Markup, class: &str, number: &str, name: &str) {
    page.element("div", &[], |page| {
        page.leaf("b", &[("class", class)], number);
        page.text(name);
    });
    page.line();
}

fn failures(page: &mut Markup, groups: &[Group]) {
    page.element("tr", &[], |page| {
        for name in ["Code", "Meaning", "Items", "Usual cause", "What usually helps"] {
            page.leaf("th", &[], name);
        }
    });
    for group in groups {
        page.line();
        let cell = |page: &mut Markup, value: &Option<String>| {
            page.leaf("td", &[], value.as_deref().unwrap_or("—"));
        };
        page.element("tr", &[], |page| {
            cell(page, &group.code);
            cell(page, &group.title);
            page.leaf("td", &[], &group.count.to_string());
            cell(page, &group.cause);
            cell(page, &group.fix);
        });
    }
}

/// An item: a line, and its findings when it is opened; a failed one is open.
fn details(page: &mut Markup, item: &Entry) {
    let open: &[(&str, &str)] = if item.state == Standing::Failed { &[("open", "")] } else { &[] };
    page.element("details", open, |page| {
        page.element("summary", &[], |page| summary(page, item));
        page.line();
        page.element("dl", &[], |page| findings(page, item));
    });
    page.line();
}

fn summary(page: &mut Markup, item: &Entry) {
    let state = item.state.as_str();
    page.leaf("span", &[("class", &format!("state {state}"))], state);
    page.leaf("b", &[], &item.id);
    if let Some(code) = &item.code {
        page.text(&format!(" · {code}"));
    }
    if let Some(title) = &item.title {
        page.text(&format!(" {title}"));
    }
    let known = [
        item.written_bytes.map(|count| format!("{} written", quantity::bytes(count))),
        item.duration_ms.map(quantity::duration),
        (!item.warnings.is_empty()).then(|| format!("warnings: {}", item.warnings.len())),
    ];
    for known in known.into_iter().flatten() {
        page.text(&format!(" · {known}"));
    }
}

fn findings(page: &mut Markup, item: &Entry) {
    page.line();
    for (name, value) in [("error", &item.message), ("cause", &item.cause), ("fix", &item.fix)] {
        if let Some(value) = value {
            row(page, name, |page| lines(page, value));
        }
    }
    for command in item.commands() {
        row(page, "next", |page| page.leaf("code", &[], &command));
    }
    row(page, "package", |page| {
        page.leaf("code", &[], &item.source);
        page.text(&format!(" · {}", quantity::bytes(item.source_bytes)));
    });
    if let Some(attempt) = item.attempt {
        row(page, "try", |page| page.text(&attempt.to_string()));
    }
    if let Some(phase) = item.phase {
        row(page, "last phase", |page| page.text(phase.as_str()));
    }
    let heard = if item.ended.is_none() { &item.heard } else { &None };
    for (name, time) in [("began", &item.began), ("ended", &item.ended), ("last heard of", heard)] {
        if let Some(time) = time {
            row(page, name, |page| page.text(time));
        }
    }
    for blocker in &item.plan_blockers {
        row(page, "blocker of the plan", |page| lines(page, blocker));
    }
    for warning in &item.plan_warnings {
        row(page, "warning of the plan", |page| lines(page, warning));
    }
    for finding in &item.warnings {
        let title = finding.title.as_deref().unwrap_or_default();
        row(page, "warning", |page| page.text(format!("{} {title}", finding.code).trim_end()));
    }
    for file in &item.files {
        row(page, "written", |page| page.leaf("code", &[], file));
    }
}

fn row(page: &mut Markup, name: &str, value: impl FnOnce(&mut Markup)) {
    page.leaf("dt", &[], name);
    page.element("dd", &[], value);
    page.line();
}

/// A text that may have several lines.
fn lines(page: &mut Markup, text: &str) {
    for (number, line) in text.lines().enumerate() {
        if number > 0 {
            page.own("<br>");
        }
        page.text(line);
    }
}
