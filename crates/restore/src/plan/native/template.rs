//! Templates and thin clones: a template stays one, and a clone needs the template that it was made of.
//!
//! ```text
//! image of a clone --its backing name--> disk of the template on the host: missing | differing | incompatible (W0605)
//!                                                                          the same state: stood on as it is
//! ```

use std::path::{Path, PathBuf};

use bundle::{Node, Template, TemplateDisk};
use code::Code;
use convert::{Note, Row};
use host::PathKind;

use super::{Inputs, place::may_be_image};
use crate::Native;

/// What to do about a template that is not the one.
const WAY_OUT: &str = "delete the changed template with its disks, restore the template from its matching \
                       backup, then restore the clone";

/// Whether the machine is a template.
pub(super) fn is_one(native: &Native) -> bool {
    native.backup.as_ref().is_some_and(|backup| backup.is_template)
}

/// The disks of the template that a thin clone stands on.
pub(super) fn paths(native: &Native) -> impl Iterator<Item = PathBuf> {
    let disks = template(native).map_or(&[][..], |template| &template.disks);
    disks.iter().map(|disk| PathBuf::from(&disk.path)).filter(|path| may_be_image(path))
}

fn template(native: &Native) -> Option<&Template> {
    native.backup.as_ref()?.template.as_ref()
}

/// Says of a template that it stays one.
pub(super) fn row(inputs: &Inputs<'_>) -> Option<Row> {
    let row = Row::kept("template", "template", "yes", "yes");
    is_one(inputs.native).then(|| {
        row.because(if inputs.choices.start {
            "a template stays a template: it is not started"
        } else {
            "a template stays a template"
        })
    })
}

/// The disk of the template that an image stands on.
pub(super) fn disk_below<'a>(inputs: &Inputs<'a>, node: &Node) -> Option<&'a TemplateDisk> {
    template(inputs.native)?.disk_below(node)
}

/// Checks that the host has the template, with this disk, in the state that the clone stands on.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(inputs: &Inputs<'_>, disk: &TemplateDisk) -> Result<(), Note> {
    let Some(template) = template(inputs.native) else { return Ok(()) };
    let refused = |text: String| Err(Note::blocker(Code::W0605, text).hint(WAY_OUT));
    let path = Path::new(&disk.path);
    let shown = path.display();
    if !inputs.keeps_chains() {
        let text = format!("{shown} is not in the backup: the images of a clone stay as they are");
        return Err(Note::blocker(Code::W0605, text).hint("leave --format and --compress out"));
    }
    if !may_be_image(path) {
        return refused(format!("the template's disk {shown} is at no place for images"));
    }
    if let Some(host) = inputs.target.host() {
        let uuid = template.uuid.as_deref().and_then(|text| text.parse().ok());
        let by_uuid = host.machines.iter().find(|machine| Some(machine.uuid) == uuid);
        let Some(machine) = by_uuid.or_else(|| host.machine(&template.name)) else {
            let text = format!("the template {} is missing on {}", template.name, host.uri);
            return refused(text);
        };
        if !machine.disks.iter().any(|there| there == path) {
            let text =
                format!("the disks differ: {shown} is none of the template {}", machine.name);
            return refused(text);
        }
    }
    if inputs.at(path).is_none_or(|at| at.kind != PathKind::File) {
        return refused(format!("the template's disk {shown} is missing"));
    }
    match inputs.target.templates.get(path) {
        Some(state) if *state == disk.state => Ok(()),
        Some(state) => refused(format!(
            "the template is incompatible: {shown} has {} bytes in a file of {} with the fingerprint {}, \
             the clone stands on {} in {} with {}",
            state.capacity_bytes,
            state.length_bytes,
            short(&state.fingerprint),
            disk.state.capacity_bytes,
            disk.state.length_bytes,
            short(&disk.state.fingerprint),
        )),
        None => {
            refused(format!("the template is incompatible: {shown} is no qcow2 that can be read"))
        }
    }
}

