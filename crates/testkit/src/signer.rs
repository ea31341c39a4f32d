//! Certificates and signatures, made in the test: no key is stored anywhere.

use std::sync::OnceLock;

use ovf::manifest::{Algorithm, Hasher};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, Error, IsCa, Issuer, KeyPair, PublicKeyData,
    SignatureAlgorithm, SigningKey, date_time_ymd,
};
use rsa::{
    Pkcs1v15Sign, RsaPrivateKey,
    pkcs1::EncodeRsaPublicKey as _,
    rand_core::{CryptoRng, RngCore, impls},
};

/// The time at which tests take place: 2026-01-01, in seconds since 1970.
pub const NOW_SECONDS: u64 = 1_767_225_600;

/// Somebody with a key and a certificate, who signs manifests.
pub struct Signer {
    key: Key,
    params: CertificateParams,
    pem: String,
    der: Vec<u8>,
}

/// What a certificate says, where it is not the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It ended in 2020.
    Expired,
    /// It begins in 2998.
    NotYet,
    /// It may issue others.
    Authority,
    /// It is for encryption only.
    EncryptionOnly,
    /// It is for web servers only.
    ServerOnly,
}

enum Key {
    Rsa { private: Box<RsaPrivateKey>, public: Vec<u8> },
    P256(Box<KeyPair>),
}

impl Signer {
    /// A signer with an RSA key of 2048 bits, and a certificate that it signed itself.
    #[must_use]
    pub fn rsa(name: &str) -> Self {
        static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
        Self::self_signed(name, &[], Key::rsa(KEY.get_or_init(|| rsa_key(2048))))
    }

    /// The same with a key of 1024 bits, as OVF Tool's samples have it.
    #[must_use]
    pub fn short_rsa(name: &str) -> Self {
        static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
        Self::self_signed(name, &[], Key::rsa(KEY.get_or_init(|| rsa_key(1024))))
    }

    /// A signer with a key on the curve P-256.
    #[must_use]
    pub fn ecdsa(name: &str, wishes: &[Wish]) -> Self {
        Self::self_signed(name, wishes, Key::p256())
    }

    /// A signer with a key on P-256 whose certificate `self` issued.
    #[must_use]
    pub fn issue(&self, name: &str, wishes: &[Wish]) -> Self {
        let (key, params) = (Key::p256(), params(name, wishes));
        let issuer = Issuer::new(self.params.clone(), &self.key);
        let made = params.signed_by(&key, &issuer).expect("a sound certificate");
        Self { key, params, pem: made.pem(), der: made.der().to_vec() }
    }

    /// As [`issue`](Self::issue), with a certificate of version 1: without extensions, as
    /// `openssl x509 -req` makes it.
    #[must_use]
    pub fn issue_plain(&self, name: &str) -> Self {
        let full = self.issue(name, &[]);
        let fields = elements(elements(&full.der)[0].1)[0].1;
        // Version and extensions are the fields with a tag of their own context.
        let plain: Vec<u8> = elements(fields)
            .into_iter()
            .filter(|(whole, _)| whole[0] & 0xc0 != 0x80)
            .flat_map(|(whole, _)| whole.to_vec())
            .collect();
        let plain = tagged(0x30, &plain);
        let [_, (algorithm, _), ..] = elements(elements(&full.der)[0].1)[..] else {
            panic!("a certificate has three fields")
        };
        let signature = self.key.signature(Algorithm::Sha256, &plain);
        let bits = tagged(0x03, &[&[0], signature.as_slice()].concat());
        let der = tagged(0x30, &[plain.as_slice(), algorithm, &bits].concat());
        let pem = pem(&der);
        Self { pem, der, ..full }
    }

    fn self_signed(name: &str, wishes: &[Wish], key: Key) -> Self {
        let params = params(name, wishes);
        let made = params.self_signed(&key).expect("a sound certificate");
        Self { key, params, pem: made.pem(), der: made.der().to_vec() }
    }

