//! What machines are called, and what their identities are made from.

use std::path::Path;

use code::Code;
use convert::{Identity, source::System};
use ovf::Finding;

use super::{OnConflict, RESULT_NAME, TargetFacts, machines::Inputs};
use crate::Error;

/// How often another identity is tried (ours): two in a row that are taken are no accident.
const MAX_SALTS: u32 = 16;

/// The name of a machine, and of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) domain: String,
    pub(super) slug: String,
}

/// The names of the machines: the user's, the package's, the archive's; no two the same, and none
/// whose files would take the place of others in the folder of a host.
pub(super) fn names(
    systems: &[&System],
    inputs: &Inputs<'_>,
    folder: &Path,
) -> Result<Vec<Name>, Error> {
    let Inputs { facts, choices, target, .. } = inputs;
    if choices.name.is_some() && systems.len() > 1 {
        let text = format!("--name is for one machine, the package has {}", systems.len());
        return Err(Error::new(Code::E0302, text).fix("choose one with --vm"));
    }
    let stem = convert::domain_name(facts.descriptor.name.stem());
    // A folder of several machines holds the result beside their own folders.
    let mut names: Vec<Name> = Vec::new();
    for system in systems {
        let own = inputs.taken(system).and_then(|machine| machine.name.as_ref());
        let given = own.map(|said| said.value.as_str()).or(choices.name.as_deref());
        let given = given.or(system.name.as_deref()).unwrap_or(&stem);
        let mut domain = convert::domain_name(given);
        if domain.is_empty() {
            domain = if stem.is_empty() { "vm".to_owned() } else { stem.clone() };
        }
        let plain = Name { slug: convert::slug(&domain), domain };
        let numbered = (2..).map(|number| Name {
            domain: format!("{}-{number}", plain.domain),
            slug: format!("{}-{number}", plain.slug),
        });
        let is_free = |name: &Name| {
            name.slug != RESULT_NAME
                && names.iter().all(|other| other.domain != name.domain && other.slug != name.slug)
                && !(choices.on_conflict == OnConflict::Rename && is_on_host(target, &name.domain))
        };
        let free = std::iter::once(plain.clone()).chain(numbered).find(is_free);
        names.push(free.unwrap_or(plain));
    }
    for name in names.iter_mut().filter(|_| target.host().is_some()) {
        name.slug = free_slug(&name.slug, folder, target);
    }
    Ok(names)
}

fn is_on_host(target: &TargetFacts, name: &str) -> bool {
    target.host().is_some_and(|host| host.machine(name).is_some())
}

/// A beginning of file names that no file of the folder has: files of other machines stay.
fn free_slug(slug: &str, folder: &Path, target: &TargetFacts) -> String {
    let is_taken = |slug: &str| {
        let in_folder = target.taken.iter().filter(|path| path.parent() == Some(folder));
        let mut names = in_folder.filter_map(|path| path.file_name()?.to_str());
        names.any(|name| name.strip_prefix(slug).is_some_and(|rest| rest.starts_with('-')))
    };
    let numbered = (2..).map(|number| format!("{slug}-{number}"));
    let mut all = std::iter::once(slug.to_owned()).chain(numbered);
    all.find(|slug| !is_taken(slug)).unwrap_or_else(|| slug.to_owned())
}

/// What the machine's identity is made from: the name, and a number where a machine of the host has
/// come to be of the same seed and was renamed.
pub(super) fn identity(inputs: &Inputs<'_>, system: &System, name: &Name) -> Identity {
    let seed = system.id.as_deref().unwrap_or(&system.handle);
    let descriptor = &inputs.facts.descriptor.bytes;
    let plain = Identity::new(descriptor, seed, &name.domain);
    let Some(host) = inputs.target.host() else { return plain };
    let is_free = |identity: &Identity| {
        let macs: Vec<_> = (0..system.nics.len()).map(|card| identity.mac(card)).collect();
        host.machines.iter().all(|other| {
            other.uuid != identity.uuid() && other.macs.iter().all(|mac| !macs.contains(mac))
        })
    };
    let salted = |salt: u32| Identity::new(descriptor, seed, &format!("{}#{salt}", name.domain));
    let mut all = std::iter::once(plain.clone()).chain((2..=MAX_SALTS).map(salted));
    all.find(is_free).unwrap_or(plain)
}

/// Says that a machine's name is not one that a host, a shell or a file would take as it is.
pub(super) fn odd_name(system: &System) -> Option<Finding> {
    let name = system.name.as_deref()?;
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-' | '+' | '(' | ')' | ',');
    let odd = name.chars().any(|c| !plain(c)) || name.starts_with(['-', '.']);
    odd.then(|| Finding {
        code: Code::W0608,
        message: "the name has characters that a path or a shell would read: files get a plain one"
            .to_owned(),
        item: Some(system.handle.clone()),
        path: None,
        line: None,
    })
}
