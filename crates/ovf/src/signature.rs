//! The signature of a package: who says that the manifest is right.
//!
//! ```text
//!  .cert bytes --SignatureFile::parse--> ALGORITHM(package.mf)= digits   + certificates, the signer first
//!                                                 |                              |
//!  .mf bytes, exactly as stored ----------> Key::verify: invalid?         Trust::accepts: untrusted?
//! ```
//!
//! A signature that does not fit is *invalid*, whoever made it. One that fits proves only that the
//! signer has a key; whether the signer is known is the user's to say, with a trust store. Nothing is
//! trusted because it is in the package.

mod chain;
mod file;
mod key;

use std::fmt;

pub use chain::Trust;

use crate::{
    EntryName, Finding, Manifest,
    manifest::{Algorithm, Hasher},
    quote,
};
use chain::Signer;
use file::SignatureFile;
use key::Key;

/// The fewest bytes of an RSA modulus that is trusted: 2048 bits.
const MIN_RSA_BYTES: usize = 256;

/// What is known of the signature of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signature {
    /// There is no certificate file.
    #[default]
    Unsigned,
    /// It does not sign this manifest, and why.
    Invalid(String),
    /// It signs this manifest, but nobody says that the signer is to be trusted, or something weak is
    /// in it; all reasons.
    Untrusted(Vec<String>),
    /// It signs this manifest, and the user's trust store knows the signer.
    Trusted(Identity),
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The subject of the certificate, escaped for printing.
    pub subject: String,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: String,
}

/// What a signature shall be for.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The name of the manifest.
    pub manifest_name: &'a EntryName,
    /// Its bytes, with all that a writer filled it up with.
    pub manifest: &'a [u8],
    /// The descriptor, which the manifest should list.
    pub descriptor: &'a EntryName,
}

impl Signature {
    /// Judges the certificate file of a package.
    #[must_use]
    pub fn verify(certificate: &[u8], signed: &Signed<'_>, trust: &Trust) -> Self {
        judge(certificate, signed, trust).unwrap_or_else(Self::Invalid)
    }

    /// The signature of a package whose manifest is not there.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self::Invalid("there is no manifest that it signs".to_owned())
    }

    /// The signature of a package that nobody looked at.
    #[must_use]
    pub fn not_verified() -> Self {
        Self::Untrusted(vec!["it was not verified".to_owned()])
    }

    /// The word used in JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Invalid(_) => "invalid",
            Self::Untrusted(_) => "untrusted",
            Self::Trusted(_) => "trusted",
        }
    }

    /// The same, unless something that is known elsewhere speaks against trust.
    #[must_use]
    pub fn unless(self, reason: Option<&str>) -> Self {
        match (self, reason) {
            (Self::Untrusted(mut reasons), Some(reason)) => {
                reasons.push(reason.to_owned());
                Self::Untrusted(reasons)
            }
            (Self::Trusted(_), Some(reason)) => Self::Untrusted(vec![reason.to_owned()]),
            (signature, _) => signature,
        }
    }

    /// What is to be said of a signature that is sound and not trusted.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        let Self::Untrusted(reasons) = self else { return None };
        let message = format!("the signature is untrusted: {}", reasons.join("; "));
        Some(Finding::new(code::Code::W0609, message))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SHA-256 {})", self.subject, self.fingerprint)
    }
}

/// `Err` is why the signature is invalid.
fn judge(certificate: &[u8], signed: &Signed<'_>, trust: &Trust) -> Result<Signature, String> {
    let file = SignatureFile::parse(certificate)?;
    if file.name != signed.manifest_name.as_str() && file.name != signed.manifest_name.base() {
        return Err(format!(
            "it signs {}, and the manifest is {}",
            quote::Quoted(&file.name),
            quote::Quoted(signed.manifest_name.as_str())
        ));
    }
    let signer = Signer::parse(&file.signer)?;
    let key = signer.key()?;
    key.verify(file.algorithm, signed.manifest, &file.signature)?;
    let mut reasons = trust.objections(&signer, &file.intermediates);
    reasons.extend(weak(&key, &file));
    reasons.extend(uncovered(signed));
    if !reasons.is_empty() {
        return Ok(Signature::Untrusted(reasons));
    }
    let mut hash = Hasher::new(Algorithm::Sha256);
    hash.update(&file.signer);
    let subject = quote::Plain(&signer.subject()).to_string();
    Ok(Signature::Trusted(Identity { subject, fingerprint: hash.finish().to_string() }))
}

/// What an attacker with enough machines could forge.
fn weak(key: &Key<'_>, file: &SignatureFile) -> Vec<String> {
    let mut reasons = Vec::new();
    if file.algorithm == Algorithm::Sha1 {
        reasons.push("it is made with SHA-1".to_owned());
    }
    // A signature of RSA is as long as the modulus.
    if key.is_rsa() && file.signature.len() < MIN_RSA_BYTES {
        let bits = file.signature.len().saturating_mul(8);
        reasons.push(format!("the key has {bits} bits, at least 2048 are needed"));
    }
    reasons
}

