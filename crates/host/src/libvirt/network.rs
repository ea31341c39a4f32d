//! Networks of libvirt, and bridges of the host.

use std::fs;

use super::{Libvirt, LibvirtError, many::Things, virsh::Order, xml::Element};

/// A network that libvirt manages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Whether it is started; a machine on one that is not does not start.
    pub is_active: bool,
    /// The bridge that carries it.
    pub bridge: Option<String>,
    /// How it reaches the outside: `nat`, `route`, `bridge`, …; one of its own has none.
    pub forward: Option<String>,
}

impl Libvirt {
    /// The networks of the host.
    ///
    /// # Errors
    /// The host does not say.
    pub fn networks(&self) -> Result<Vec<Network>, LibvirtError> {
        let what = "list its networks";
        let all = Order { what, verb: &["net-list", "--all", "--uuid"], values: &[] };
        let active = Order { what, verb: &["net-list", "--uuid"], values: &[] };
        let (all, active) = (self.uuids(&all)?, self.uuids(&active)?);
        let things = Things { what, verb: "net-dumpxml", option: "--network", root: "network" };
        let found = self.documents(&things, &all)?.into_iter();
        let mut networks: Vec<_> =
            found.filter_map(|(uuid, root)| read(&root, active.contains(&uuid))).collect();
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(networks)
    }

    /// The bridges of the host; `None` where they cannot be seen from here.
    #[must_use]
    pub fn bridges(&self) -> Option<Vec<String>> {
        if !self.is_local() {
            return None;
        }
        let cards = fs::read_dir("/sys/class/net").ok()?.filter_map(Result::ok);
        let bridges = cards.filter(|card| card.path().join("bridge").is_dir());
        let mut names: Vec<String> =
            bridges.filter_map(|card| card.file_name().into_string().ok()).collect();
        names.sort();
        Some(names)
    }
}

fn read(root: &Element, is_active: bool) -> Option<Network> {
    let attribute = |child: &str, name: &str| Some(root.child(child)?.attribute(name)?.to_owned());
    Some(Network {
        name: root.text_of("name")?.to_owned(),
        is_active,
        bridge: attribute("bridge", "name"),
        forward: attribute("forward", "mode"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::xml;

    #[test]
    fn reads_name_bridge_and_the_way_out() {
        let text = "<network><name>default</name><forward mode='nat'/>\
                    <bridge name='virbr0' stp='on'/></network>";
        let network = read(&xml::parse(text.as_bytes(), "network").unwrap(), true).unwrap();
        let want = Network {
            name: "default".into(),
            is_active: true,
            bridge: Some("virbr0".into()),
            forward: Some("nat".into()),
        };
        assert_eq!(network, want);
        assert_eq!(read(&xml::parse(b"<network/>", "network").unwrap(), true), None);
    }
}
