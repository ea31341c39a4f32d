//! Reading a `.cert` file: one line with the signature, then certificates in PEM.

use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::{manifest::Algorithm, manifest::hex, quote};

/// The most certificates that are read (ours): real chains have two to four.
const MAX_CERTIFICATES: usize = 16;

/// What stands before the first certificate, and after the last one.
const FENCE: &str = "-----BEGIN ";

/// What a `.cert` file says.
#[derive(Debug)]
pub(super) struct SignatureFile {
    /// The algorithm of the digest that is signed.
    pub(super) algorithm: Algorithm,
    /// The name of the file that is signed.
    pub(super) name: String,
    /// The signature.
    pub(super) signature: Vec<u8>,
    /// The signer's certificate.
    pub(super) signer: CertificateDer<'static>,
    /// The others.
    pub(super) intermediates: Vec<CertificateDer<'static>>,
}

impl SignatureFile {
    /// Reads a file. Lines of blanks or NULs are nothing: OVF Tool fills the file up with them.
    ///
    /// `Err` is what is wrong.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = Vec::new();
        let mut is_inside = false;
        for line in text.split('\n') {
            let line = line.trim_matches(|c: char| c.is_whitespace() || c == '\0');
            is_inside |= line.starts_with(FENCE);
            if !is_inside && line.contains('=') {
                lines.push(line);
            }
            is_inside &= !line.starts_with("-----END ");
        }
        let line = match lines.as_slice() {
            [one] => *one,
            [] => return Err("the certificate file has no signature".to_owned()),
            several => return Err(format!("{} signatures, one is allowed", several.len())),
        };
        let (algorithm, name, signature) = line_of(line)
            .ok_or_else(|| format!("{} is no 'ALGORITHM(name)= digits'", quote::Quoted(line)))?;
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(bytes) {
            if certificates.len() == MAX_CERTIFICATES {
                return Err(format!("more than {MAX_CERTIFICATES} certificates"));
            }
            certificates
                .push(certificate.map_err(|error| format!("a certificate is no PEM: {error}"))?);
        }
        if certificates.is_empty() {
            return Err("the certificate file has no certificate".to_owned());
        }
        let signer = certificates.remove(0);
        Ok(Self { algorithm, name, signature, signer, intermediates: certificates })
    }
}

fn line_of(line: &str) -> Option<(Algorithm, String, Vec<u8>)> {
    let (left, digits) = line.rsplit_once('=')?;
    let (label, name) = left.trim_end().strip_suffix(')')?.split_once('(')?;
    let name = name.trim().trim_start_matches("./");
    let signature = hex(digits.trim()).filter(|bytes| !bytes.is_empty())?;
    Some((Algorithm::of_label(label.trim())?, name.to_owned(), signature))
}

#[cfg(test)]
mod tests {
    use testkit::Signer;

    use super::*;

    fn refusal(text: &str) -> String {
        SignatureFile::parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn reads_the_line_and_the_certificates_with_padding_around_them() {
        let pem = Signer::ecdsa("one", &[]).pem().to_owned() + Signer::ecdsa("two", &[]).pem();
        for text in [
            format!("SHA256(vm.mf)= 00ff\n{pem}"),
            format!("\u{feff}sha-256 ( ./vm.mf ) = 00FF\r\n\r\n{pem}{}", " ".repeat(9000)),
            format!("{pem}SHA256(vm.mf)=00ff\0\0\0"),
        ] {
            let text = text.replace('\u{feff}', "");
            let file = SignatureFile::parse(text.as_bytes()).unwrap();
            assert_eq!(file.algorithm, Algorithm::Sha256);
            assert_eq!((file.name.as_str(), file.signature.as_slice()), ("vm.mf", &[0, 255][..]));
            assert_eq!(file.intermediates.len(), 1);
        }
    }

    #[test]
    fn says_what_is_missing_or_too_much() {
        let pem = Signer::ecdsa("one", &[]).pem().to_owned();
        for (text, want) in [
            (String::new(), "the certificate file has no signature"),
            (pem.clone(), "the certificate file has no signature"),
            ("SHA256(vm.mf)= 00\n".to_owned(), "the certificate file has no certificate"),
            (format!("SHA1(a)= 00\nSHA1(b)= 00\n{pem}"), "2 signatures, one is allowed"),
            (format!("MD5(a)= 00\n{pem}"), "'MD5(a)= 00' is no 'ALGORITHM(name)= digits'"),
            (format!("SHA1(a)= 0\n{pem}"), "'SHA1(a)= 0' is no 'ALGORITHM(name)= digits'"),
            (format!("SHA1(a)=\n{pem}"), "'SHA1(a)=' is no 'ALGORITHM(name)= digits'"),
            (format!("SHA1(a)= 00\n{}", pem.repeat(17)), "more than 16 certificates"),
        ] {
            assert_eq!(refusal(&text), want);
        }
        let broken = format!("SHA1(a)= 00\n{}", pem.replace("-----END", "----"));
        assert!(refusal(&broken).starts_with("a certificate is no PEM: "), "{}", refusal(&broken));
    }
}
