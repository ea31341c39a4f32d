//! `--net`: where the source's networks go.

use convert::NetworkMap;
use vm::NicTarget;

use crate::failure::{Failure, Result};

/// The longest name of a network device, in bytes (`IFNAMSIZ` of Linux, less its end).
const MAX_BRIDGE_BYTES: usize = 15;

/// The VLAN ids that IEEE 802.1Q gives to networks.
const VLANS: std::ops::RangeInclusive<u16> = 1..=4094;

/// Reads every `--net`: `SRC=DST`, or `DST` for all networks that are not named.
pub(super) fn map(flags: &[String]) -> Result<NetworkMap> {
    let mut map = NetworkMap::default();
    for flag in flags {
        match split(flag)? {
            (Some(source), target) => map.named.push((source.to_owned(), target)),
            (None, target) => map.others = Some(target),
        }
    }
    Ok(map)
}

/// Divides a flag at the first `=` that has a target behind it: names of networks may hold one too.
fn split(flag: &str) -> Result<(Option<&str>, NicTarget)> {
    let whole = target(flag);
    if let Ok(target) = whole {
        return Ok((None, target));
    }
    let mut refused = whole.map(|target| (None, target));
    let is_divider = |at: &usize| *at > 0 && !flag[..*at].ends_with(",vlan");
    for at in flag.match_indices('=').map(|(at, _)| at).filter(is_divider) {
        match target(&flag[at + 1..]) {
            Ok(target) => return Ok((Some(&flag[..at]), target)),
            // The reading with the shortest source name is what was most likely meant.
            Err(failure) if flag[..at].find('=').is_none() => refused = Err(failure),
            Err(_) => {}
        }
    }
    refused
}

/// Reads one target. A bare name is a bridge, but for `default`.
pub(crate) fn target(text: &str) -> Result<NicTarget> {
    match text {
        "none" => return Ok(NicTarget::None),
        "user" => return Ok(NicTarget::User),
        "default" => return Ok(NicTarget::Network("default".to_owned())),
        _ => {}
    }
    if let Some(name) = text.strip_prefix("network:") {
        if name.is_empty() || name.contains(|c: char| c.is_control() || c == '/' || c == '=') {
            return Err(Failure::usage(format!("--net: '{name}' is not the name of a network")));
        }
        return Ok(NicTarget::Network(name.to_owned()));
    }
    let name = text.strip_prefix("bridge:").unwrap_or(text);
    let (name, vlan) = match name.split_once(",vlan=") {
        Some((name, tag)) => (name, Some(vlan(tag)?)),
        None => (name, None),
    };
    if is_bridge(name) {
        return Ok(NicTarget::Bridge { name: name.to_owned(), vlan });
    }
    let text = format!(
        "--net: '{name}' is not the name of a bridge \
         (at most {MAX_BRIDGE_BYTES} letters, digits and ._+-)"
    );
    Err(Failure::usage(text).tip(format!("for a network of libvirt write network:{name}")))
}

fn vlan(tag: &str) -> Result<u16> {
    tag.parse().ok().filter(|tag| VLANS.contains(tag)).ok_or_else(|| {
        Failure::usage(format!("--net: VLAN '{tag}' is not a number from 1 to 4094"))
    })
}

fn is_bridge(name: &str) -> bool {
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    (1..=MAX_BRIDGE_BYTES).contains(&name.len())
        && name.bytes().all(is_sound)
        && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(name: &str, vlan: Option<u16>) -> NicTarget {
        NicTarget::Bridge { name: name.to_owned(), vlan }
    }

    fn network(name: &str) -> NicTarget {
        NicTarget::Network(name.to_owned())
    }

    #[test]
    fn reads_every_form_of_the_contract() {
        for (flag, source, want) in [
            ("VM Network=br0", Some("VM Network"), bridge("br0", None)),
            ("DMZ=network:dmz", Some("DMZ"), network("dmz")),
            ("DMZ=bridge:br1,vlan=30", Some("DMZ"), bridge("br1", Some(30))),
            ("DMZ=none", Some("DMZ"), NicTarget::None),
            ("DMZ=default", Some("DMZ"), network("default")),
            ("user", None, NicTarget::User),
            ("br0", None, bridge("br0", None)),
            ("bridge:br1,vlan=30", None, bridge("br1", Some(30))),
            ("network:my lan", None, network("my lan")),
            ("a=b=br0", Some("a=b"), bridge("br0", None)),
            ("none=br0", Some("none"), bridge("br0", None)),
        ] {
            assert_eq!(split(flag).unwrap(), (source, want), "{flag}");
        }
    }

    #[test]
    fn the_last_flag_for_all_others_counts() {
        let flags = ["br0", "DMZ=none", "user"].map(str::to_owned);
        let map = map(&flags).unwrap();
        assert_eq!(map.target("DMZ"), Some(&NicTarget::None));
        assert_eq!(map.target("VM Network"), Some(&NicTarget::User));
    }

    #[test]
    fn says_what_to_write_instead() {
        let name = "is not the name of a bridge (at most 15 letters, digits and ._+-)";
        for (flag, want) in [
            ("DMZ=my net", format!("--net: 'my net' {name}")),
            ("", format!("--net: '' {name}")),
            ("DMZ=", format!("--net: '' {name}")),
            ("DMZ=averyveryverylongname", format!("--net: 'averyveryverylongname' {name}")),
            ("DMZ=..", format!("--net: '..' {name}")),
            ("DMZ=br1,vlan=0", "--net: VLAN '0' is not a number from 1 to 4094".to_owned()),
            ("DMZ=br1,vlan=4095", "--net: VLAN '4095' is not a number from 1 to 4094".to_owned()),
            ("DMZ=network:", "--net: '' is not the name of a network".to_owned()),
        ] {
            assert_eq!(split(flag).unwrap_err().message, want, "{flag}");
        }
        let failure = split("DMZ=my net").unwrap_err();
        assert_eq!(failure.tip.as_deref(), Some("for a network of libvirt write network:my net"));
    }
}
