//! Addresses that are asked.

use std::fmt;

/// An address of http or https, as the user typed it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Takes a text for an address if it begins like one; `None` for a path.
    ///
    /// # Errors
    /// What is wrong with it: no host, or a password in it, which every log would keep.
    pub fn parse(text: &str) -> Option<Result<Self, &'static str>> {
        let (scheme, rest) = text.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        Some(if host.contains('@') {
            Err("an address with a user or a password in it is not taken")
        } else if host.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            Err("this is no address of http or https")
        } else {
            Ok(Self(text.to_owned()))
        })
    }

    /// The address as it is asked.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is asked is kept from others.
    pub(super) fn is_secure(&self) -> bool {
        self.0.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("https:"))
    }
}

impl fmt::Display for Address {
    /// Writes the address without its query, which may be a secret that opens it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.split(['?', '#']).next().unwrap_or_default();
        f.write_str(plain)?;
        if plain.len() < self.0.len() { f.write_str("?…") } else { Ok(()) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_and_https_are_addresses() {
        for path in ["vm.ova", "-", "/a/b", "file:///etc/passwd", "ftp://h/x", "nbd://h", "c:/x"] {
            assert!(Address::parse(path).is_none(), "{path}");
        }
        for good in ["http://h/vm.ova", "HTTPS://h:8443/x?y=z", "http://[::1]:80/"] {
            assert!(Address::parse(good).unwrap().is_ok(), "{good}");
        }
        for bad in ["http://", "https:///x", "http://u:p@h/x", "http://h/a b", "http://h/a\nb"] {
            assert!(Address::parse(bad).unwrap().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_query_is_never_shown() {
        let address = Address::parse("https://h/vm.ova?X-Signature=secret").unwrap().unwrap();
        assert_eq!(
            format!("{address} {address:?}"),
            "https://h/vm.ova?… Address(https://h/vm.ova?…)"
        );
        assert!(address.is_secure());
        assert_eq!(Address::parse("http://h/x").unwrap().unwrap().to_string(), "http://h/x");
    }
}