/// As much of a fingerprint as people compare.
fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests {
    use bundle::ImageState;

    use super::*;
    use crate::plan::fixture::{Case, backings, disk, folder, machine, paths, row, told, xml};

    const GOLDEN: &str = "/vm/golden.qcow2";

    fn state() -> ImageState {
        ImageState { capacity_bytes: 1 << 20, length_bytes: 9000, fingerprint: "aa".repeat(32) }
    }

    /// The backup of a thin clone, and a host that has its template.
    fn clone() -> Case {
        let mut case = Case::backup(&disk("vda", "/vm/clone.qcow2"));
        case.of_backup().template = Some(Template {
            name: "golden".to_owned(),
            uuid: None,
            disks: vec![TemplateDisk {
                member: "clone.qcow2".to_owned(),
                backing: "golden.qcow2".to_owned(),
                path: GOLDEN.to_owned(),
                state: state(),
            }],
        });
        case.host().machines = vec![machine("golden", &[GOLDEN])];
        case.target.templates.insert(PathBuf::from(GOLDEN), state());
        case.image("clone.qcow2", Some("golden.qcow2")).at(GOLDEN, PathKind::File)
    }

    /// SPACEVM-34: the clone stands on the template's disk again, which stays as it is.
    #[test]
    fn a_thin_clone_is_restored_upon_the_disk_of_its_template() {
        let case = clone();
        assert_eq!(template_paths(&case), [PathBuf::from(GOLDEN)]);
        let plan = case.plan();
        assert_eq!((paths(&plan), told(&plan)), (vec!["/vm/clone.qcow2".to_owned()], vec![]));
        assert_eq!(backings(&plan), [Some(GOLDEN.to_owned())]);
    }

    fn template_paths(case: &Case) -> Vec<PathBuf> {
        crate::plan::template_paths(&case.facts)
    }

    /// SPACEVM-35, SPACEVM-36: what is wrong with the template, and the way out.
    #[test]
    fn a_thin_clone_without_its_template_is_refused_with_the_way_out() {
        let refused = |case: Case, want: &str| {
            assert_eq!(case.blockers(), [(Code::W0605, want.to_owned(), WAY_OUT.to_owned())]);
        };
        let mut none = clone();
        none.host().machines.clear();
        refused(none, "the template golden is missing on test:///default");
        let gone = clone().at(GOLDEN, PathKind::Nothing);
        refused(gone, "the template's disk /vm/golden.qcow2 is missing");
    }

    /// SPACEVM-35: templates can change.
    #[test]
    fn a_thin_clone_of_another_version_of_its_template_is_refused() {
        for (other, want) in [
            (
                ImageState { length_bytes: 9001, ..state() },
                "1048576 bytes in a file of 9001 with the fingerprint aaaaaaaaaaaa",
            ),
            (
                ImageState { fingerprint: "bb".repeat(32), ..state() },
                "1048576 bytes in a file of 9000 with the fingerprint bbbbbbbbbbbb",
            ),
            (
                ImageState { capacity_bytes: 7, ..state() },
                "7 bytes in a file of 9000 with the fingerprint aaaaaaaaaaaa",
            ),
        ] {
            let mut case = clone();
            case.target.templates.insert(PathBuf::from(GOLDEN), other);
            let want = format!(
                "the template is incompatible: /vm/golden.qcow2 has {want}, the clone stands on \
                 1048576 in 9000 with aaaaaaaaaaaa"
            );
            assert_eq!(case.blockers(), [(Code::W0605, want, WAY_OUT.to_owned())]);
        }
        let mut unreadable = clone();
        unreadable.target.templates.clear();
        let want = "the template is incompatible: /vm/golden.qcow2 is no qcow2 that can be read";
        assert_eq!(unreadable.blockers()[0].1, want);
    }

    /// SPACEVM-35: the template has other disks.
    #[test]
    fn a_thin_clone_whose_template_has_other_disks_is_refused() {
        let mut case = clone();
        case.host().machines = vec![machine("golden", &["/vm/other.qcow2"])];
        let want = "the disks differ: /vm/golden.qcow2 is none of the template golden";
        assert_eq!(case.blockers(), [(Code::W0605, want.to_owned(), WAY_OUT.to_owned())]);
    }

    #[test]
    fn a_thin_clone_keeps_its_format_and_its_template_is_no_file_of_the_system() {
        let mut raw = clone();
        raw.choices.output = convert::copy::TargetOptions::Raw;
        assert_eq!(raw.blockers()[0].2, "leave --format and --compress out");
        let mut higher = raw.image("top.snapshot", Some("clone.qcow2"));
        let document = crate::plan::fixture::domain(&disk("vda", "/vm/top.snapshot"));
        higher.native().scrubbed.drives = domain::drives(document.as_bytes()).unwrap();
        higher.native().scrubbed.document = document;
        assert_eq!(higher.blockers()[0].2, "leave --format and --compress out");
        let mut hostile = clone();
        hostile.of_backup().template.as_mut().unwrap().disks[0].path = "/etc/shadow".to_owned();
        assert_eq!(template_paths(&hostile), [] as [PathBuf; 0]);
        let want = "the template's disk /etc/shadow is at no place for images";
        assert_eq!(hostile.blockers()[0].1, want);
    }

    /// SPACEVM-34: of a point only what is above the template's disk becomes one image.
    #[test]
    fn a_point_of_a_thin_clone_is_one_image_above_the_disk_of_its_template() {
        let case = clone().image("clone-2.snapshot", Some("clone.qcow2"));
        let mut case = case.point(&[("vda", "clone.qcow2")]).point(&[("vda", "clone-2.snapshot")]);
        let plan = case.plan();
        assert_eq!((paths(&plan), told(&plan)), (vec!["/vm/clone.qcow2".to_owned()], vec![]));
        assert_eq!(backings(&plan), [Some(GOLDEN.to_owned())]);
        case.choices.output = convert::copy::TargetOptions::Raw;
        let want = "/vm/golden.qcow2 is not in the backup: the images of a clone stay as they are";
        assert_eq!(case.blockers()[0].1, want);
        let other = ImageState { length_bytes: 9001, ..state() };
        case.target.templates.insert(PathBuf::from(GOLDEN), other);
        case.choices.output = convert::copy::TargetOptions::default();
        assert_eq!(case.blockers()[0].0, Code::W0605);
    }

    #[test]
    fn a_folder_has_no_machines_to_compare_and_takes_the_template_by_its_state() {
        let mut case = clone();
        case.target.place = crate::plan::Where::Folder(folder("/out"));
        assert_eq!(case.blockers(), []);
        case.target.templates.clear();
        assert_eq!(case.blockers()[0].0, Code::W0605);
    }

    /// SPACEVM-33: the backup of a template restores as a template, and nobody starts it.
    #[test]
    fn a_template_stays_a_template_and_is_never_started() {
        let mut case = Case::backup(&disk("vda", "/vm/golden.qcow2")).image("golden.qcow2", None);
        assert!(case.plan().machines[0].rows.iter().all(|row| row.item != "template"));
        case.of_backup().is_template = true;
        assert_eq!(row(&case.plan(), "template").reason, "a template stays a template");
        case.choices.start = true;
        let plan = case.plan();
        let want = "a template stays a template: it is not started";
        assert_eq!((row(&plan, "template").reason.as_str(), told(&plan)), (want, vec![]));
        assert!(!plan.host.as_ref().unwrap().start);
        assert!(xml(&plan).contains("<own:mark xmlns:own='urn:own' template='yes'/>"));
    }
}
