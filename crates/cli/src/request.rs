//! What a verb that plans is asked for: a package with flags, or a plan file.

use std::path::{Path, PathBuf};

use restore::{
    ManifestPolicy, Plan, Source,
    plan::{Edit, TargetFacts},
};
use vm::Accelerator;

use crate::{
    args::{HardwareArgs, HostArgs, PackingArgs, PlaceArgs, PolicyArgs, VirtTypeChoice},
    choices,
    failure::{Failure, Result},
    hypervisor,
    plan_file::{self, Origin, PlanFile, Recorded},
    session::Session,
    show::clean,
    verbs::{Need, Target},
};

/// Flags that say how a foreign machine is mapped, or what is done with the papers of its package.
const FOREIGN_ONLY: [&str; 19] = [
    "vm",
    "configuration",
    "net",
    "prop",
    "prop_file",
    "vcpus",
    "max_vcpus",
    "memory",
    "max_memory",
    "firmware",
    "profile",
    "disk_bus",
    "nic_model",
    "watchdog",
    "keep_nic_names",
    "machine",
    "cpu",
    "os_id",
    "accept_eula",
];

/// What was typed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Typed<'a> {
    /// A package, or a plan file.
    pub(crate) source: &'a Path,
    /// `--to`, for a verb that has it.
    pub(crate) to: Option<&'a str>,
    /// Where on a host files go, for a verb that has that.
    pub(crate) place: Option<&'a PlaceArgs>,
    /// Whether a host is asked.
    pub(crate) host: &'a HostArgs,
    /// Flags about the machine.
    pub(crate) hardware: &'a HardwareArgs,
    /// Flags about its disks.
    pub(crate) packing: &'a PackingArgs,
    /// Flags about the package.
    pub(crate) policy: &'a PolicyArgs,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Request {
    /// The package.
    pub(crate) source: PathBuf,
    /// What is chosen.
    pub(crate) choices: restore::Choices,
    /// What is done with the papers of the package.
    pub(crate) policy: restore::Policy,
    /// The target, as `--to` takes it: the plan file's, else what was typed.
    pub(crate) target: Option<String>,
    /// Where on a host files go: as the plan file says, else as it was typed.
    pub(crate) place: Option<PlaceArgs>,
    /// The plan file that it came from.
    pub(crate) plan_file: Option<PathBuf>,
    /// The flags, as a plan file has them.
    recorded: Recorded,
}

impl Request {
    /// Settles what was typed: reads the plan file, if it is one, and asks the host what it offers.
    ///
    /// # Errors
    /// A flag or a line of the plan file cannot be meant; a flag is typed beside a plan file that says
    /// it; a host that was named does not answer.
    pub(crate) fn of(typed: &Typed<'_>, session: &Session) -> Result<Self> {
        let recorded = plan_file::typed(session.command_line())?;
        let Some(file) = PlanFile::of(typed.source).transpose()? else {
            return Ok(Self {
                source: typed.source.to_owned(),
                choices: chosen(typed, typed.to, session)?,
                policy: choices::policy(typed.policy)?,
                target: typed.to.map(str::to_owned),
                place: typed.place.cloned(),
                plan_file: None,
                recorded,
            });
        };
        file.refuse_typed(&recorded)?;
        let target = file.target(typed.to)?.map(str::to_owned);
        let flags = &file.flags;
        let of_file = Typed {
            hardware: &flags.hardware,
            packing: &flags.packing,
            policy: &flags.policy,
            ..*typed
        };
        let choices = restore::Choices {
            systems: file.pinned.ids(),
            pinned: Some(file.pinned),
            ..chosen(&of_file, target.as_deref(), session)?
        };
        let policy = choices::policy(&flags.policy)?;
        Ok(Self {
            source: file.source,
            choices,
            policy,
            target,
            place: Some(flags.place.clone()),
            plan_file: Some(file.path),
            recorded: file.recorded,
        })
    }

    /// How much of the source is read at first. A replay compares the source before anything is done,
    /// which a stream that passes once does not let it.
    pub(crate) const fn need(&self, need: Need) -> Need {
        if self.plan_file.is_some() { Need::Headers } else { need }
    }

    /// Refuses flags that mean nothing for what the source is.
    ///
    /// # Errors
    /// A flag that chooses hardware or papers, for a machine that is restored as it was defined.
    pub(crate) fn check_fits(&self, source: &dyn Source) -> Result<()> {
        let Some(native) = source.facts().description.native() else { return Ok(()) };
        let is_refused = |key: &&&str| self.recorded.contains_key(**key);
        let is_checked =
            matches!(self.choices.manifest, ManifestPolicy::Check | ManifestPolicy::Require);
        let flag = match FOREIGN_ONLY.iter().find(is_refused) {
            Some(key) => key.replace('_', "-"),
            // What a backup's manifest lists is compared, whatever is asked for.
            None if !is_checked => "manifest".to_owned(),
            None => return Ok(()),
        };
        let text = format!(
            "--{flag} means nothing for {}: the machine is restored as it was defined",
            native.called()
        );
        Err(Failure::usage(text).tip("change it afterwards: virsh edit NAME"))
    }

    /// Adds the places of the plan file that lie outside the target's folder and are taken.
    pub(crate) fn look_outside(&self, target: &mut TargetFacts) {
        let places = self.choices.pinned.iter().flat_map(restore::plan::Pinned::places);
        let taken = places.filter(|path| path.symlink_metadata().is_ok());
        target.taken.extend(taken.cloned());
    }

    /// Says which lines of the plan file decided something that its choices alone would not have.
    pub(crate) fn tell_edits(&self, plan: &Plan, session: &Session) {
        let Some(path) = &self.plan_file else { return };
        for Edit { line, key, item, value } in &plan.edits {
            let text = format!("line {line} of {}: {key} of {item} is {value}", path.display());
            session.show.say(&clean(&text));
        }
    }

    /// Writes the plan to a plan file.
    pub(crate) fn write(
        &self,
        path: &Path,
        (plan, source): (&Plan, &dyn Source),
        session: &Session,
    ) -> Result<()> {
        let origin = Origin {
            source: &self.source,
            target: self.target.as_deref(),
            recorded: &self.recorded,
            choices: &self.choices,
        };
        plan_file::write(path, (plan, source.facts()), &origin, &session.host())
    }
}

/// The choices of flags, with what the host of the target offers.
fn chosen(typed: &Typed<'_>, target: Option<&str>, session: &Session) -> Result<restore::Choices> {
    let mut chosen = choices::of(typed.hardware, typed.packing, typed.policy)?;
    let target = target.map(|text| Target::parse(text, &session.hypervisor)).transpose()?;
    let host = target
        .as_ref()
        .map_or(&session.hypervisor, |target| target.hypervisor(&session.hypervisor));
    hypervisor::consult(session, host, (typed.host, typed.hardware), &mut chosen.hardware)?;
    let is_asked = typed.hardware.virt_type == VirtTypeChoice::Kvm;
    let found = chosen.hardware.accelerator;
    chosen.executed_by = (is_asked || found == Accelerator::Qemu).then_some(found);
    Ok(chosen)
}
