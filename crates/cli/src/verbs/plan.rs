//! `plan`: what a conversion would do with each item and why; changes nothing.

mod again;
pub(crate) mod document;
pub(super) mod package;
pub(crate) mod table;

use std::path::Path;

use code::{Code, ExitStatus};
use host::dir;
use restore::{Choices, Plan, Source, plan::TargetFacts};

use super::{source::Need, target::Target};
use crate::{
    args::PlanArgs,
    failure::{Failure, Result},
    json::Message,
    report::Report,
    request::{Request, Typed},
    session::Session,
    show::quoted,
};

/// Plans a package.
pub(super) fn run(args: &PlanArgs, session: &Session) -> Result<Report> {
    let typed = Typed {
        source: &args.source,
        to: args.target.to.as_deref(),
        place: Some(&args.target.place),
        host: &args.host,
        hardware: &args.hardware,
        packing: &args.packing,
        policy: &args.policy,
    };
    let mut request = Request::of(&typed, session)?;
    let place = request.place.clone().unwrap_or_else(|| args.target.place.clone());
    let start = args.target.start;
    let to = request.target.as_deref();
    let to = to.map(|text| Target::of(Some(text), (&place, start), session)).transpose()?;
    let mut source = super::source::open(&request.source, Need::Headers, &request.policy, session)?;
    request.check_fits(&*source)?;
    super::source::pass(&mut *source)?;
    let mut target = match &to {
        Some(to) => {
            super::target::choose(&place, start, &mut request.choices);
            to.facts(&place, &args.host, &*source)?
        }
        // No target was named: its room is that of this folder, and no name in it is taken.
        None => TargetFacts::folder(dir::facts(Path::new("."))?),
    };
    request.look_outside(&mut target);
    let plan = make(&*source, &target, &request.choices)?;
    request.tell_edits(&plan, session);
    if let Some(path) = &args.out {
        request.write(path, (&plan, &*source), session)?;
        session.show.say(&format!("plan written to {}", path.display()));
    }
    let target = to.as_ref().map_or_else(|| "a folder".to_owned(), Target::shown);
    let shown = Shown {
        target: &target,
        out: "OUT",
        plan_file: args.out.as_deref().or(request.plan_file.as_deref()),
    };
    Ok(report(&plan, &shown, session))
}

/// What the table cannot know from the plan.
pub(super) struct Shown<'a> {
    /// The target as the user typed it.
    pub(super) target: &'a str,
    /// The folder of the command that carries the plan out.
    pub(super) out: &'a str,
    /// The plan file that was written, or that is replayed.
    pub(super) plan_file: Option<&'a Path>,
}

/// The plan as the result of a run: blockers make it exit 6.
pub(super) fn report(plan: &Plan, shown: &Shown<'_>, session: &Session) -> Report {
    let next = match shown.plan_file {
        Some(path) => {
            let path = quoted(&path.display().to_string());
            match &plan.host {
                None => format!("relift convert {path} -o {}", shown.out),
                Some(_) => format!("relift import {path}"),
            }
        }
        None => again::command(&session.typed(), shown.out, plan),
    };
    let text = table::of(plan, shown, &next, &session.show);
    Report::new(text, &document::of(plan))
        .warnings(plan.findings.iter().map(Message::from))
        .told(messages(plan))
        .failed(blocked(plan))
}

/// Decides, from what the headers of the disks say.
pub(super) fn make(source: &dyn Source, target: &TargetFacts, chosen: &Choices) -> Result<Plan> {
    let wanted = restore::plan::images(source.facts(), chosen)?;
    let images = restore::source::look_at_images(source, &wanted)?;
    Ok(restore::plan(source.facts(), &images, target, chosen)?)
}

/// What is known of a folder.
pub(super) fn facts(folder: &Path) -> Result<TargetFacts> {
    Ok(TargetFacts { taken: dir::taken(folder)?, ..TargetFacts::folder(dir::facts(folder)?) })
}

/// What the rows say, and what belongs to none.
pub(super) fn messages(plan: &Plan) -> Vec<Message> {
    let rows = plan.rows();
    let of_rows = rows.flat_map(|(_, row)| row.notes.iter().map(|note| Message::of_row(row, note)));
    of_rows.chain(plan.blockers.iter().map(Message::of_note)).collect()
}

fn blocked(plan: &Plan) -> Option<Box<Failure>> {
    let blockers = plan.blockers();
    let text = match blockers.len() {
        0 => return None,
        1 => "the plan has a blocker".to_owned(),
        count => format!("the plan has {count} blockers"),
    };
    let failure = Failure::new(Code::E0801, text)
        .exit(ExitStatus::Blocked)
        .others(blockers.into_iter().map(Message::of_note).collect());
    Some(failure)
}
