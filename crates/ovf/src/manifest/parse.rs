//! Reading a manifest.

use code::Code;

use super::{Algorithm, Digest, Entry, Manifest};
use crate::{Error, Finding, Place, quote};

/// The longest manifest that is read, in bytes (ours).
const MAX_MANIFEST_BYTES: usize = 1 << 20;
/// The longest line, in bytes (ours).
const MAX_LINE_BYTES: usize = 4 << 10;

impl Manifest {
    /// Reads a manifest in the dialects of real writers.
    ///
    /// A line is `ALGORITHM(name)= digits`, with blanks wherever a writer puts them. Lines of blanks
    /// or NULs are nothing: OVF Tool fills a manifest up with them.
    ///
    /// # Errors
    /// `E0202` with the line for one that cannot be read, an unknown algorithm, a digest of the
    /// wrong length or a name that appears twice; `E0106` over a limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            let message = format!(
                "the manifest has {} bytes, at most {MAX_MANIFEST_BYTES} are allowed",
                bytes.len()
            );
            return Err(Error::limit(Code::E0106, message));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            Error::malformed(Code::E0202, "the manifest is not UTF-8").caused_by(error)
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut manifest = Self::default();
        for (number, line) in (1_u64..).zip(text.split('\n')) {
            let line = line.trim_matches(|c: char| c.is_whitespace() || c == '\0');
            if !line.is_empty() {
                let entry = parse_line(line, number).map_err(|e| e.at(Place::Line(number)))?;
                manifest.add(entry)?;
            }
        }
        manifest.index_decoded_names();
        manifest.note_weak();
        Ok(manifest)
    }

    fn add(&mut self, entry: Entry) -> Result<(), Error> {
        let position = self.entries.len();
        if self.positions.insert(entry.plain_name(), position).is_some() {
            let message = format!("a second line for {}", quote::Quoted(&entry.name));
            return Err(Error::malformed(Code::E0202, message).at(Place::Line(entry.line)));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// A name that some line spells as it is beats one that is percent-decoded to it.
    fn index_decoded_names(&mut self) {
        for (position, entry) in self.entries.iter().enumerate() {
            self.positions.entry(entry.decoded_name()).or_insert(position);
        }
    }

    fn note_weak(&mut self) {
        if self.strongest() == Some(Algorithm::Sha1) {
            let message = "the manifest has SHA-1 only, which shows damage and proves nothing";
            self.findings.push(Finding::new(Code::W0609, message));
        }
    }
}

fn parse_line(line: &str, number: u64) -> Result<Entry, Error> {
    let bad = |message: String| Err(Error::malformed(Code::E0202, message));
    if line.len() > MAX_LINE_BYTES {
        let message =
            format!("a line of {} bytes, at most {MAX_LINE_BYTES} are allowed", line.len());
        return Err(Error::limit(Code::E0106, message));
    }
    // A name may hold brackets and equals signs; digits hold neither.
    let split = line.rsplit_once('=').and_then(|(left, digits)| {
        let (label, name) = left.trim_end().strip_suffix(')')?.split_once('(')?;
        Some((label.trim(), name, digits.trim()))
    });
    let Some((label, name, digits)) = split.filter(|(_, name, _)| !name.is_empty()) else {
        return bad(format!("the line {} is no 'ALGORITHM(name)= digits'", quote::Quoted(line)));
    };
    let Some(algorithm) = Algorithm::of_label(label) else {
        return bad(format!("the algorithm {} is not allowed", quote::Quoted(label)));
    };
    let digest = hex(digits).and_then(|bytes| Digest::new(algorithm, &bytes));
    let Some(digest) = digest else {
        return bad(format!(
            "the digest {} is not {} hexadecimal digits",
            quote::Quoted(digits),
            algorithm.digest_bytes().saturating_mul(2)
        ));
    };
    Ok(Entry { name: name.to_owned(), digest, line: number })
}

impl Algorithm {
    /// Reads a label: `SHA256`, `SHA-256`, `SHA2-256`, in any case.
    pub(crate) fn of_label(label: &str) -> Option<Self> {
        let label = label.to_ascii_uppercase().replace('-', "");
        match label.as_str() {
            "SHA1" => Some(Self::Sha1),
            "SHA256" | "SHA2256" => Some(Self::Sha256),
            "SHA384" | "SHA2384" => Some(Self::Sha384),
            "SHA512" | "SHA2512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// Reads pairs of hexadecimal digits.
pub(crate) fn hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";
    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn entries(text: &str) -> Vec<(String, String)> {
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        manifest.entries.into_iter().map(|e| (e.name, format!("{:?}", e.digest))).collect()
    }

    #[test]
    fn reads_every_spelling_of_real_writers() {
        let want = |name: &str| vec![(name.to_owned(), format!("sha256:{SHA256}"))];
        for (line, name) in [
            (format!("SHA256(vm.ovf)= {SHA256}\n"), "vm.ovf"),
            (format!("SHA256(vm.ovf)={SHA256}"), "vm.ovf"),
            (format!("SHA256 (vm.ovf) = {SHA256}\r\n"), "vm.ovf"),
            (format!("\u{feff}sha-256(vm.ovf)= {}\n", SHA256.to_uppercase()), "vm.ovf"),
            (format!("SHA2-256(a b) (1).vmdk)= {SHA256}\n"), "a b) (1).vmdk"),
            (format!("SHA256(a=b)= {SHA256}\n\n   \n\0\0\0"), "a=b"),
        ] {
            assert_eq!(entries(&line), want(name), "{line:?}");
        }
    }

    #[test]
    fn takes_the_algorithm_from_each_line() {
        let text = format!("SHA1(a)= {SHA1}\nSHA256(b)= {SHA256}\n");
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.strongest(), Some(Algorithm::Sha256));
        assert_eq!(manifest.entries[1].line, 2);
        assert_eq!(manifest.findings, []);
        let weak = Manifest::parse(format!("SHA1(a)= {SHA1}\n").as_bytes()).unwrap();
        assert_eq!(weak.findings[0].code, Code::W0609);
    }

    #[test]
    fn refuses_lines_that_cannot_be_read() {
        for (line, want) in [
            ("garbage", "the line 'garbage' is no 'ALGORITHM(name)= digits' (line 2)".to_owned()),
            ("SHA1()= 00", "the line 'SHA1()= 00' is no 'ALGORITHM(name)= digits' (line 2)".into()),
            ("MD5(a)= 00", "the algorithm 'MD5' is not allowed (line 2)".into()),
            ("SHA1(a)= 00", "the digest '00' is not 40 hexadecimal digits (line 2)".into()),
            ("SHA1(a)= xx", "the digest 'xx' is not 40 hexadecimal digits (line 2)".into()),
            (
                &format!("SHA256(a)= {SHA1}"),
                format!("the digest '{SHA1}' is not 64 hexadecimal digits (line 2)"),
            ),
            (&format!("SHA1(./ok)= {SHA1}"), "a second line for './ok' (line 2)".into()),
            (
                &format!("SHA1({})= {SHA1}", "n".repeat(5000)),
                "a line of 5048 bytes, at most 4096 are allowed (line 2)".into(),
            ),
        ] {
            let text = format!("SHA1(ok)= {SHA1}\n{line}\n");
            assert_eq!(Manifest::parse(text.as_bytes()).unwrap_err().to_string(), want);
        }
        let error = Manifest::parse(&vec![b' '; MAX_MANIFEST_BYTES + 1]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the manifest has 1048577 bytes, at most 1048576 are allowed"
        );
        assert_eq!(Manifest::parse(b"\xff").unwrap_err().code(), Code::E0202);
    }

    #[test]
    fn cut_inside_a_line_it_is_an_error() {
        let line = format!("SHA1(vm.ovf)= {SHA1}");
        for length in 1..line.len() {
            assert!(Manifest::parse(&line.as_bytes()[..length]).is_err(), "{length}");
        }
        assert!(Manifest::parse(line.as_bytes()).is_ok());
    }
}
