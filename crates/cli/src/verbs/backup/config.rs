//! `backup config`: the machine of a bundle as it would be restored.

use std::path::Path;

use code::Code;
use host::dir;
use restore::{Choices, Definition, Plan, Policy, Source, XmlTrust, plan::TargetFacts};
use vm::Accelerator;

use crate::{
    args::BackupConfigArgs,
    failure::{Failure, Result},
    json::Message,
    report::Report,
    session::Session,
    show::quoted,
    verbs::{
        plan::{self, Shown, document, table},
        target::{self, Target},
    },
};

/// Shows the machine; nothing is read of its disks but headers, and nothing is done to a host.
pub(in crate::verbs) fn run(args: &BackupConfigArgs, session: &Session) -> Result<Report> {
    let policy = Policy { point: args.point.clone(), ..Policy::default() };
    let source = restore::open(&args.file, &policy)?;
    let trust = if args.trust_xml { XmlTrust::AsItStands } else { XmlTrust::Scrubbed };
    let definition = definition(&*source, trust)?;
    let to = |text: &str| Target::of(Some(text), (&args.place, false), session);
    let target = args.to.as_deref().map(to).transpose()?;
    if args.xml && target.is_none() {
        return Ok(Report::new(definition.document.clone(), &()));
    }
    let plan = planned(&*source, trust, (target.as_ref(), args), session)?;
    if args.xml {
        let text = plan.machines.first().and_then(|machine| machine.domain_xml.clone());
        return Ok(Report::new(text.unwrap_or_default(), &()));
    }
    let shown_target = target.as_ref().map_or_else(|| "a folder".to_owned(), Target::shown);
    let file = quoted(&args.file.display().to_string());
    let next = match &args.to {
        Some(to) => format!("relift restore {file} --to {}", quoted(to)),
        None => format!("relift restore {file} --to TARGET"),
    };
    let shown = Shown { target: &shown_target, out: "OUT", plan_file: None };
    let text = table::of(&plan, &shown, &next, &session.show);
    // What blocks a restore does not keep the machine from being shown.
    Ok(Report::new(text, &document::of(&plan))
        .warnings(plan.findings.iter().map(Message::from))
        .told(plan::messages(&plan)))
}

/// The definition of a bundle.
fn definition(source: &dyn Source, trust: XmlTrust) -> Result<&Definition> {
    let facts = source.facts();
    let native = facts.description.native().filter(|native| native.backup.is_some());
    native.map(|native| native.definition(trust)).ok_or_else(|| {
        let text = format!("{} is no native backup", facts.name);
        let shown = quoted(&facts.name);
        Failure::new(Code::E0604, text).fix(format!("look at it with: relift inspect {shown}"))
    })
}

fn planned(
    source: &dyn Source,
    trust: XmlTrust,
    (to, args): (Option<&Target>, &BackupConfigArgs),
    session: &Session,
) -> Result<Plan> {
    let mut choices = Choices { trust_xml: trust, ..Choices::default() };
    let Some(to) = to else {
        let target = TargetFacts::folder(dir::facts(Path::new("."))?);
        return plan::make(source, &target, &choices);
    };
    target::choose(&args.place, false, &mut choices);
    let offer =
        crate::hypervisor::offered(session, to.hypervisor(&session.hypervisor), &args.host)?;
    choices.executed_by = offer.filter(|offer| !offer.kvm).map(|_| Accelerator::Qemu);
    plan::make(source, &to.facts(&args.place, &args.host, source)?, &choices)
}
