//! The whole descriptor.

use std::collections::HashSet;

use code::Code;

use super::{
    BundleFiles, Disk, File, Origin, Product, StartupItem, VirtualSystem, disk_section,
    reader::{Reader, section_name},
    startup,
    system::{self, Surroundings},
};
use crate::{
    Error, Finding, Kind, Place, quote,
    xml::{self, Element, Space},
};

/// The most configurations of a descriptor (ours; real ones have up to 16).
const MAX_CONFIGURATIONS: usize = 256;
/// The most networks of a descriptor (ours).
const MAX_NETWORKS: usize = 1024;
/// The most systems of a descriptor (ours).
const MAX_SYSTEMS: usize = 256;
/// How much text collections may hand down to all their systems, in bytes (ours).
const MAX_HANDED_DOWN_BYTES: usize = 16 << 20;

/// The dialect, by the namespace of the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// VMware's draft of 2008.
    V09,
    /// OVF 1.0 and 1.1, and the oVirt dialect.
    V1,
    /// OVF 2.0 and 2.1.
    V2,
}

impl Version {
    /// The word used in JSON: `0.9`, `1.x` or `2.x`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V09 => "0.9",
            Self::V1 => "1.x",
            Self::V2 => "2.x",
        }
    }
}

/// One `Network` of `NetworkSection`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// `ovf:name`.
    pub name: String,
    /// `Description`.
    pub description: Option<String>,
}

/// One `Configuration` of `DeploymentOptionSection`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// `ovf:id`.
    pub id: String,
    /// `Label`.
    pub label: Option<String>,
    /// `Description`.
    pub description: Option<String>,
    /// It is the one taken when none is chosen: marked `ovf:default`, else the first.
    pub default: bool,
}

/// One `VirtualSystemCollection`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// The ids of the collections from the outermost to this one; a missing id is empty.
    pub path: Vec<String>,
    /// `Name`.
    pub name: Option<String>,
    /// `StartupSection`: the order in which its children start.
    pub startup: Vec<StartupItem>,
    /// Sections that are not read.
    pub sections: Vec<UnknownSection>,
}

/// A section that is known by name at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSection {
    /// The local name of the element, or the type of a `Section`.
    pub name: String,
    /// The namespace; `None` if it has none.
    pub namespace: Option<String>,
    /// `ovf:required`; `None` when the attribute is absent.
    pub required: Option<bool>,
    /// `Info`.
    pub info: Option<String>,
    /// How much it matters that the section is not acted upon: `E0305` must block a plan.
    pub code: Code,
    /// What is not done with it: a lowercase fragment, escaped for printing.
    pub message: String,
    /// Where it stands.
    pub origin: Origin,
}

impl UnknownSection {
    /// What it is called in findings, and in what a user leaves out: `section.NAME`.
    #[must_use]
    pub fn item(&self) -> String {
        format!("section.{}", quote::Plain(&self.name))
    }
}

/// A descriptor as it was written.
///
/// Call [`Envelope::select`] for the machines of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The dialect.
    pub version: Version,
    /// What wrote it, from a comment or a vendor's element.
    pub producer: Option<String>,
    /// Whether it is the oVirt dialect.
    pub is_ovirt: bool,
    /// `References`.
    pub files: Vec<File>,
    /// `DiskSection`.
    pub disks: Vec<Disk>,
    /// `NetworkSection`.
    pub networks: Vec<Network>,
    /// `DeploymentOptionSection`; exactly one is the default if there is any.
    pub configurations: Vec<Configuration>,
    /// The collections, in document order.
    pub collections: Vec<Collection>,
    /// Every virtual system, collections flattened, in document order; at least one.
    pub systems: Vec<VirtualSystem>,
    /// Sections of the envelope that are not read.
    pub sections: Vec<UnknownSection>,
    /// Everything that was tolerated.
    pub findings: Vec<Finding>,
}

