//! The public key of a signer.

use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_cert::{
    der::asn1::ObjectIdentifier,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
};

use crate::manifest::Algorithm;

/// A public key of a kind that signs packages.
#[derive(Debug)]
pub(super) struct Key<'a> {
    kind: KeyKind,
    bytes: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Rsa,
    P256,
    P384,
}

impl<'a> Key<'a> {
    /// Takes the key of a certificate; `Err` is what is wrong with it.
    pub(super) fn of(info: &'a SubjectPublicKeyInfoOwned) -> Result<Self, String> {
        let kind = kind(&info.algorithm)
            .ok_or_else(|| format!("a key of the kind {} is not understood", info.algorithm.oid))?;
        let bytes = info.subject_public_key.as_bytes().ok_or("the key is no whole bytes")?;
        Ok(Self { kind, bytes })
    }

    /// Whether it is an RSA key.
    pub(super) fn is_rsa(&self) -> bool {
        self.kind == KeyKind::Rsa
    }

    /// Checks a signature; `Err` says that it does not fit.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), String> {
        let with = scheme(self.kind, algorithm)
            .ok_or_else(|| format!("a signature of {} with such a key", algorithm.label()))?;
        UnparsedPublicKey::new(with, self.bytes)
            .verify(message, signature)
            .map_err(|_| "the manifest is not what was signed, or the key is another".to_owned())
    }
}

fn kind(algorithm: &AlgorithmIdentifierOwned) -> Option<KeyKind> {
    if algorithm.oid == RSA_ENCRYPTION {
        return Some(KeyKind::Rsa);
    }
    if algorithm.oid != ID_EC_PUBLIC_KEY {
        return None;
    }
    let curve: ObjectIdentifier = algorithm.parameters.as_ref()?.decode_as().ok()?;
    match curve {
        SECP_256_R_1 => Some(KeyKind::P256),
        SECP_384_R_1 => Some(KeyKind::P384),
        _ => None,
    }
}

/// How a key of this kind signs a digest of this algorithm. What is weak is verified as well: whether
/// it is trusted is another question.
fn scheme(kind: KeyKind, algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (kind, algorithm) {
        (KeyKind::Rsa, Algorithm::Sha1) => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (KeyKind::Rsa, Algorithm::Sha256) => {
            &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
        }
        (KeyKind::Rsa, Algorithm::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa, Algorithm::Sha512) => {
            &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY
        }
        (KeyKind::P256, Algorithm::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyKind::P256, Algorithm::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyKind::P384, Algorithm::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyKind::P384, Algorithm::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyKind::P256 | KeyKind::P384, Algorithm::Sha1 | Algorithm::Sha512) => return None,
    })
}
