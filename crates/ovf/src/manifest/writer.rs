//! Writing a manifest.

use super::Digest;
use crate::EntryName;

/// Writes a manifest as VMware's tools do: `SHA256(name)= digits`, one line a file.
#[must_use]
pub fn write(entries: &[(EntryName, Digest)]) -> String {
    entries
        .iter()
        .map(|(name, digest)| format!("{}({name})= {digest}\n", digest.algorithm().label()))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{Algorithm, Manifest},
        *,
    };

    fn algorithm() -> impl Strategy<Value = Algorithm> {
        prop::sample::select(vec![
            Algorithm::Sha1,
            Algorithm::Sha256,
            Algorithm::Sha384,
            Algorithm::Sha512,
        ])
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            files in prop::collection::btree_map("[a-zA-Z0-9 ()=é_-]{1,20}[a-z]", (algorithm(), any::<[u8; 64]>()), 0..8)
        ) {
            let lines: Vec<_> = files
                .iter()
                .map(|(name, (algorithm, bytes))| {
                    let digest = Digest::new(*algorithm, &bytes[..algorithm.digest_bytes()]);
                    (EntryName::parse(name).unwrap(), digest.unwrap())
                })
                .collect();
            let manifest = Manifest::parse(write(&lines).as_bytes()).unwrap();
            prop_assert_eq!(manifest.entries.len(), lines.len());
            for (name, digest) in &lines {
                prop_assert_eq!(&manifest.expected(name).unwrap().digest, digest);
            }
        }
    }
}
