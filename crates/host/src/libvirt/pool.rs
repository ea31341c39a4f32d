//! Storage pools and what is in them.

use std::path::PathBuf;

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::{Libvirt, LibvirtError, many::Things, virsh::Order, xml::Element};

/// A storage pool of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// What it is: `dir`, `fs`, `netfs`, `logical`, `zfs`, `rbd`, …
    pub kind: String,
    /// Where its volumes are, for kinds that have a place.
    pub path: Option<PathBuf>,
    /// Whether it is started; nothing is known of the room of one that is not.
    pub is_active: bool,
    /// How much it holds.
    pub capacity_bytes: u64,
    /// How much it still takes.
    pub free_bytes: u64,
    /// Whether it takes writes; `None` where that cannot be seen from here.
    pub writable: Option<bool>,
}

/// Where a volume of a pool is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePlace {
    /// Its file or device; what a pool without a place on the host calls it is none.
    pub path: PathBuf,
    /// What the pool is, as [`Pool::kind`].
    pub pool_kind: String,
}

/// Where the volumes of a host are that machines name by their pools.
pub trait Volumes {
    /// Finds a volume.
    ///
    /// # Errors
    /// There is no such pool or volume, or the pool is not active.
    fn volume_place(&self, pool: &str, volume: &str) -> Result<VolumePlace, LibvirtError>;
}

impl Volumes for Libvirt {
    fn volume_place(&self, pool: &str, volume: &str) -> Result<VolumePlace, LibvirtError> {
        let what = format!("find the volume {volume} of the pool {pool}");
        let values = [("--pool", pool)];
        let order = Order { what: &what, verb: &["pool-dumpxml"], values: &values };
        let pool_kind = self.document(&order, "pool")?.attribute("type").map(str::to_owned);
        let values = [("--pool", pool), ("--vol", volume)];
        let order = Order { what: &what, verb: &["vol-path"], values: &values };
        let path = self.text(&order)?;
        let pool_kind = pool_kind.unwrap_or_else(|| "unknown".to_owned());
        Ok(VolumePlace { path: PathBuf::from(path.trim_end_matches('\n')), pool_kind })
    }
}

impl Libvirt {
    /// The pools of the host.
    ///
    /// # Errors
    /// The host does not say.
    pub fn pools(&self) -> Result<Vec<Pool>, LibvirtError> {
        let what = "list its storage pools";
        let all = Order { what, verb: &["pool-list", "--all", "--uuid"], values: &[] };
        let active = Order { what, verb: &["pool-list", "--uuid"], values: &[] };
        let (all, active) = (self.uuids(&all)?, self.uuids(&active)?);
        let mut pools = Vec::new();
        let things = Things { what, verb: "pool-dumpxml", option: "--pool", root: "pool" };
        for (uuid, root) in self.documents(&things, &all)? {
            let Some(mut pool) = read(&root) else { continue };
            pool.is_active = active.contains(&uuid);
            if self.is_local() {
                pool.writable = pool
                    .path
                    .as_ref()
                    .and_then(|path| statvfs(path).ok())
                    .map(|stat| !stat.f_flag.contains(StatVfsMountFlags::RDONLY));
            }
            pools.push(pool);
        }
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pools)
    }

    /// The volumes of an active pool, by their names.
    ///
    /// # Errors
    /// There is no such pool, or it is not active.
    pub fn volumes(&self, pool: &str) -> Result<Vec<String>, LibvirtError> {
        let what = format!("list the volumes of the pool {pool}");
        let values = [("--pool", pool)];
        let order = Order { what: &what, verb: &["vol-list"], values: &values };
        // Name and path in two columns, the path being absolute or the end of the line.
        let text = self.text(&order)?;
        Ok(text.lines().filter_map(volume).map(str::to_owned).collect())
    }
}

/// The name in a line of `vol-list`: what stands before the gap in front of the path.
fn volume(line: &str) -> Option<&str> {
    let line = line.trim();
    let name = line.find("  ").map_or(line, |end| &line[..end]).trim_end();
    (!name.is_empty()).then_some(name)
}

fn read(root: &Element) -> Option<Pool> {
    Some(Pool {
        name: root.text_of("name")?.to_owned(),
        kind: root.attribute("type").unwrap_or("unknown").to_owned(),
        path: root.at(&["target", "path"]).and_then(Element::text).map(PathBuf::from),
        is_active: false,
        capacity_bytes: bytes(root.child("capacity")),
        free_bytes: bytes(root.child("available")),
        writable: None,
    })
}

/// A size, which libvirt always writes in bytes here; what is no number is no room.
fn bytes(element: Option<&Element>) -> u64 {
    let text = element
        .filter(|element| matches!(element.attribute("unit"), None | Some("bytes" | "B")))
        .and_then(Element::text);
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::xml;

    #[test]
    fn reads_name_kind_place_and_room() {
        let text = "<pool type='dir'><name>default</name><uuid>x</uuid>\
                    <capacity unit='bytes'>1000</capacity><allocation unit='bytes'>1</allocation>\
                    <available unit='bytes'>999</available><source/>\
                    <target><path>/var/lib/libvirt/images</path></target></pool>";
        let pool = read(&xml::parse(text.as_bytes(), "pool").unwrap()).unwrap();
        let want = Pool {
            name: "default".into(),
            kind: "dir".into(),
            path: Some("/var/lib/libvirt/images".into()),
            is_active: false,
            capacity_bytes: 1000,
            free_bytes: 999,
            writable: None,
        };
        assert_eq!(pool, want);
    }

    #[test]
    fn a_number_that_is_none_is_no_room() {
        for text in ["-1", "99999999999999999999", "1e9", ""] {
            let text = format!("<pool><name>a</name><available>{text}</available></pool>");
            let pool = read(&xml::parse(text.as_bytes(), "pool").unwrap()).unwrap();
            assert_eq!((pool.free_bytes, pool.kind.as_str()), (0, "unknown"), "{text}");
        }
        assert_eq!(read(&xml::parse(b"<pool/>", "pool").unwrap()), None);
    }

    #[test]
    fn the_name_of_a_volume_ends_at_the_gap() {
        assert_eq!(volume(" my disk.qcow2   /images/my disk.qcow2"), Some("my disk.qcow2"));
        assert_eq!(volume(""), None);
    }
}
