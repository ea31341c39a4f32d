//! `batch report`: the whole batch, for whoever asked for it.

use batch::{Format, Report as BatchReport};

use super::{history, read};
use crate::{
    args::BatchReportArgs, clock, failure::Result, report::Report, session::Session, show::clean,
};

/// Writes the report, or prints it.
pub(in crate::verbs) fn run(args: &BatchReportArgs, session: &Session) -> Result<Report> {
    let format: Format = args.format.parse()?;
    let batch = read(&args.file)?;
    let history = history(&args.file, None)?;
    let report = BatchReport::of(&batch, &history, &clock::now_exact());
    let rendered = report.render(format);
    let text = match &args.out {
        None => rendered,
        Some(path) => {
            super::plan::write(path, &rendered, session)?;
            format!("Wrote {}\n", clean(&path.display().to_string()))
        }
    };
    Ok(Report::new(text, &report))
}