/// What the manifest that is signed leaves open.
fn uncovered(signed: &Signed<'_>) -> Vec<String> {
    let Ok(manifest) = Manifest::parse(signed.manifest) else {
        return vec!["the manifest that it signs cannot be read".to_owned()];
    };
    let mut reasons = Vec::new();
    if manifest.expected(signed.descriptor).is_none() {
        reasons.push("the manifest that it signs does not list the descriptor".to_owned());
    }
    if manifest.entries.iter().any(|entry| entry.digest.algorithm() == Algorithm::Sha1) {
        reasons.push("the manifest that it signs has SHA-1 digests".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use testkit::{NOW_SECONDS, Signer, Wish};

    use super::*;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn manifest() -> String {
        format!("SHA256(vm.ovf)= {DIGEST}\n")
    }

    fn trusting(signer: &Signer) -> Trust {
        Trust::of_pem(signer.pem().as_bytes(), NOW_SECONDS).unwrap()
    }

    fn verify(certificate: &str, manifest: &str, trust: &Trust) -> Signature {
        let name = |text: &str| EntryName::parse(text).unwrap();
        let (manifest_name, descriptor) = (name("vm.mf"), name("vm.ovf"));
        let signed = Signed {
            manifest_name: &manifest_name,
            manifest: manifest.as_bytes(),
            descriptor: &descriptor,
        };
        Signature::verify(certificate.as_bytes(), &signed, trust)
    }

    /// The one reason why the certificate file is untrusted.
    fn objection(certificate: &str, trust: &Trust) -> String {
        match verify(certificate, &manifest(), trust) {
            Signature::Untrusted(reasons) => reasons.join("; "),
            other => panic!("{other:?}"),
        }
    }

    fn sign(signer: &Signer, chain: &[&Signer]) -> String {
        signer.sign("SHA256", "vm.mf", manifest().as_bytes(), chain)
    }

    #[test]
    fn trusts_a_signer_whose_certificate_the_user_gave() {
        for signer in [Signer::rsa("Example"), Signer::ecdsa("Example", &[])] {
            let found = verify(&sign(&signer, &[]), &manifest(), &trusting(&signer));
            let Signature::Trusted(who) = &found else { panic!("{found:?}") };
            assert_eq!(who.subject, "CN=Example");
            assert_eq!(who.fingerprint.len(), 64);
            assert_eq!((found.as_str(), found.finding()), ("trusted", None));
        }
    }

    #[test]
    fn trusts_every_strong_digest_that_rsa_signs() {
        let signer = Signer::rsa("Example");
        for label in ["SHA256", "SHA384", "SHA512"] {
            let file = signer.sign(label, "vm.mf", manifest().as_bytes(), &[]);
            assert_eq!(verify(&file, &manifest(), &trusting(&signer)).as_str(), "trusted");
        }
        let file = signer.sign("SHA1", "vm.mf", manifest().as_bytes(), &[]);
        assert_eq!(objection(&file, &trusting(&signer)), "it is made with SHA-1");
    }

    #[test]
    fn trusts_a_chain_that_ends_in_the_users_trust_store() {
        let root = Signer::ecdsa("root", &[Wish::Authority]);
        let middle = root.issue("middle", &[Wish::Authority]);
        let signer = middle.issue("Example", &[]);
        let trust = trusting(&root);
        assert_eq!(verify(&sign(&signer, &[&middle]), &manifest(), &trust).as_str(), "trusted");
        assert_eq!(
            objection(&sign(&signer, &[]), &trust),
            "the issuer 'CN=middle' is not in the trust store"
        );
        // What the package brings along is never an anchor.
        let other = trusting(&Signer::ecdsa("other", &[Wish::Authority]));
        assert_eq!(
            objection(&sign(&signer, &[&middle, &root]), &other),
            "the issuer 'CN=middle' is not in the trust store"
        );
        assert_eq!(
            objection(&sign(&signer, &[&middle, &root]), &Trust::nobody(NOW_SECONDS)),
            "no trust store was given (--trust)"
        );
    }

    #[test]
    fn a_certificate_that_may_not_issue_others_ends_a_chain() {
        let root = Signer::ecdsa("root", &[Wish::Authority]);
        let middle = root.issue("middle", &[]);
        let signer = middle.issue("Example", &[]);
        let found = objection(&sign(&signer, &[&middle]), &trusting(&root));
        assert!(found.starts_with("the chain of the certificate is refused: "), "{found}");
    }

    #[test]
    fn a_certificate_of_version_1_is_trusted_where_an_anchor_issued_it() {
        let root = Signer::rsa("root");
        let signer = root.issue_plain("Example");
        let good = sign(&signer, &[]);
        assert_eq!(verify(&good, &manifest(), &trusting(&root)).as_str(), "trusted");
        let namesake = Signer::ecdsa("root", &[Wish::Authority]);
        let want = "the issuer 'CN=root' is not in the trust store";
        assert_eq!(objection(&good, &trusting(&namesake)), want);
        // What stands between must say that it may.
        let middle = namesake.issue("middle", &[Wish::Authority]);
        let signer = middle.issue_plain("Example");
        let want = "the issuer 'CN=middle' is not in the trust store";
        assert_eq!(objection(&sign(&signer, &[&middle]), &trusting(&namesake)), want);
    }

    #[test]
    fn says_why_a_sound_signature_is_not_trusted() {
        let root = Signer::ecdsa("root", &[Wish::Authority]);
        let trust = trusting(&root);
        for (signer, want) in [
            (Signer::rsa("own"), "the certificate is self-signed"),
            (
                Signer::ecdsa("own", &[Wish::Expired]),
                "the certificate expired on 2020-06-01T00:00:00Z; the certificate is self-signed",
            ),
            (
                root.issue("x", &[Wish::EncryptionOnly]),
                "the certificate is not made for signatures",
            ),
        ] {
            assert_eq!(objection(&sign(&signer, &[]), &trust), want);
        }
        let early = root.issue("x", &[Wish::NotYet]);
        let found = objection(&sign(&early, &[]), &trust);
        assert!(
            found.starts_with("the certificate is not valid before 2998-01-01T00:00:00Z; "),
            "{found}"
        );
        let server = root.issue("x", &[Wish::ServerOnly]);
        let found = objection(&sign(&server, &[]), &trust);
        assert_eq!(found, "the certificate is not made for signing code");
        let short = Signer::short_rsa("short");
        assert_eq!(
            objection(&sign(&short, &[]), &trusting(&short)),
            "the key has 1024 bits, at least 2048 are needed"
        );
    }

    #[test]
    fn a_manifest_that_proves_little_makes_no_trust() {
        let signer = Signer::rsa("Example");
        let short = "a9993e364706816aba3e25717850c26c9cd0d89d";
        for (manifest, want) in [
            (
                format!("SHA256(vm.vmdk)= {DIGEST}\n"),
                "the manifest that it signs does not list the descriptor",
            ),
            (format!("SHA1(vm.ovf)= {short}\n"), "the manifest that it signs has SHA-1 digests"),
            ("nonsense\n".to_owned(), "the manifest that it signs cannot be read"),
        ] {
            let file = signer.sign("SHA256", "vm.mf", manifest.as_bytes(), &[]);
            let found = verify(&file, &manifest, &trusting(&signer));
            assert_eq!(found, Signature::Untrusted(vec![want.to_owned()]));
        }
    }

    #[test]
    fn what_does_not_fit_is_invalid_whoever_signed() {
        let (signer, other) = (Signer::rsa("Example"), Signer::ecdsa("other", &[]));
        let good = sign(&signer, &[]);
        let trust = trusting(&signer);
        let differs = "the manifest is not what was signed, or the key is another";
        let at = good.find("= ").unwrap() + 2;
        let digit = if &good[at..=at] == "0" { "1" } else { "0" };
        let flipped = format!("{}{digit}{}", &good[..at], &good[at + 1..]);
        let foreign = good.replace(signer.pem(), other.pem());
        let renamed = good.replace("(vm.mf)", "(other.mf)");
        let changed = manifest().replace("vm.ovf", "vm.ovg");
        let padded = manifest() + " ";
        for (file, manifest, want) in [
            (flipped, manifest(), differs),
            (foreign, manifest(), differs),
            (good.clone(), changed, differs),
            // The bytes as they are stored, with what fills them up.
            (good.clone(), padded, differs),
            (good.replace("SHA256(", "SHA512("), manifest(), differs),
            (renamed, manifest(), "it signs 'other.mf', and the manifest is 'vm.mf'"),
        ] {
            let found = verify(&file, &manifest, &trust);
            assert_eq!(found, Signature::Invalid(want.to_owned()));
        }
    }

    #[test]
    fn every_cut_of_a_certificate_file_is_invalid() {
        let signer = Signer::ecdsa("Example", &[]);
        let (good, trust) = (sign(&signer, &[]), trusting(&signer));
        let end = good.trim_end().len();
        for length in (0..end).step_by(7).chain([end - 1]) {
            let found = verify(&good[..length], &manifest(), &trust);
            assert!(matches!(found, Signature::Invalid(_)), "{length}: {found:?}");
        }
    }

    #[test]
    fn a_trust_store_without_a_certificate_is_refused() {
        let refusal = |text: &str| {
            let error = Trust::of_pem(text.as_bytes(), NOW_SECONDS).unwrap_err();
            (error.code(), error.to_string())
        };
        let (code, text) = refusal("hello");
        assert_eq!(
            (code, text.as_str()),
            (code::Code::E0204, "no certificate is in the trust store")
        );
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(refusal(broken).1.starts_with("certificate 1 is damaged: "), "{broken}");
    }
}