    /// The certificate.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The same in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The `.cert` file of a manifest, signed with the digest of this label; `chain` are further certificates.
    #[must_use]
    pub fn sign(&self, label: &str, manifest: &str, bytes: &[u8], chain: &[&Self]) -> String {
        let digits: String = self
            .key
            .signature(algorithm(label), bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let chain: String = chain.iter().map(|signer| signer.pem()).collect();
        format!("{label}({manifest})= {digits}\n{}{chain}", self.pem)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

/// The elements of DER: each whole, and what is in it.
fn elements(mut bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut found = Vec::new();
    while let [_, first, ..] = bytes {
        let more = if *first < 0x80 { 0 } else { usize::from(first & 0x7f) };
        let long = bytes[2..2 + more].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let length = if more == 0 { usize::from(*first) } else { long };
        let (whole, rest) = bytes.split_at(2 + more + length);
        found.push((whole, &whole[2 + more..]));
        bytes = rest;
    }
    found
}

/// A certificate in DER as PEM.
#[must_use]
pub fn pem(der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----");
    for (number, chunk) in der.chunks(3).enumerate() {
        if number % 16 == 0 {
            text.push('\n');
        }
        let bits = chunk.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * at)) & 0x3f]);
            text.push(if at > chunk.len() { '=' } else { digit });
        }
    }
    text + "\n-----END CERTIFICATE-----\n"
}

/// One element of DER.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("a small certificate").to_be_bytes();
    let head = match (high, low) {
        (0, 0..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}

fn params(name: &str, wishes: &[Wish]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2999, 1, 1));
    for wish in wishes {
        match wish {
            Wish::Expired => params.not_after = date_time_ymd(2020, 6, 1),
            Wish::NotYet => {
                (params.not_before, params.not_after) =
                    (date_time_ymd(2998, 1, 1), date_time_ymd(2999, 1, 1));
            }
            Wish::Authority => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Wish::EncryptionOnly => {
                params.key_usages = vec![rcgen::KeyUsagePurpose::KeyEncipherment];
            }
            Wish::ServerOnly => {
                params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
            }
        }
    }
    params
}

impl Key {
    fn rsa(private: &RsaPrivateKey) -> Self {
        let public = private.to_public_key().to_pkcs1_der().expect("a sound key");
        Self::Rsa { private: Box::new(private.clone()), public: public.as_bytes().to_vec() }
    }

    fn p256() -> Self {
        Self::P256(Box::new(KeyPair::generate().expect("the system has random bytes")))
    }

    fn signature(&self, algorithm: Algorithm, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa { private, .. } => {
                let mut hash = Hasher::new(algorithm);
                hash.update(bytes);
                let info = [digest_info(algorithm), hash.finish().bytes()].concat();
                private.sign(Pkcs1v15Sign::new_unprefixed(), &info).expect("a sound key")
            }
            Self::P256(key) => {
                assert_eq!(algorithm, Algorithm::Sha256, "the test kit signs so on P-256");
                SigningKey::sign(&**key, bytes).expect("a sound key")
            }
        }
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Self::Rsa { public, .. } => public,
            Self::P256(key) => key.der_bytes(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::Rsa { .. } => &rcgen::PKCS_RSA_SHA256,
            Self::P256(key) => key.algorithm(),
        }
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.signature(Algorithm::Sha256, message))
    }
}

fn algorithm(label: &str) -> Algorithm {
    let all = [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];
    all.into_iter().find(|one| one.label() == label).expect("a label as OVF Tool writes it")
}

/// What stands before a digest that RSA signs (RFC 8017, 9.2).
fn digest_info(algorithm: Algorithm) -> &'static [u8] {
    match algorithm {
        Algorithm::Sha1 => b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
        Algorithm::Sha256 => {
            b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
        }
        Algorithm::Sha384 => {
            b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"
        }
        Algorithm::Sha512 => {
            b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"
        }
    }
}

fn rsa_key(bits: usize) -> RsaPrivateKey {
    RsaPrivateKey::new(&mut Numbers(bits as u64), bits).expect("a size that RSA has")
}

/// The same numbers in every run, so that a key costs the same time in every run. Worth nothing
/// outside of tests.
struct Numbers(u64);

impl RngCore for Numbers {
    fn next_u32(&mut self) -> u32 {
        impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        impls::fill_bytes_via_next(self, bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Numbers {}
