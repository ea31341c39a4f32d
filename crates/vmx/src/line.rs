//! One line of a VMX.

use crate::error::Fault;

/// A key and its value, as bytes of the file's own encoding.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawEntry<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: &'a [u8],
}

/// Reads one line; a blank one and a comment are nothing.
///
/// A value is in quotes, which hold no quote (that is `|22`); people who edit the file by hand leave
/// them out, so that a bare word is a value, too.
pub(crate) fn read(line: &[u8]) -> Result<Option<RawEntry<'_>>, Fault> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(None);
    }
    let at = line.iter().position(|byte| *byte == b'=').ok_or(Fault::NoEntry)?;
    let (key, rest) = line.split_at_checked(at).ok_or(Fault::NoEntry)?;
    let key = str::from_utf8(key.trim_ascii()).map_err(|_| Fault::NoEntry)?;
    let is_key = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#');
    if key.is_empty() || !key.bytes().all(is_key) {
        return Err(Fault::NoEntry);
    }
    let value = value(rest.strip_prefix(b"=").unwrap_or(rest).trim_ascii())?;
    Ok(Some(RawEntry { key, value }))
}

fn value(text: &[u8]) -> Result<&[u8], Fault> {
    let Some(quoted) = text.strip_prefix(b"\"") else { return Ok(text) };
    let end = quoted.iter().position(|byte| *byte == b'"').ok_or(Fault::NoClosingQuote)?;
    let (value, behind) = quoted.split_at_checked(end).ok_or(Fault::NoClosingQuote)?;
    let behind = behind.strip_prefix(b"\"").unwrap_or(behind).trim_ascii();
    if behind.is_empty() || behind.starts_with(b"#") { Ok(value) } else { Err(Fault::BehindQuote) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_key_and_its_value() {
        for (line, want) in [
            (r#"memsize = "2048""#, Some(("memsize", "2048"))),
            (r#"  scsi0:0.fileName="a b.vmdk"   "#, Some(("scsi0:0.fileName", "a b.vmdk"))),
            (r#"key = "a # b = c" # comment"#, Some(("key", "a # b = c"))),
            ("numvcpus = 2", Some(("numvcpus", "2"))),
            (r#"redo = """#, Some(("redo", ""))),
            ("empty =", Some(("empty", ""))),
            ("", None),
            ("   ", None),
            ("# comment", None),
            ("#!/usr/bin/vmware", None),
        ] {
            let got = read(line.as_bytes()).unwrap();
            let want = want.map(|(key, value)| RawEntry { key, value: value.as_bytes() });
            assert_eq!(got, want, "{line}");
        }
    }

    #[test]
    fn refuses_what_may_mean_two_things() {
        for (line, want) in [
            ("no equals sign", "a line that is not `key = \"value\"`"),
            ("= \"value\"", "a line that is not `key = \"value\"`"),
            ("two words = \"x\"", "a line that is not `key = \"value\"`"),
            ("schlüssel = \"x\"", "a line that is not `key = \"value\"`"),
            ("memsize = \"204", "a value without a closing quote"),
            (r#"name = "a" b""#, "text behind the closing quote of a value"),
        ] {
            assert_eq!(read(line.as_bytes()).unwrap_err().to_string(), want, "{line}");
        }
    }
}