impl Envelope {
    /// Reads a descriptor whose other files are out of reach.
    ///
    /// As [`parse_with`](Self::parse_with), but message bundles in files are named in a finding.
    ///
    /// # Errors
    /// As [`parse_with`](Self::parse_with).
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Self::parse_with(bytes, &mut |_| Err("files of the package are not at hand".to_owned()))
    }

    /// Reads a descriptor, and the message bundles that lie in files of the package.
    ///
    /// Message ids are replaced by texts in the language of the envelope; `files` is asked for the
    /// bundles of that language only.
    ///
    /// # Errors
    /// `E0301` when the bytes are not the XML of an OVF envelope, are forbidden (a DOCTYPE, an
    /// entity) or over a limit; `E0302` when there is no virtual system; `E0106` for more files,
    /// disks, networks, configurations or systems than the named limits.
    pub fn parse_with(bytes: &[u8], files: &mut BundleFiles<'_>) -> Result<Self, Error> {
        Self::read(bytes, files).map_err(|error| xml::with_context(error, bytes))
    }

    fn read(bytes: &[u8], files: &mut BundleFiles<'_>) -> Result<Self, Error> {
        let document = xml::parse(bytes)?;
        let root = &document.root;
        let mut reader = Reader::new(document.findings, root, files);
        let mut envelope = Self {
            version: version_of(root, &mut reader)?,
            producer: producer(root, &document.comments),
            is_ovirt: false,
            files: Vec::new(),
            disks: Vec::new(),
            networks: Vec::new(),
            configurations: Vec::new(),
            collections: Vec::new(),
            systems: Vec::new(),
            sections: Vec::new(),
            findings: Vec::new(),
        };
        for child in &root.children {
            envelope.read_child(child, &mut reader)?;
        }
        if envelope.systems.is_empty() {
            let message = "no virtual system in the envelope";
            return Err(Error::malformed(Code::E0302, message).at(Place::Line(root.line)));
        }
        system::give_handles(&mut envelope.systems);
        envelope.choose_default(&mut reader);
        envelope.note_undeclared(&mut reader);
        disk_section::note_references(&envelope.files, &envelope.disks, &mut reader);
        envelope.findings = reader.findings;
        Ok(envelope)
    }

    fn read_child(&mut self, child: &Element, reader: &mut Reader) -> Result<(), Error> {
        match section_name(child) {
            Some("References") => disk_section::read_files(child, &mut self.files, reader)?,
            Some("DiskSection") => self.read_disks(child, reader)?,
            Some("NetworkSection") => self.read_networks(child, reader)?,
            Some("DeploymentOptionSection") => self.read_configurations(child, reader)?,
            Some("VirtualSystem") => self.read_system(child, &Surroundings::default(), reader)?,
            Some("VirtualSystemCollection") => {
                self.read_collection(child, &Surroundings::default(), reader)?;
            }
            Some("Strings" | "Info") => {}
            _ => self.sections.push(reader.unknown_section(child, "")),
        }
        Ok(())
    }

    fn read_disks(&mut self, section: &Element, reader: &mut Reader) -> Result<(), Error> {
        self.is_ovirt |= section.all("Disk").any(Disk::is_ovirt);
        disk_section::read_disks(section, &mut self.disks, reader)
    }

    fn read_networks(&mut self, section: &Element, reader: &mut Reader) -> Result<(), Error> {
        for element in section.all("Network") {
            let name = element.filled("name").unwrap_or_default();
            let origin = Origin { line: element.line, path: "/NetworkSection/Network".to_owned() };
            if self.networks.len() >= MAX_NETWORKS {
                let message = format!("more than {MAX_NETWORKS} networks");
                return Err(Error::limit(Code::E0106, message).at(Place::Line(element.line)));
            }
            if name.is_empty() || self.networks.iter().any(|network| network.name == name) {
                let message =
                    format!("the network name {} is empty or used twice", quote::Quoted(&name));
                reader.note(Code::W0610, message, &origin);
                continue;
            }
            self.networks.push(Network { name, description: reader.text(element, "Description") });
        }
        Ok(())
    }

    fn read_configurations(&mut self, section: &Element, reader: &mut Reader) -> Result<(), Error> {
        for element in section.all("Configuration") {
            let id = element.filled("id").unwrap_or_default();
            if self.configurations.len() >= MAX_CONFIGURATIONS {
                let message = format!("more than {MAX_CONFIGURATIONS} configurations");
                return Err(Error::limit(Code::E0106, message).at(Place::Line(element.line)));
            }
            if id.is_empty() || self.configurations.iter().any(|known| known.id == id) {
                let path = "/DeploymentOptionSection/Configuration".to_owned();
                let message =
                    format!("the configuration id {} is empty or used twice", quote::Quoted(&id));
                reader.note(Code::W0610, message, &Origin { line: element.line, path });
                continue;
            }
            self.configurations.push(Configuration {
                id,
                label: reader.text(element, "Label"),
                description: reader.text(element, "Description"),
                default: element.attribute("default").and_then(xml::boolean) == Some(true),
            });
        }
        Ok(())
    }

    /// Leaves exactly one default: the first that is marked, else the first.
    fn choose_default(&mut self, reader: &mut Reader) {
        let marked = self.configurations.iter().filter(|c| c.default).count();
        if marked > 1 {
            let message =
                format!("{marked} configurations are marked as default, the first is taken");
            reader.findings.push(Finding::new(Code::W0610, message));
        }
        let chosen = self.configurations.iter().position(|c| c.default).unwrap_or(0);
        for (at, configuration) in self.configurations.iter_mut().enumerate() {
            configuration.default = at == chosen;
        }
    }

    fn read_system(
        &mut self,
        element: &Element,
        around: &Surroundings,
        reader: &mut Reader,
    ) -> Result<(), Error> {
        self.handed_down(around, element)?;
        for section in element.children.iter().filter(|c| section_name(c) == Some("DiskSection")) {
            let origin =
                Origin { line: section.line, path: "/VirtualSystem/DiskSection".to_owned() };
            reader.note(Code::W0610, "a disk section inside a virtual system", &origin);
            self.read_disks(section, reader)?;
        }
        self.systems.push(VirtualSystem::read(element, around, reader));
        Ok(())
    }

    /// Bounds what collections hand down: a long licence times many systems is not read.
    fn handed_down(&self, around: &Surroundings, element: &Element) -> Result<(), Error> {
        let systems = self.systems.len().saturating_add(1);
        let refuse =
            |message| Err(Error::limit(Code::E0106, message).at(Place::Line(element.line)));
        if systems > MAX_SYSTEMS {
            return refuse(format!("more than {MAX_SYSTEMS} virtual systems"));
        }
        if around.text_bytes.saturating_mul(systems) > MAX_HANDED_DOWN_BYTES {
            return refuse(format!(
                "collections hand {} bytes down to {systems} systems, at most \
                 {MAX_HANDED_DOWN_BYTES} in all are allowed",
                around.text_bytes
            ));
        }
        Ok(())
    }

    fn read_collection(
        &mut self,
        element: &Element,
        outer: &Surroundings,
        reader: &mut Reader,
    ) -> Result<(), Error> {
        let id = element.filled("id").unwrap_or_default();
        let path = format!("/VirtualSystemCollection[{}]", quote::Plain(&id));
        let mut around = outer.clone();
        around.text_bytes = around.text_bytes.saturating_add(own_text_bytes(element));
        self.handed_down(&around, element)?;
        around.collections.push(id.clone());
        let mut collection = Collection {
            path: around.collections.clone(),
            name: reader.text(element, "Name"),
            startup: Vec::new(),
            sections: Vec::new(),
        };
        let mut own_products = Vec::new();
        let mut contents = Vec::new();
        for child in &element.children {
            match section_name(child) {
                Some("VirtualSystem" | "VirtualSystemCollection") => contents.push(child),
                Some("ProductSection") => own_products.push(Product {
                    inherited_from: Some(id.clone()),
                    ..Product::read(child, &path, reader)
                }),
                Some("EulaSection") => around.eulas.extend(reader.text(child, "License")),
                Some("StartupSection") => {
                    collection.startup.extend(startup::read(child, &path, reader));
                }
                Some("Info" | "Name" | "AnnotationSection" | "Strings") => {}
                _ => collection.sections.push(reader.unknown_section(child, &path)),
            }
        }
        own_products.append(&mut around.products);
        around.products = own_products;
        self.collections.push(collection);
        for child in contents {
            if section_name(child) == Some("VirtualSystem") {
                self.read_system(child, &around, reader)?;
            } else {
                self.read_collection(child, &around, reader)?;
            }
        }
        Ok(())
    }

    /// Notes configurations that items name and nobody declares.
    fn note_undeclared(&self, reader: &mut Reader) {
        let mut known: HashSet<&str> =
            self.configurations.iter().map(|configuration| configuration.id.as_str()).collect();
        for item in self.systems.iter().flat_map(|system| &system.hardware.items) {
            for id in &item.configurations {
                if known.insert(id) {
                    let message =
                        format!("the configuration {} is not declared", quote::Quoted(id));
                    reader.note(Code::W0610, message, &item.origin);
                }
            }
        }
    }
}

