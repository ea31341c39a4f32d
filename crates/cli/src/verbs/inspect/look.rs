//! Everything that is known of a package once its headers were read.

use code::Code;
use convert::{
    Action, Choices, Converted, Identity,
    source::{File, System},
};
use ovf::EntryName;
use restore::{Facts, ImageFacts, Located, ManifestPolicy, Selection, Source};

use crate::{
    failure::{Failure, Result},
    json::Message,
};

/// What is known of a package.
#[derive(Debug)]
pub(super) struct Look<'a> {
    pub(super) facts: &'a Facts,
    /// The machines of the default configuration.
    pub(super) selection: Selection,
    /// What KVM would make of each machine; tells the guest, too.
    pub(super) converted: Vec<Converted>,
    /// What the headers of the disks say.
    images: Vec<ImageFacts>,
    pub(super) warnings: Vec<Message>,
    /// A file that an archive lacks, or may not name: that package is broken.
    pub(super) unusable: Option<Box<Failure>>,
}

/// The file of a disk, as far as it was found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found<'a> {
    /// How many bytes it has.
    pub(super) packed_bytes: Option<u64>,
    /// What its header says.
    pub(super) image: Option<&'a disk::Info>,
}

impl<'a> Look<'a> {
    /// Reads the headers of the disks and maps the hardware of the default configuration.
    pub(super) fn at(source: &'a dyn Source) -> Result<Self> {
        let facts = source.facts();
        let choices = restore::Choices::default();
        let selection = restore::plan::select(facts, &choices)?;
        let wanted = restore::plan::images(facts, &choices)?;
        let images = restore::source::look_at_images(source, &wanted)?;
        let used: Vec<EntryName> =
            wanted.iter().flat_map(restore::PackedImage::used).cloned().collect();
        let converted = convert(facts, &selection);
        let findings = selection.text_findings.iter().chain(&facts.findings);
        let mut look = Self {
            facts,
            warnings: super::messages(findings.chain(&selection.findings)),
            selection,
            converted,
            images,
            unusable: None,
        };
        look.judge_files();
        look.judge_manifest(&used)?;
        look.judge_images();
        Ok(look)
    }

    /// The file of a disk.
    pub(super) fn file(&self, file: &File) -> Found<'_> {
        let Ok(parts) = restore::locate(self.facts, file) else { return Found::default() };
        let length = |part: &Located| Some(self.facts.member(&part.name)?.length_bytes);
        let mut lengths = parts.iter().map(length);
        let image =
            self.images.iter().find(|image| parts.iter().any(|part| part.name == image.name));
        Found {
            // A ZIP archive may claim any length.
            packed_bytes: lengths.try_fold(0_u64, |sum, length| Some(sum.saturating_add(length?))),
            image: image.and_then(|image| image.info.as_ref().ok()),
        }
    }

    /// How many items end in this way on KVM.
    pub(super) fn count(&self, action: Action) -> usize {
        let rows = self.converted.iter().flat_map(|converted| &converted.rows);
        rows.filter(|row| row.action == action).count()
    }

    /// Says which files are not there, which beside a bare descriptor is a finding only, and which
    /// have names that must not be followed.
    fn judge_files(&mut self) {
        let mut used: Vec<&File> = Vec::new();
        for file in self.selection.systems.iter().flat_map(System::files) {
            if !used.contains(&file) {
                used.push(file);
            }
        }
        let mut unusable = Vec::new();
        for file in used {
            match restore::locate(self.facts, file) {
                Ok(parts) => {
                    let findings = parts.iter().filter_map(|part| part.finding.as_ref());
                    self.warnings.extend(super::messages(findings));
                }
                Err(error) if error.code() == Code::E0104 && self.facts.kind.is_folder() => {
                    let text = format!("{} is not beside the descriptor", file.text());
                    self.warnings.push(Message::new(Code::W0602, text).about(file.text()));
                }
                Err(error) => unusable.push((error, file.text().to_owned())),
            }
        }
        let mut unusable = unusable.into_iter();
        if let Some((error, _)) = unusable.next() {
            let others = unusable
                .map(|(error, href)| Message::new(error.code(), error.to_string()).about(href));
            let failure = Box::<Failure>::from(error).detail("package", &self.facts.name);
            self.unusable = Some(failure.others(others.collect()));
        }
    }

    /// Says what the manifest lacks or lists in vain. A file that is missing is told as that, and
    /// not once more as a line without a file.
    fn judge_manifest(&mut self, used: &[EntryName]) -> Result<()> {
        let is_missing = |message: &Message| message.code == Some(Code::W0602.as_str());
        let explained = self.unusable.is_some() || self.warnings.iter().any(is_missing);
        match restore::plan::check_manifest(self.facts, used, ManifestPolicy::Check) {
            Ok(findings) => self.warnings.extend(super::messages(findings.iter())),
            Err(error) if error.code() == Code::E0205 && explained => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Says what is odd about the disks, as far as their headers tell.
    fn judge_images(&mut self) {
        for image in &self.images {
            match &image.info {
                Ok(info) => self.warnings.extend(
                    info.warnings.iter().map(|one| Message::of_image(one, image.name.as_str())),
                ),
                Err(refusal) => {
                    let mut message = Message::new(refusal.code, &refusal.message);
                    message.severity = code::Severity::Blocker.as_str();
                    self.warnings.push(message.about(image.name.as_str()));
                }
            }
        }
    }
}

/// What KVM would make of each machine under the default choices.
fn convert(facts: &Facts, selection: &Selection) -> Vec<Converted> {
    let choices = Choices::default();
    let convert = |system: &System| {
        let name = convert::domain_name(system.name.as_deref().unwrap_or(&system.handle));
        let seed = system.id.as_deref().unwrap_or(&system.handle);
        let identity = Identity::new(&facts.descriptor.bytes, seed, &name);
        convert::map_hardware(system, &choices, &name, &identity)
    };
    selection.systems.iter().map(convert).collect()
}
