//! libvirt's own schema as the judge.

use std::{ffi::OsStr, fs};

use domain::{Changes, patch, scrub};
use testkit::{oracle, skip_oracle};

use crate::{dumps::RUNNING, machines};

/// The validator that comes with libvirt's client programs.
const VALIDATOR: &str = "virt-xml-validate";
/// Its exit statuses where it cannot judge: no schema here, and no `xmllint`, which it runs.
const INCOMPLETE: [i32; 2] = [4, 127];

#[test]
fn writes_what_the_schema_of_libvirt_accepts() {
    assert_accepted(machines::all().iter().map(|machine| domain::write(machine).unwrap()));
}

#[test]
fn edits_a_dump_to_what_the_schema_of_libvirt_accepts() {
    // The schema of libvirt 9.0 does not know q35's own watchdog.
    let dump = RUNNING.replace("model='itco'", "model='i6300esb'");
    let text = scrub(dump.as_bytes()).unwrap().text;
    let edit = |changes| patch(text.as_bytes(), &changes).expect("the drives are there");
    let moved = Changes {
        images: [("vda".to_owned(), "/new/a".into()), ("sda".to_owned(), "/new/cd".into())].into(),
        formats: [("vda".to_owned(), vm::DiskFormat::Raw)].into(),
        nvram: Some("/var/lib/libvirt/qemu/nvram/new.fd".into()),
        as_definition: true,
        ..Changes::default()
    };
    let bare = Changes {
        detach: ["vda".to_owned()].into(),
        eject: ["sda".to_owned()].into(),
        ..Changes::default()
    };
    assert_accepted([edit(moved), edit(bare)]);
}

fn assert_accepted(texts: impl IntoIterator<Item = String>) {
    let folder = tempfile::tempdir().expect("a folder");
    for text in texts {
        let file = folder.path().join("domain.xml");
        fs::write(&file, &text).expect("a file");
        let words = [file.as_os_str(), OsStr::new("domain")];
        let Some(output) = oracle(VALIDATOR, words) else { return };
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.code().is_some_and(|status| INCOMPLETE.contains(&status)) {
            return skip_oracle(VALIDATOR, errors.trim());
        }
        assert!(output.status.success(), "{errors}\n{text}");
    }
}
