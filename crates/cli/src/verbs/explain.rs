//! `explain`: the long text behind a code.

use code::Code;
use serde::Serialize;

use crate::{
    args::ExplainArgs,
    failure::{Failure, Result},
    report::Report,
    show::{self, table::Table},
};

#[derive(Debug, Serialize)]
struct Data {
    codes: Vec<Explained>,
}

#[derive(Debug, Serialize)]
struct Explained {
    code: &'static str,
    title: &'static str,
    severity: &'static str,
    exit: u8,
    cause: String,
    fix: String,
    text: &'static str,
}

/// Explains one code, or lists all.
pub(super) fn run(args: &ExplainArgs) -> Result<Report> {
    let Some(typed) = &args.code else {
        let mut table = Table::new(&[]);
        for code in Code::ALL {
            table.row([code.as_str(), code.title()]);
        }
        let text = table.lines(0, None).join("\n") + "\n";
        return Ok(Report::new(text, &Data { codes: Code::ALL.iter().map(explained).collect() }));
    };
    let code: Code = typed.to_ascii_uppercase().parse().map_err(|_| {
        Failure::usage(format!("unknown code '{typed}'"))
            .tip("relift explain lists every code there is")
    })?;
    Ok(Report::new(show::page(code), &Data { codes: vec![explained(&code)] }))
}

fn explained(code: &Code) -> Explained {
    let page = code.page();
    Explained {
        code: code.as_str(),
        title: code.title(),
        severity: code.severity().as_str(),
        exit: code.exit().number(),
        cause: page.cause(),
        fix: page.fix(),
        text: page.body(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_code_in_either_case_and_refuses_others() {
        let run = |code: &str| run(&ExplainArgs { code: Some(code.to_owned()) });
        assert!(run("e0203").unwrap().text.starts_with(b"E0203: "));
        assert_eq!(run("E9999").unwrap_err().message, "unknown code 'E9999'");
    }

    #[test]
    fn lists_every_code() {
        let report = run(&ExplainArgs { code: None }).unwrap();
        let lines = report.text.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines, Code::ALL.len());
    }
}
