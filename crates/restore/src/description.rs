//! What a source says of its machines, whatever its format.

use code::Code;
use convert::source::System;
use ovf::{
    Envelope, Finding,
    descriptor::{Collection, Configuration},
};
use vmx::Vmx;

use crate::{Error, Facts, Native, locate};

/// The text that describes the machines, read.
#[derive(Debug)]
pub enum Description {
    /// An OVF descriptor.
    Ovf(Box<Envelope>),
    /// A VMX.
    Vmx(Box<Vmx>),
    /// A libvirt domain XML, and what a backup says beside it.
    Native(Box<Native>),
}

/// The machines of one configuration.
#[derive(Debug, Default)]
pub struct Selection {
    /// The id of the configuration; `None` when the source declares none.
    pub configuration: Option<String>,
    /// The machines, in the order of the source.
    pub systems: Vec<System>,
    /// The collections around the machines, in the order of the source.
    pub collections: Vec<Collection>,
    /// The names of the networks, in the order of the source.
    pub networks: Vec<String>,
    /// What was tolerated in the text, whatever was selected.
    pub text_findings: Vec<Finding>,
    /// What was tolerated while selecting.
    pub findings: Vec<Finding>,
}

impl Description {
    /// The envelope of an OVF.
    #[must_use]
    pub fn envelope(&self) -> Option<&Envelope> {
        match self {
            Self::Ovf(envelope) => Some(envelope),
            Self::Vmx(_) | Self::Native(_) => None,
        }
    }

    /// The definition of a native source.
    #[must_use]
    pub fn native(&self) -> Option<&Native> {
        match self {
            Self::Native(native) => Some(native),
            Self::Ovf(_) | Self::Vmx(_) => None,
        }
    }

    /// The configurations to choose from, in the order of the source.
    #[must_use]
    pub fn configurations(&self) -> &[Configuration] {
        self.envelope().map_or(&[], |envelope| &envelope.configurations)
    }

    /// Selects the machines of one configuration.
    ///
    /// # Errors
    /// As [`Envelope::select`]; a VMX has neither configurations nor properties, so that `E0306` is
    /// the answer to one.
    pub fn select(&self, choices: &ovf::Choices<'_>) -> Result<Selection, Error> {
        match self {
            Self::Ovf(envelope) => {
                let selected = envelope.select(choices)?;
                let systems = selected.systems.iter();
                Ok(Selection {
                    systems: systems.map(|one| convert::from_ovf(envelope, one)).collect(),
                    configuration: selected.configuration,
                    collections: envelope.collections.clone(),
                    networks: selected.networks,
                    text_findings: envelope.findings.clone(),
                    findings: selected.findings,
                })
            }
            Self::Vmx(vmx) => {
                refuse_choices("a VMX", choices)?;
                Ok(select_vmx(vmx))
            }
            // Its machine is planned as it is defined, and is none of the systems of a package.
            Self::Native(native) => {
                refuse_choices(native.called(), choices)?;
                Ok(Selection::default())
            }
        }
    }

    /// The files that the text speaks of, whether a machine uses them or not, and that are not there.
    pub(crate) fn missing_files(&self, facts: &Facts) -> Vec<String> {
        match self {
            Self::Ovf(envelope) => {
                let names = facts.names();
                let hrefs = envelope.files.iter().filter_map(|file| file.href.clone());
                let is_missing = |href: &String| {
                    ovf::resolve_href(href, &facts.descriptor.name, &names).is_err()
                };
                hrefs.filter(is_missing).collect()
            }
            Self::Vmx(vmx) => {
                let (system, _) = convert::from_vmx(vmx);
                let files = system.files().into_iter();
                let missing = files.filter(|file| locate(facts, file).is_err());
                missing.map(|file| file.text().to_owned()).collect()
            }
            Self::Native(_) => Vec::new(),
        }
    }
}

fn refuse_choices(what: &str, choices: &ovf::Choices<'_>) -> Result<(), Error> {
    let property = choices.properties.first().map(|(key, _)| key.as_str());
    let Some(asked) = choices.configuration.or(property) else { return Ok(()) };
    let text = format!("{what} has no configuration or property '{}'", asked.escape_debug());
    Err(Error::new(Code::E0306, text).fix("leave --configuration and --prop out"))
}

fn select_vmx(vmx: &Vmx) -> Selection {
    let (system, text_findings) = convert::from_vmx(vmx);
    let mut networks: Vec<String> = Vec::new();
    for name in system.nics.iter().filter_map(|nic| nic.network.as_ref()) {
        if !networks.contains(name) {
            networks.push(name.clone());
        }
    }
    Selection { systems: vec![system], networks, text_findings, ..Selection::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vmx(text: &str) -> Description {
        Description::Vmx(Box::new(Vmx::parse(text.as_bytes()).unwrap()))
    }

    #[test]
    fn a_vmx_has_no_configurations_and_no_properties() {
        let one = vmx("memsize = \"512\"\n");
        let properties = [("host.name".to_owned(), "a".to_owned())];
        for (choices, want) in [
            (
                ovf::Choices { configuration: Some("small"), ..Default::default() },
                "a VMX has no configuration or property 'small'",
            ),
            (
                ovf::Choices { properties: &properties, ..Default::default() },
                "a VMX has no configuration or property 'host.name'",
            ),
        ] {
            let error = one.select(&choices).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.code()), (want, Code::E0306));
        }
    }

    #[test]
    fn a_network_of_two_cards_is_one_network() {
        let card = |n: u8, network: &str| {
            format!("ethernet{n}.present = \"TRUE\"\nethernet{n}.networkName = \"{network}\"\n")
        };
        let one = vmx(&(card(0, "A") + &card(1, "B") + &card(2, "A")));
        let selection = one.select(&ovf::Choices::default()).unwrap();
        assert_eq!(selection.networks, ["A", "B"]);
        assert_eq!(selection.systems[0].nics.len(), 3);
    }
}
