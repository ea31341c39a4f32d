//! From the signer's certificate to one that the user trusts.

use code::Code;
use const_oid::{ObjectIdentifier, db::rfc5280::ID_KP_CODE_SIGNING};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject as _};
use webpki::{EndEntityCert, KeyUsage};
use x509_cert::{
    Certificate, Version,
    der::{Decode as _, Encode as _},
    ext::pkix,
};

use super::key::Key;
use crate::{Error, manifest::Algorithm, quote};

/// The most certificates of a trust store (ours): the stores of browsers have about 150.
const MAX_ANCHORS: usize = 4096;

/// What a certificate must be for, where it says what it is for.
static CODE_SIGNING: ObjectIdentifier = ID_KP_CODE_SIGNING;

/// Whom the user trusts, and what time it is.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    anchors: Vec<CertificateDer<'static>>,
    now_seconds: u64,
}

impl Trust {
    /// Trusts nobody. `now_seconds` is the time since 1970 in UTC.
    #[must_use]
    pub const fn nobody(now_seconds: u64) -> Self {
        Self { anchors: Vec::new(), now_seconds }
    }

    /// Trusts the certificates of a file in PEM.
    ///
    /// # Errors
    /// `E0204` when it has no certificate, or one that cannot be read; `E0106` over a limit.
    pub fn of_pem(bytes: &[u8], now_seconds: u64) -> Result<Self, Error> {
        let mut anchors = Vec::new();
        for anchor in CertificateDer::pem_slice_iter(bytes) {
            let number = anchors.len().saturating_add(1);
            if number > MAX_ANCHORS {
                let text = format!("more than {MAX_ANCHORS} certificates in the trust store");
                return Err(Error::limit(Code::E0106, text));
            }
            let bad = |text: String| {
                Error::malformed(Code::E0204, format!("certificate {number} {text}"))
            };
            let anchor = anchor.map_err(|error| bad(format!("is no PEM: {error}")))?;
            Certificate::from_der(&anchor).map_err(|error| bad(format!("is damaged: {error}")))?;
            anchors.push(anchor);
        }
        if anchors.is_empty() {
            return Err(Error::malformed(Code::E0204, "no certificate is in the trust store"));
        }
        Ok(Self { anchors, now_seconds })
    }

    /// Why a signer is not trusted; empty when it is.
    pub(super) fn objections(
        &self,
        signer: &Signer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Vec<String> {
        let mut reasons = Vec::new();
        reasons.extend(self.wrong_time(signer));
        if !signer.may_sign() {
            reasons.push("the certificate is not made for signatures".to_owned());
        }
        if !self.anchors.contains(signer.der) {
            reasons.extend(self.unknown(signer, intermediates).err());
        }
        reasons
    }

    fn wrong_time(&self, signer: &Signer<'_>) -> Option<String> {
        let validity = signer.certificate.tbs_certificate().validity();
        if self.now_seconds > validity.not_after.to_unix_duration().as_secs() {
            return Some(format!("the certificate expired on {}", validity.not_after));
        }
        (self.now_seconds < validity.not_before.to_unix_duration().as_secs())
            .then(|| format!("the certificate is not valid before {}", validity.not_before))
    }

    /// Looks for a chain to an anchor; `Err` says why there is none.
    fn unknown(
        &self,
        signer: &Signer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), String> {
        let fields = signer.certificate.tbs_certificate();
        if fields.issuer() == fields.subject() {
            return Err("the certificate is self-signed".to_owned());
        }
        if self.anchors.is_empty() {
            return Err("no trust store was given (--trust)".to_owned());
        }
        if fields.version() == Version::V1 {
            return self.issued_by_an_anchor(signer);
        }
        let anchors: Vec<TrustAnchor<'_>> = self
            .anchors
            .iter()
            .filter_map(|anchor| webpki::anchor_from_trusted_cert(anchor).ok())
            .collect();
        let refused = |error: webpki::Error| match error {
            webpki::Error::UnknownIssuer => unknown_issuer(signer),
            webpki::Error::RequiredEkuNotFoundContext(_) => {
                "the certificate is not made for signing code".to_owned()
            }
            other => format!("the chain of the certificate is refused: {other}"),
        };
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.now_seconds));
        EndEntityCert::try_from(signer.der)
            .and_then(|end| {
                end.verify_for_usage(
                    webpki::ALL_VERIFICATION_ALGS,
                    &anchors,
                    intermediates,
                    time,
                    KeyUsage::required_if_present(CODE_SIGNING.as_bytes()),
                    None,
                    None,
                )
                .map(drop)
            })
            .map_err(refused)
    }

    /// A certificate of version 1 says nothing of what it is for, so only an anchor itself may have
    /// issued it. `openssl x509 -req` makes them.
    fn issued_by_an_anchor(&self, signer: &Signer<'_>) -> Result<(), String> {
        let fields = signer.certificate.tbs_certificate();
        let is_issuer = |anchor: &Signer<'_>| {
            anchor.certificate.tbs_certificate().subject() == fields.issuer()
                && self.wrong_time(anchor).is_none()
                && anchor.has_issued(signer)
        };
        let mut anchors = self.anchors.iter().filter_map(|anchor| Signer::parse(anchor).ok());
        if anchors.any(|anchor| is_issuer(&anchor)) { Ok(()) } else { Err(unknown_issuer(signer)) }
    }
}

fn unknown_issuer(signer: &Signer<'_>) -> String {
    let issuer = signer.certificate.tbs_certificate().issuer().to_string();
    format!("the issuer {} is not in the trust store", quote::Quoted(&issuer))
}

/// A certificate, read.
#[derive(Debug)]
pub(super) struct Signer<'a> {
    der: &'a CertificateDer<'a>,
    certificate: Certificate,
}

impl<'a> Signer<'a> {
    /// Reads a certificate; `Err` is what is wrong with it.
    pub(super) fn parse(der: &'a CertificateDer<'a>) -> Result<Self, String> {
        let certificate = Certificate::from_der(der)
            .map_err(|error| format!("the signer's certificate is damaged: {error}"))?;
        Ok(Self { der, certificate })
    }

    /// Who it is.
    pub(super) fn subject(&self) -> String {
        self.certificate.tbs_certificate().subject().to_string()
    }

    /// The public key; `Err` is what is wrong with it.
    pub(super) fn key(&self) -> Result<Key<'_>, String> {
        Key::of(self.certificate.tbs_certificate().subject_public_key_info())
    }

    /// Whether the key may sign something else than certificates.
    fn may_sign(&self) -> bool {
        match self.certificate.tbs_certificate().get_extension::<pkix::KeyUsage>() {
            Ok(usage) => usage.is_none_or(|(_, usage)| usage.digital_signature()),
            Err(_) => false,
        }
    }

    /// Whether this certificate's key made the other's signature.
    fn has_issued(&self, other: &Signer<'_>) -> bool {
        use const_oid::db::rfc5912::{
            ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, SHA_256_WITH_RSA_ENCRYPTION,
            SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
        };
        let algorithm = match other.certificate.signature_algorithm().oid {
            SHA_256_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_256 => Algorithm::Sha256,
            SHA_384_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_384 => Algorithm::Sha384,
            SHA_512_WITH_RSA_ENCRYPTION => Algorithm::Sha512,
            _ => return false,
        };
        let signed = other.certificate.tbs_certificate().to_der();
        let signature = other.certificate.signature().as_bytes();
        match (self.key(), signed, signature) {
            (Ok(key), Ok(signed), Some(signature)) => {
                key.verify(algorithm, &signed, signature).is_ok()
            }
            _ => false,
        }
    }
}
