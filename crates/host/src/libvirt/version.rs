//! Which versions run on a host.

use super::{Libvirt, LibvirtError, virsh::Order};

/// Versions, as far as the host tells them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    /// The library behind virsh: `9.0.0`.
    pub library: Option<String>,
    /// The daemon.
    pub daemon: Option<String>,
    /// QEMU, or what runs the machines else.
    pub hypervisor: Option<String>,
}

impl Libvirt {
    /// Asks for the versions.
    ///
    /// # Errors
    /// The host does not answer.
    pub fn versions(&self) -> Result<Versions, LibvirtError> {
        let order = Order { what: "tell its version", verb: &["version", "--daemon"], values: &[] };
        Ok(read(&self.text(&order)?))
    }
}

/// Reads the lines of `virsh version` in the C locale; there is no XML of it.
fn read(text: &str) -> Versions {
    let behind = |head: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(head));
        lines.next().map(|rest| rest.trim().to_owned())
    };
    let library = behind("Using library:").map(|text| text.trim_start_matches("libvirt ").into());
    Versions {
        library,
        daemon: behind("Running against daemon:"),
        hypervisor: behind("Running hypervisor:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lines_that_are_there() {
        let text = "Compiled against library: libvirt 9.0.0\nUsing library: libvirt 9.0.0\n\
                    Using API: QEMU 9.0.0\nRunning hypervisor: QEMU 7.2.22\n";
        let want = Versions {
            library: Some("9.0.0".into()),
            daemon: None,
            hypervisor: Some("QEMU 7.2.22".into()),
        };
        assert_eq!(read(text), want);
        assert_eq!(read("nonsense"), Versions::default());
    }
}
