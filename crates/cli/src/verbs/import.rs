//! `import` and `restore`: a source becomes machines on a libvirt host, or files in a folder.

use std::time::Instant;

use host::libvirt::Protection;
use restore::plan::{Images, Where};

mod in_place;

use super::{
    convert::{self, closing, destination},
    source::Need,
    target::{self, Target},
};
use crate::{
    args::{BackArgs, ImportArgs, RestoreArgs},
    failure::Result,
    progress::Gauge,
    rate::Paced,
    report::Report,
    request::{Request, Typed},
    session::Session,
    show::quoted,
};

/// Brings in a foreign machine: disks come along.
pub(super) fn import(args: &ImportArgs, session: &Session, gauge: &Gauge<'_>) -> Result<Report> {
    run(args, (Bring::Foreign, None), session, gauge)
}

/// Brings a machine back: of an OVF the hardware only, unless its disks are asked for.
pub(super) fn restore(args: &RestoreArgs, session: &Session, gauge: &Gauge<'_>) -> Result<Report> {
    let bring = if args.with_disks { Bring::Everything } else { Bring::WhatIsInside };
    run(&args.import, (bring, Some(&args.backup)), session, gauge)
}

/// What comes along.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bring {
    /// Everything of a machine that libvirt did not define.
    Foreign,
    /// Disks and CD images, wherever the source has them.
    Everything,
    /// What one file holds: of a descriptor in a folder the hardware only.
    WhatIsInside,
}

fn run(
    args: &ImportArgs,
    (bring, back): (Bring, Option<&BackArgs>),
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    let begun = Instant::now();
    let mut request = Request::of(&typed(args), session)?;
    let place = request.place.clone().unwrap_or_else(|| args.target.place.clone());
    let start = args.target.start;
    let to = Target::of(request.target.as_deref(), (&place, start), session)?;
    target::choose(&place, start, &mut request.choices);
    in_place::choose(back, &to, &mut request)?;
    let need = if args.run.dry_run { Need::Headers } else { Need::Everything };
    let need = request.need(need);
    let source = super::source::open(&request.source, need, &request.policy, session)?;
    let mut source = Paced::over(source, args.run.limit_rate, &session.stop);
    request.check_fits(&*source)?;
    if args.run.dry_run {
        super::source::pass(&mut *source)?;
    }
    // What was planned from a definition may be replayed by either verb.
    if bring == Bring::Foreign && request.plan_file.is_none() {
        convert::check_foreign(&*source)?;
    }
    if bring == Bring::WhatIsInside && source.facts().kind.is_folder() {
        request.choices.images = Images::LeftOut;
    }
    convert::check_verify(&args.run, &*source)?;
    in_place::check_source(&request.choices, &*source)?;
    let mut target = to.facts(&place, &args.host, &*source)?;
    in_place::look(&to, &*source, (&request.choices, &mut target))?;
    request.look_outside(&mut target);
    if let (Where::Folder(folder), true) = (&target.place, args.run.force) {
        request.choices.replace = destination::written_before(&folder.path);
    }
    let plan = super::plan::make(&*source, &target, &request.choices)?;
    request.tell_edits(&plan, session);
    if args.run.dry_run {
        let out = quoted(&to.shown());
        let shown = super::plan::Shown {
            target: &to.shown(),
            out: &out,
            plan_file: request.plan_file.as_deref(),
        };
        return Ok(super::plan::report(&plan, &shown, session));
    }
    in_place::confirm(back, &plan, session)?;
    let host = to.connect()?;
    let hypervisor = host.as_ref().map(|host| host as &dyn Protection);
    let done = convert::carry_out(&plan, &mut *source, &args.run, (session, gauge, hypervisor))?;
    let text = match &to {
        Target::Folder(path) => closing::text(&plan, &done, path, begun.elapsed()),
        Target::Host(_) => closing::on_host(&plan, &done, begun.elapsed()),
    };
    Ok(convert::told(&plan, &done, text))
}

/// What was typed.
fn typed(args: &ImportArgs) -> Typed<'_> {
    Typed {
        source: &args.source,
        to: args.target.to.as_deref(),
        place: Some(&args.target.place),
        host: &args.host,
        hardware: &args.hardware,
        packing: &args.packing,
        policy: &args.policy,
    }
}
