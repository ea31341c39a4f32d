//! What bundles are called that nobody names: `MACHINE-YYYYMMDD-HHMMSS.tar`.

use std::path::Path;

use bundle::{Form, Point};

/// The name of the bundle of a machine that begins now, in seconds since 1970.
pub(super) fn file_name(machine: &str, form: Form, now: u64) -> String {
    format!("{}-{}.{}", stem(machine), Point::id_at(now, &[]), form.ending())
}

/// Whether a file has such a name, finished or not, and of this machine.
pub(super) fn is_of(machine: &str, file: &Path) -> bool {
    let stamp = || {
        let rest = file.file_name()?.to_str()?.strip_prefix(&*stem(machine))?;
        Some(rest.strip_prefix('-')?.split_once(".tar")?.0)
    };
    let digit = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
    stamp().is_some_and(|stamp| stamp.bytes().map(digit).eq(*b"00000000-000000"))
}

fn stem(machine: &str) -> String {
    let name = bundle::member_name(machine);
    name.map_or_else(|_| "machine".to_owned(), |name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_machine() {
        let name = file_name("web", Form::TarZst, 1_795_287_900);
        assert_eq!(name, "web-20261121-190500.tar.zst");
        for (file, is_it) in [
            (&*name, true),
            ("a/web-20261121-190500.tar", true),
            ("web-20261121-190500.tar.partial-17", true),
            ("web-2-20261121-190500.tar", false),
            ("web-20261121.tar", false),
            ("web.tar", false),
            ("web", false),
            ("db-20261121-190500.tar", false),
            ("web-20261121-190500.raw", false),
        ] {
            assert_eq!(is_of("web", Path::new(file)), is_it, "{file}");
        }
    }
}
