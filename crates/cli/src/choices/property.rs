//! `--prop` and `--prop-file`: values of properties, which may be secrets.

use std::{fs::File, io::Read as _, path::Path};

use code::{Code, ExitStatus};

use crate::failure::{Failure, Result};

/// The largest file that a value or a list of values is read from: the limit of this product.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The values by their keys. What a flag says counts more than what the file says, and the later
/// one more than the earlier. Values are never in a message.
pub(super) fn values(flags: &[String], file: Option<&Path>) -> Result<Vec<(String, String)>> {
    let mut values = Vec::new();
    if let Some(path) = file {
        for (number, line) in (1..).zip(read(path)?.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = divide(line).ok_or_else(|| {
                let path = path.display();
                Failure::usage(format!("line {number} of --prop-file {path} is not KEY=VALUE"))
            })?;
            set(&mut values, key, value.to_owned());
        }
    }
    for (number, flag) in (1..).zip(flags) {
        let (key, value) = divide(flag)
            .ok_or_else(|| Failure::usage(format!("--prop number {number} is not KEY=VALUE")))?;
        let value = match value.strip_prefix('@') {
            Some(path) => strip_line_end(read(Path::new(path))?),
            None => value.to_owned(),
        };
        set(&mut values, key, value);
    }
    Ok(values)
}

fn divide(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(key, _)| !key.trim().is_empty())
}

fn set(values: &mut Vec<(String, String)>, key: &str, value: String) {
    values.retain(|(there, _)| there != key);
    values.push((key.to_owned(), value));
}

/// An editor ends a file with a line break that is no part of the value.
fn strip_line_end(mut text: String) -> String {
    let end = text
        .strip_suffix('\n')
        .map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    text.truncate(end.len());
    text
}

fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    let mut text = String::new();
    let count = File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| {
            Failure::new(Code::E0508, format!("cannot read {shown}"))
                .cause(error.to_string())
                .fix("check the path that --prop or --prop-file names")
                .exit(ExitStatus::Usage)
        })?;
    if count as u64 > MAX_FILE_BYTES {
        let text = format!("{shown} has more than {MAX_FILE_BYTES} bytes, too many for a property");
        return Err(Failure::usage(text));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn flags(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn flags_count_more_than_the_file_and_later_ones_more_than_earlier_ones() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        fs::write(&list, "# names\n\nhostname=a\nip=1=2\n").unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "s e\nc\r\n").unwrap();
        let at = format!("password=@{}", secret.display());
        let found = values(&flags(&["hostname=b", "hostname=c", &at]), Some(&list)).unwrap();
        assert_eq!(found, [pair("ip", "1=2"), pair("hostname", "c"), pair("password", "s e\nc")]);
    }

    #[test]
    fn a_wrong_line_is_named_and_its_text_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        fs::write(&list, "a=1\nhunter2\n").unwrap();
        let failure = values(&[], Some(&list)).unwrap_err();
        let want = format!("line 2 of --prop-file {} is not KEY=VALUE", list.display());
        assert_eq!(failure.message, want);
        let failure = values(&flags(&["a=1", "=hunter2"]), None).unwrap_err();
        assert_eq!(failure.message, "--prop number 2 is not KEY=VALUE");
        let failure = values(&flags(&["a=@/does/not/exist"]), None).unwrap_err();
        assert_eq!(failure.message, "cannot read /does/not/exist");
        assert_eq!(failure.exit, ExitStatus::Usage);
    }
}
