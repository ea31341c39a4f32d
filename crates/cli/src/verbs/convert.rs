//! `convert`: a package becomes a folder of disks, a domain XML and a result file, or a backup file.

pub(super) mod closing;
pub(super) mod destination;
mod pack;
mod result;

use std::time::Instant;

use code::Code;
use host::{dir, libvirt::Protection};
use restore::{
    Execution, Facts, Outcome, Plan, Source, SourceKind, VerifyOutput, plan::TargetFacts,
};

use super::source::Need;
use crate::{
    args::{self, ConvertArgs, RunArgs},
    choices,
    events::Event,
    failure::{Failure, Result},
    json::Message,
    progress::Gauge,
    rate::Paced,
    report::Report,
    request::{Request, Typed},
    session::Session,
    show::quoted,
};
use destination::Destination;

/// Converts a package, or only says what it would do.
pub(super) fn run(args: &ConvertArgs, session: &Session, gauge: &Gauge<'_>) -> Result<Report> {
    let begun = Instant::now();
    let destination = destination::of(&args.out)?;
    let typed = Typed {
        source: &args.source,
        to: None,
        place: None,
        host: &args.host,
        hardware: &args.hardware,
        packing: &args.packing,
        policy: &args.policy,
    };
    let mut request = Request::of(&typed, session)?;
    let mut target = match destination {
        Destination::Folder => {
            let folder = dir::facts(&args.out)?;
            if args.run.force {
                request.choices.replace = destination::written_before(&folder.path);
            }
            TargetFacts { taken: dir::taken(&args.out)?, ..TargetFacts::folder(folder) }
        }
        Destination::Bundle(form) => {
            pack::check_choices(form, request.choices.output)?;
            let target = pack::facts(&args.out, form)?;
            if args.run.force {
                request.choices.replace = pack::written_before(&target);
            }
            target
        }
    };
    request.look_outside(&mut target);
    let need = if args.run.dry_run { Need::Headers } else { Need::Everything };
    let need = request.need(need);
    let source = super::source::open(&request.source, need, &request.policy, session)?;
    let mut source = Paced::over(source, args.run.limit_rate, &session.stop);
    request.check_fits(&*source)?;
    if args.run.dry_run {
        super::source::pass(&mut *source)?;
    }
    if request.plan_file.is_none() {
        check_foreign(&*source)?;
    }
    check_verify(&args.run, &*source)?;
    if target.bundle().is_some() {
        pack::check_source(&*source)?;
    }
    let plan = super::plan::make(&*source, &target, &request.choices)?;
    request.tell_edits(&plan, session);
    if args.run.dry_run {
        let out = args.out.display().to_string();
        let shown = super::plan::Shown {
            target: &out,
            out: &quoted(&out),
            plan_file: request.plan_file.as_deref(),
        };
        return Ok(super::plan::report(&plan, &shown, session));
    }
    let done = carry_out(&plan, &mut *source, &args.run, (session, gauge, None))?;
    let text = match destination {
        Destination::Folder => closing::text(&plan, &done, &args.out, begun.elapsed()),
        Destination::Bundle(_) => closing::packed(&plan, &done, &args.out, begun.elapsed()),
    };
    Ok(told(&plan, &done, text))
}

/// Carries a plan out, and tells each file that was written.
pub(super) fn carry_out(
    plan: &Plan,
    source: &mut dyn Source,
    args: &RunArgs,
    (session, gauge, hypervisor): (&Session, &Gauge<'_>, Option<&dyn Protection>),
) -> Result<Outcome> {
    let host = session.host();
    let with = Execution {
        host: &host,
        hypervisor,
        watch: gauge,
        workers: choices::workers(args.jobs),
        verify: match args.verify {
            args::VerifyOutput::None => VerifyOutput::None,
            args::VerifyOutput::Quick => VerifyOutput::Quick,
            args::VerifyOutput::Full => VerifyOutput::Full,
        },
        keep_partial: args.keep_partial,
        render: &|done| result::render(plan, done),
    };
    let done = restore::execute(plan, source, &with)?;
    for output in &done.outputs {
        let (path, file_bytes) = (output.path.display().to_string(), output.file_bytes);
        session.events.send(&Event::Item { path: &path, file_bytes });
    }
    Ok(done)
}

/// What a run says when it is done.
pub(super) fn told(plan: &Plan, done: &Outcome, text: String) -> Report {
    Report::new(text, &result::of(plan, done))
        .warnings(super::plan::messages(plan))
        .warnings(plan.findings.iter().chain(&done.findings).map(Message::from))
}

/// Refuses the definition of a machine that is one of libvirt's already.
pub(super) fn check_foreign(source: &dyn Source) -> Result<()> {
    let Facts { kind: SourceKind::DomainXml, name, .. } = source.facts() else { return Ok(()) };
    let text =
        format!("{name} is the definition of a libvirt machine: there is nothing to convert");
    Err(Failure::new(Code::E0103, text)
        .cause("convert and import bring in what other products made")
        .fix(format!("relift restore {}", quoted(name))))
}

/// Refuses to read a pipe twice.
pub(super) fn check_verify(args: &RunArgs, source: &dyn Source) -> Result<()> {
    if args.verify == args::VerifyOutput::Full && !source.facts().is_complete {
        return Err(Failure::usage("--verify full reads the source again, and a pipe passes once")
            .tip("save the package to a file, or leave --verify full out"));
    }
    Ok(())
}