/// The text of a collection that its systems inherit: its id, its licences and its products.
fn own_text_bytes(collection: &Element) -> usize {
    let is_content =
        |e: &&Element| matches!(section_name(e), Some("VirtualSystem" | "VirtualSystemCollection"));
    let sections = collection.children.iter().filter(|child| !is_content(child));
    sections
        .map(Element::text_bytes)
        .fold(collection.attribute("id").map_or(0, str::len), usize::saturating_add)
}

/// Tells the dialect by the root element.
fn version_of(root: &Element, reader: &mut Reader) -> Result<Version, Error> {
    let at = Place::Line(root.line);
    if root.name != "Envelope" {
        let message = format!("the root element is {}, not 'Envelope'", quote::Quoted(&root.name));
        let error = Error::malformed(Code::E0301, message).at(at);
        return Err(if root.name.eq_ignore_ascii_case("html") {
            error.with_hint("this is an HTML page")
        } else {
            error
        });
    }
    match &root.space {
        Space::Envelope(version) => Ok(*version),
        Space::None => {
            let message = "the envelope is in no namespace and is read as OVF 1.x";
            reader.findings.push(Finding::new(Code::W0610, message).at_line(root.line));
            Ok(Version::V1)
        }
        other => {
            let uri = other.foreign_name().unwrap_or_default();
            let message = format!("not an OVF version that is read: {}", quote::Quoted(&uri));
            Err(Error::new(Code::E0301, Kind::Unsupported, message).at(at))
        }
    }
}

