//! What snapshots make of the images of a machine of memory: overlays that are files, begun and given up.

use std::{fs::File, path::Path, sync::Arc};

use disk::{Alone, Declared, FileBytes, Format, Target as _, qcow2};

use super::{Fake, FakeGuest};
use crate::libvirt::{Keeps, Power};

impl Fake {
    /// Begins the files of a new snapshot, and gives its document as libvirt would keep it. The machine
    /// goes on in overlays of those images that there are.
    ///
    /// # Panics
    /// A file cannot be made: the test is at fault.
    pub(super) fn begin_overlays(&self, xml: &str, keeps: Keeps) -> String {
        let mut guest = self.guest.borrow_mut();
        let state = match (keeps, &guest.power) {
            (Keeps::Memory, _) => "running",
            (_, Power::Off) => "shutoff",
            _ => "disk-snapshot",
        };
        let then = guest.definition.clone();
        for disk in xml.split("<disk ").skip(1) {
            if let (Some(target), Some(overlay)) =
                (between(disk, "name=\"", "\""), between(disk, "<source file=\"", "\""))
            {
                begin(&mut guest, target, Path::new(overlay));
            }
        }
        if let Some(file) = between(xml, "<memory snapshot=\"external\" file=\"", "\"") {
            std::fs::write(file, "memory").expect("the folder of the test takes files");
        }
        let end = "</domainsnapshot>";
        let more = format!("<state>{state}</state><creationTime>1</creationTime>{then}{end}");
        xml.replace(end, &more)
    }

    /// Lets a disk of the machine go on in another image.
    pub(super) fn go_on_in(&self, target: &str, image: &str) {
        let mut guest = self.guest.borrow_mut();
        if let Some(head) = head(&guest, target) {
            guest.definition =
                guest.definition.replace(&format!("'{head}'"), &format!("'{image}'"));
        }
    }
}

/// Lets a disk go on in an overlay of its image, if that is a file.
fn begin(guest: &mut FakeGuest, target: &str, overlay: &Path) {
    let Some(image) = head(guest, target).filter(|image| Path::new(image).is_file()) else {
        return;
    };
    let bytes = File::open(&image).and_then(FileBytes::new).expect("it is there");
    let below = disk::open_behind(&Alone, Arc::new(bytes), Declared::Unknown);
    let capacity_bytes = below.expect("the image of the test is sound").capacity_bytes();
    let backing = qcow2::Backing { name: image.clone(), format: Format::Qcow2 };
    let options = qcow2::Options { compression: qcow2::Compression::None, backing: Some(backing) };
    let file = File::create_new(overlay).expect("no overlay of that name is there");
    let made = qcow2::Writer::create_with(Arc::new(file), capacity_bytes, options);
    made.and_then(|mut writer| writer.finish()).expect("the folder of the test takes files");
    let overlay = overlay.display().to_string();
    guest.definition = guest.definition.replace(&format!("'{image}'"), &format!("'{overlay}'"));
}

/// The image that a disk of the machine is on.
fn head(guest: &FakeGuest, target: &str) -> Option<String> {
    let before = guest.definition.split(&format!("dev='{target}'")).next()?;
    let file = before.rsplit("<source file='").next()?.split('\'').next()?;
    Some(file.to_owned())
}

/// The text between two others.
fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    text.split_once(start)?.1.split_once(end).map(|(found, _)| found)
}
