//! libvirt's own schema as the judge.

use std::{ffi::OsStr, fs};

use testkit::{oracle, skip_oracle};

use crate::machines;

/// The validator that comes with libvirt's client programs.
const VALIDATOR: &str = "virt-xml-validate";
/// Its exit statuses where it cannot judge: no schema here, and no `xmllint`, which it runs.
const INCOMPLETE: [i32; 2] = [4, 127];

#[test]
fn writes_what_the_schema_of_libvirt_accepts() {
    let folder = tempfile::tempdir().unwrap();
    for machine in machines::all() {
        let file = folder.path().join("domain.xml");
        fs::write(&file, domain::write(&machine).unwrap()).unwrap();
        let words = [file.as_os_str(), OsStr::new("domain")];
        let Some(output) = oracle(VALIDATOR, words) else { return };
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.code().is_some_and(|status| INCOMPLETE.contains(&status)) {
            return skip_oracle(VALIDATOR, errors.trim());
        }
        assert!(output.status.success(), "{}: {errors}", machine.name);
    }
}
