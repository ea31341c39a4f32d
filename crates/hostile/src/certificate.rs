//! Signatures of manifests: certificate files, and the certificates in them.

use ovf::{
    EntryName, Signature,
    signature::{Signed, Trust},
};
use testkit::{NOW_SECONDS, Signer, pem};

use crate::Feed;

/// The manifest that is signed.
const MANIFEST: &[u8] =
    b"SHA256(a.ovf)= e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";

/// The signature of the manifest on the curve P-256 by the signer of [`ISSUED`]. It is stored, with the
/// certificates, since such a key is another one in each run; no key was kept.
const SIGNATURE: &str = "SHA256(a.mf)= \
    3046022100ad52344c1e86d1104b8acaaf2425134932582c987566a10a36e8998b109912\
    b5022100fc7dfa8b20d5c6d4101a0e73b78ab5abcd2728b568236981c3ccbac44b07e5f1\n";

/// The signer's certificate, in DER.
const ISSUED: &[u8] = include_bytes!("certificate/issued.der");

/// That of who issued it.
const AUTHORITY: &[u8] = include_bytes!("certificate/authority.der");

pub(crate) const CERTIFICATE: Feed = Feed {
    name: "certificate",
    read: judge,
    seeds: || {
        let sign = |signer: &Signer, label: &str| signer.sign(label, "a.mf", MANIFEST, &[]);
        let own = sign(&Signer::rsa("a"), "SHA512").into_bytes();
        let weak = sign(&Signer::short_rsa("b"), "SHA1").into_bytes();
        vec![signed_by(ISSUED), own, weak]
    },
    words: &[
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----END CERTIFICATE-----\n",
        b"SHA256(a.mf)= ",
        b"SHA1",
        b"SHA384",
        b"SHA512",
        b"MD5",
    ],
    seal: None,
};

pub(crate) const CERTIFICATE_DER: Feed = Feed {
    name: "certificate_der",
    read: |bytes| {
        judge(&signed_by(bytes));
        drop(Trust::of_pem(pem(bytes).as_bytes(), NOW_SECONDS));
    },
    seeds: || vec![ISSUED.to_vec(), AUTHORITY.to_vec(), Signer::rsa("a").der().to_vec()],
    words: &[
        // A sequence, a set, a number, a bit string, an id, null, a time, a context's own field.
        &[0x30, 0x82],
        &[0x31, 0x0b],
        &[0x02, 0x01, 0x02],
        &[0x03, 0x02, 0x07, 0x80],
        &[0x06, 0x03, 0x55, 0x1d, 0x0f],
        &[0x06, 0x03, 0x55, 0x1d, 0x13],
        &[0x06, 0x03, 0x55, 0x1d, 0x25],
        &[0x05, 0x00],
        b"\x17\x0d200101000000Z",
        b"\x18\x0f29990101000000Z",
        &[0xa0, 0x03],
        &[0xa3, 0x82],
        &[0x84, 0xff, 0xff, 0xff, 0xff],
        &[0x80],
    ],
    seal: None,
};

/// A certificate file whose signer has this certificate; that of the authority follows.
fn signed_by(der: &[u8]) -> Vec<u8> {
    format!("{SIGNATURE}{}{}", pem(der), pem(AUTHORITY)).into_bytes()
}

/// Judges a certificate file by a user who trusts the authority.
fn judge(bytes: &[u8]) {
    let name = |text| EntryName::parse(text).expect("a sound name");
    let (manifest_name, descriptor) = (name("a.mf"), name("a.ovf"));
    let signed =
        Signed { manifest_name: &manifest_name, manifest: MANIFEST, descriptor: &descriptor };
    let trust = Trust::of_pem(pem(AUTHORITY).as_bytes(), NOW_SECONDS).expect("a sound certificate");
    let signature = Signature::verify(bytes, &signed, &trust);
    drop((signature.finding(), signature.as_str()));
}
