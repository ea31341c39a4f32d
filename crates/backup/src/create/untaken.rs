//! What a point does not keep of its machine, beside disks that are left out.

use host::libvirt::Protection;
use vm::Uuid;

use super::Note;

/// Snapshots of the machine are in no point: its disks are read as they are now.
pub(super) fn snapshots(machine: Uuid, host: &dyn Protection) -> Option<Note> {
    // A host that does not tell of them now has told all that the point needs.
    let text = match host.snapshots(machine).ok()?.len() {
        0 => return None,
        1 => "a snapshot of the machine is".to_owned(),
        count => format!("{count} snapshots of the machine are"),
    };
    Some(Note(format!("{text} not in the backup, which has its disks as they are now")))
}

#[cfg(test)]
mod tests {
    use host::{
        fake::{Fake, FakeGuest},
        libvirt::KnownSnapshot,
    };

    use super::*;

    #[test]
    fn snapshots_that_are_not_in_a_backup_are_told() {
        for (count, want) in [
            (0, None),
            (1, Some("a snapshot of the machine is")),
            (3, Some("3 snapshots of the machine are")),
        ] {
            let snapshots = (0..count).map(|number| KnownSnapshot {
                name: format!("s{number}"),
                is_current: number == 0,
                xml: String::new(),
            });
            let guest = FakeGuest { snapshots: snapshots.collect(), ..FakeGuest::default() };
            let note = super::snapshots(Uuid([7; 16]), &Fake::new(None).with_guest(guest));
            let want = want.map(|text| {
                Note(format!("{text} not in the backup, which has its disks as they are now"))
            });
            assert_eq!(note, want);
        }
    }
}