/// What wrote the descriptor: a comment says it, or a vendor's attribute.
fn producer(root: &Element, comments: &[String]) -> Option<String> {
    let said = comments.iter().map(|comment| comment.trim()).find_map(|comment| {
        let lower = comment.to_ascii_lowercase();
        ["generated by ", "created by ", "produced by "].iter().find_map(|phrase| {
            let at = lower.find(phrase)?.checked_add(phrase.len())?;
            comment.get(at..)?.lines().next()
        })
    });
    if let Some(said) = said {
        // OVF Tool adds the time of writing, which says nothing about the producer.
        let name = said.split(", UTC time").next().unwrap_or(said);
        return Some(name.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    if let Some(build) = root.attribute_in(&Space::Vmware, "buildId") {
        return Some(format!("VMware {}", build.trim()));
    }
    is_written_by_virtualbox(root).then(|| "VirtualBox".to_owned())
}

fn is_written_by_virtualbox(element: &Element) -> bool {
    element.children.iter().any(|child| {
        child.space == Space::Vbox || (child.space.is_standard() && is_written_by_virtualbox(child))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Choices,
        sample::{Sample, item, item_with, rasd},
    };

    fn refusal(text: &str) -> String {
        let error = Envelope::parse(text.as_bytes()).unwrap_err();
        format!("{} {error}", error.code())
    }

    #[test]
    fn reads_a_sound_descriptor_without_a_finding() {
        let envelope = Sample::new().parse();
        assert_eq!(envelope.findings, []);
        assert_eq!(envelope.version, Version::V1);
        assert_eq!(envelope.producer.as_deref(), Some("our tests 1.0"));
        assert_eq!(envelope.files[0].size_bytes, Some(700));
        assert_eq!(envelope.disks[0].capacity.as_deref(), Some("64"));
        let system = &envelope.systems[0];
        assert_eq!((system.id.as_deref(), system.handle.as_str()), (Some("vm"), "vm"));
        assert_eq!(system.hardware.vmx_version(), Some(14));
        let disk = &system.hardware.items[3];
        assert_eq!(disk.origin.path, "/VirtualSystem[vm]/VirtualHardwareSection/Item[4]");
        assert_eq!((disk.origin.line, disk.display_name().as_str()), (22, "RT 17"));
    }

    #[test]
    fn refuses_what_is_no_envelope() {
        for (text, want) in [
            ("<Envelop/>", "E0301 the root element is 'Envelop', not 'Envelope' (line 1)"),
            (
                "<Envelope xmlns='http://schemas.dmtf.org/ovf/envelope/3'/>",
                "E0301 not an OVF version that is read: \
                 'http://schemas.dmtf.org/ovf/envelope/3' (line 1)",
            ),
            ("<Envelope/>", "E0302 no virtual system in the envelope (line 1)"),
        ] {
            assert_eq!(refusal(text), want);
        }
        let page = Envelope::parse(b"<html><body/></html>").unwrap_err();
        assert_eq!(page.hint(), Some("this is an HTML page"));
        assert_eq!(page.context(), Some("    1 | <html><body/></html>\n"));
    }

    #[test]
    fn reads_the_draft_of_2008_as_it_reads_version_1() {
        let modern = Sample::new().xml();
        let draft = modern
            .replace("schemas.dmtf.org/ovf/envelope/1", "www.vmware.com/schema/ovf/1/envelope")
            .replace(
                "xmlns:vbox",
                "xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xmlns:vbox",
            )
            .replace("<DiskSection>", "<Section xsi:type='ovf:DiskSection_Type'>")
            .replace("</DiskSection>", "</Section>")
            .replace("<NetworkSection>", "<Section xsi:type='ovf:NetworkSection_Type'>")
            .replace("</NetworkSection>", "</Section>")
            .replace("<VirtualHardwareSection>", "<Section xsi:type='VirtualHardwareSection_Type'>")
            .replace("</VirtualHardwareSection>", "</Section>")
            .replace("<VirtualSystem ", "<Content xsi:type='ovf:VirtualSystem_Type' ")
            .replace("</VirtualSystem>", "</Content>")
            .replace("InstanceID", "InstanceId");
        let read = |text: &str| {
            let envelope = Envelope::parse(text.as_bytes()).unwrap();
            let selection = envelope.select(&Choices::default()).unwrap();
            (envelope.version, selection)
        };
        let (version, selection) = read(&draft);
        assert_eq!(version, Version::V09);
        assert_eq!(selection, read(&modern).1);
    }

    #[test]
    fn prefixes_and_the_place_of_their_declaration_do_not_matter() {
        let modern = Sample::new().xml();
        let want = Envelope::parse(modern.as_bytes()).unwrap().select(&Choices::default());
        let renamed = modern
            .replace("ovf:d", "q:d")
            .replace("ovf:f", "q:f")
            .replace(":ovf=", ":q=")
            .replace("rasd:", "r:")
            .replace(":rasd=", ":r=");
        let unqualified = modern.replace(" ovf:", " ");
        let undeclared = modern.replace("xmlns:rasd=", "xmlns:other=");
        for text in [&renamed, &unqualified, &undeclared] {
            let envelope = Envelope::parse(text.as_bytes()).unwrap();
            assert_eq!(
                envelope.select(&Choices::default()).unwrap().systems[0].disks,
                want.as_ref().unwrap().systems[0].disks
            );
        }
        let envelope = Envelope::parse(undeclared.as_bytes()).unwrap();
        assert_eq!(envelope.findings[0].message, "the prefix 'rasd' is not declared");
    }

    #[test]
    fn reads_port_and_storage_items_of_version_2() {
        let mut sample = Sample::new();
        sample.items = item(31, "7", &rasd("VirtualQuantity", "1073741824"))
            .replace("Item>", "StorageItem>")
            .replace("<Item", "<StorageItem")
            + &item(10, "8", &rasd("Connection", "net"))
                .replace("Item>", "EthernetPortItem>")
                .replace("<Item", "<EthernetPortItem");
        let text = sample.xml().replace("ovf/envelope/1", "ovf/envelope/2");
        let envelope = Envelope::parse(text.as_bytes()).unwrap();
        assert_eq!(envelope.version, Version::V2);
        let system = &envelope.select(&Choices::default()).unwrap().systems[0];
        assert_eq!(system.disks[0].capacity_bytes, Some(1 << 30));
        assert_eq!(system.nics[0].network.as_deref(), Some("net"));
    }

    #[test]
    fn flattens_collections_and_hands_their_sections_down() {
        let one = Sample::new().xml();
        let (head, tail) = one.split_once("<VirtualSystem ").unwrap();
        let (body, _) = tail.split_once("</VirtualSystem>").unwrap();
        let system = format!("<VirtualSystem {body}</VirtualSystem>");
        let text = format!(
            r#"{head}<VirtualSystemCollection ovf:id="outer"><Info/><Name>all</Name>
            <EulaSection><License>be nice</License></EulaSection>
            <ProductSection ovf:class="c"><Property ovf:key="k" ovf:type="string"/></ProductSection>
            <StartupSection><Item ovf:id="vm" ovf:order="1" ovf:startDelay="5"/><Item/></StartupSection>
            {system}
            <VirtualSystemCollection ovf:id="inner"><Info/>{system}{}</VirtualSystemCollection>
            </VirtualSystemCollection></Envelope>"#,
            system.replace("ovf:id=\"vm\"", "ovf:id=\"vm1\"")
        );
        let envelope = Envelope::parse(text.as_bytes()).unwrap();
        let handles: Vec<_> = envelope.systems.iter().map(|s| s.handle.as_str()).collect();
        assert_eq!(handles, ["vm2", "vm3", "vm1"], "equal ids are numbered, a free id is kept");
        let inner = &envelope.systems[2];
        assert_eq!(inner.collections, ["outer", "inner"]);
        assert_eq!(inner.eulas, ["be nice"]);
        assert_eq!(inner.products[0].inherited_from.as_deref(), Some("outer"));
        assert_eq!(inner.products[0].properties[0].full_key, "c.k");
        let startup = &envelope.collections[0].startup;
        assert_eq!((startup.len(), startup[0].start_delay_seconds), (1, 5));
        assert_eq!(startup[0].start_action, "powerOn");
    }

    #[test]
    fn refuses_a_long_text_handed_down_to_many_systems() {
        let text = format!(
            "<Envelope xmlns='http://schemas.dmtf.org/ovf/envelope/1'><VirtualSystemCollection>\
             <EulaSection><License>{}</License></EulaSection>{}\
             </VirtualSystemCollection></Envelope>",
            "x".repeat(1 << 20),
            "<VirtualSystem/>".repeat(17)
        );
        assert_eq!(
            refusal(&text),
            "E0106 collections hand 1048576 bytes down to 17 systems, at most 16777216 in all are \
             allowed (line 1)"
        );
        let many = format!(
            "<Envelope xmlns='http://schemas.dmtf.org/ovf/envelope/1'>{}</Envelope>",
            "<VirtualSystem/>".repeat(257)
        );
        assert_eq!(refusal(&many), "E0106 more than 256 virtual systems (line 1)");
    }

    #[test]
    fn refuses_more_of_anything_than_the_limit() {
        type Spoil = fn(&mut Sample);
        let cases: [(Spoil, &str); 4] = [
            (
                |s| s.files = r#"<File ovf:id="f1" ovf:href="x"/>"#.repeat(257),
                "257 files are referenced, at most 256 are allowed",
            ),
            (
                |s| s.disks = r#"<Disk ovf:diskId="d1"/>"#.repeat(1025),
                "1025 disks are described, at most 1024 are allowed",
            ),
            (
                |s| {
                    let many: String =
                        (0..1024).map(|n| format!("<Network ovf:name='{n}'/>")).collect();
                    s.options = format!("<NetworkSection>{many}</NetworkSection>");
                },
                "more than 1024 networks",
            ),
            (
                |s| {
                    let many: String =
                        (0..257).map(|n| format!("<Configuration ovf:id='{n}'/>")).collect();
                    s.options =
                        format!("<DeploymentOptionSection>{many}</DeploymentOptionSection>");
                },
                "more than 256 configurations",
            ),
        ];
        for (spoil, want) in cases {
            let mut sample = Sample::new();
            spoil(&mut sample);
            let error = Envelope::parse(sample.xml().as_bytes()).unwrap_err();
            assert_eq!((error.code(), error.kind()), (Code::E0106, Kind::Limit));
            assert_eq!(error.message(), want);
        }
    }

    #[test]
    fn notes_every_defect_that_changes_nothing() {
        type Spoil = fn(&mut Sample);
        let cases: [(Spoil, &str); 12] = [
            (
                |s| s.files += r#"<File ovf:id="f1" ovf:href="x"/>"#,
                "an earlier file has the id 'f1'",
            ),
            (|s| s.files += r#"<File ovf:id="f2"/>"#, "a file without a href"),
            (
                |s| s.files += r#"<File ovf:id="f2" ovf:href="x" ovf:size="-2"/>"#,
                "size '-2' is no number below 2^63",
            ),
            (
                |s| s.disks += r#"<Disk ovf:diskId="d1" ovf:capacity="9"/>"#,
                "an earlier disk has the id 'd1'",
            ),
            (
                |s| s.disks += r#"<Disk ovf:diskId="d2" ovf:fileRef="gone"/>"#,
                "no file has the id 'gone'",
            ),
            (
                |s| s.disks += r#"<Disk ovf:diskId="d2" ovf:parentRef="gone"/>"#,
                "no disk has the id 'gone'",
            ),
            (
                |s| s.disks += r#"<Disk ovf:diskId="d2" ovf:format="odd"/>"#,
                "the disk format 'odd' is not known",
            ),
            (
                |s| s.items += &item_with("ovf:configuration=\"big\"", 3, "1", ""),
                "the configuration 'big' is not declared",
            ),
            (|s| s.items += &item(1, "9", &rasd("Odd", "1")), "the element 'Odd' is not read"),
            (
                |s| s.items += &item_with("ovf:bound=\"mid\"", 1, "9", ""),
                "the bound 'mid' is read as normal",
            ),
            (
                |s| {
                    s.system =
                        "<ProductSection><Property ovf:key='k' ovf:type='odd'/></ProductSection>"
                            .into();
                },
                "the property type 'odd' is read as a string",
            ),
            (
                |s| s.system = "<VirtualHardwareSection/>".into(),
                "2 hardware sections, the one of line 17 is taken",
            ),
        ];
        for (spoil, want) in cases {
            let mut sample = Sample::new();
            spoil(&mut sample);
            let findings = sample.parse().findings;
            let messages: Vec<_> = findings.iter().map(|f| f.message.as_str()).collect();
            assert_eq!(messages, [want]);
        }
    }

    #[test]
    fn a_list_that_never_ends_is_cut_and_said() {
        let mut sample = Sample::new();
        let list = "big ".repeat(200_001);
        sample.items += &item_with(&format!("configuration=\"{list}\""), 1, "9", "");
        let envelope = sample.parse();
        assert_eq!(envelope.systems[0].hardware.items[5].configurations.len(), 200_000);
        assert_eq!(
            envelope.findings[0].message,
            "the list configuration is cut: more than 200000 words in all"
        );
    }

    #[test]
    fn an_unknown_section_blocks_only_when_it_is_required() {
        for (section, code) in [
            (r#"<OddSection ovf:required="true"/>"#, Code::E0305),
            (r#"<OddSection ovf:required="false"/>"#, Code::W0203),
            ("<OddSection/>", Code::W0204),
            (r#"<vmw:OddSection ovf:required="true"/>"#, Code::W0204),
        ] {
            let sample = Sample { options: section.into(), ..Sample::new() };
            let envelope = sample.parse();
            assert_eq!(envelope.findings[0].code, code, "{section}");
            assert_eq!(envelope.sections[0].name, "OddSection");
        }
    }

    #[test]
    fn replaces_message_ids_by_the_best_bundle() {
        let sample = Sample {
            options: r#"<Strings xml:lang="de"><Msg ovf:msgid="i">Maschine</Msg></Strings>
                <Strings><Msg ovf:msgid="i">thing</Msg></Strings>
                <Strings xml:lang="en"><Msg ovf:msgid="i">machine</Msg></Strings>"#
                .into(),
            system: r#"<Name ovf:msgid="i">own</Name>
                <AnnotationSection><Annotation ovf:msgid="gone">own</Annotation></AnnotationSection>"#
                .into(),
            ..Sample::new()
        };
        let envelope = sample.parse();
        assert_eq!(envelope.systems[0].name.as_deref(), Some("machine"));
        assert_eq!(envelope.systems[0].annotation.as_deref(), Some("own"));
        assert_eq!(envelope.findings[0].message, "no text for the message id 'gone'");
    }

    #[test]
    fn keeps_what_virtualbox_says_of_its_machine() {
        let sample = Sample {
            system: r#"<vbox:Machine OSType="Debian_64"><Hardware><Firmware type="EFI"/>
                <AudioAdapter controller="HDA" enabled="true"/><Network>
                <Adapter slot="0" enabled="true" MACAddress="0800277861D7" type="82540EM"><NAT/></Adapter>
                <Adapter slot="1" enabled="false"/></Network></Hardware>
                <StorageControllers><StorageController name="SATA" type="AHCI">
                <AttachedDevice type="HardDisk" port="0" device="0"><Image uuid="{u}"/></AttachedDevice>
                </StorageController></StorageControllers></vbox:Machine>"#
                .into(),
            ..Sample::new()
        };
        let envelope = sample.parse();
        let vbox = envelope.systems[0].vbox.as_ref().unwrap();
        assert_eq!(vbox.firmware.as_deref(), Some("EFI"));
        assert_eq!(vbox.audio.as_deref(), Some("HDA"));
        assert_eq!(vbox.adapters.len(), 1);
        assert_eq!(vbox.adapters[0].attachment.as_deref(), Some("NAT"));
        assert_eq!(vbox.controllers[0].devices[0].image.as_deref(), Some("{u}"));
        let os = envelope.systems[0].os.as_ref().unwrap();
        assert_eq!(os.vbox.as_deref(), Some("Debian_64"));
    }

    #[test]
    fn cut_at_any_length_it_is_an_error() {
        let text = Sample::new().xml();
        for length in 0..text.trim_end().len() {
            assert!(Envelope::parse(&text.as_bytes()[..length]).is_err(), "{length}");
        }
    }
}
