//! Images as members of one bundle, and what stands behind them in it.
//!
//! ```text
//! images and media | TIME-source.ovf, .mf, .cert as they came | TIME-NAME.xml | TIME-manifest.json
//! ```

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use ::bundle::{Bundle, Growing, Manifest, Node, Options, SourceDigest, SourceFacts, Vm, Writer};
use code::Code;
use disk::{FileBytes, ReadAt, WriteAt};
use host::Partial;
use ovf::{EntryName, manifest::Algorithm};

use super::Store;
use crate::{
    Error, Facts, Output, Plan, Watch,
    execute::{files, images::Unsaid},
    plan::{BundlePlan, FileRole},
    undo::Undo,
};

/// How hard a bundle is compressed in the run that makes it: the disks of an appliance become 15 % larger
/// than at level 1, in two thirds of the time (3.3 GB of qcow2). `relift backup compress` can do it again.
const LEVEL: i32 = -2;

/// A bundle that is being written.
pub(in crate::execute) struct Packing<'f> {
    plan: &'f Plan,
    bundle: &'f BundlePlan,
    watch: &'f dyn Watch,
    shown: PathBuf,
    file: Arc<File>,
    /// Gone once the bundle is whole.
    writer: Option<Writer<'f>>,
    growing: Option<Arc<Growing>>,
    whole: Option<Bundle>,
}

impl<'f> Packing<'f> {
    /// Begins a bundle in an empty file.
    pub(in crate::execute) fn new(
        plan: &'f Plan,
        bundle: &'f BundlePlan,
        partial: &'f Partial,
        watch: &'f dyn Watch,
    ) -> Result<Self, Error> {
        let shown = partial.path.clone();
        let wrap = |source| Error::io(format!("cannot open {}", shown.display()), source);
        let file = Arc::new(partial.file.try_clone().map_err(wrap)?);
        let BundlePlan { form, unix_seconds, .. } = *bundle;
        let options = Options { form, level: LEVEL, unix_seconds };
        let writer = Some(Writer::new(&partial.file, options));
        Ok(Self { plan, bundle, watch, shown, file, writer, growing: None, whole: None })
    }

    fn writer(&mut self) -> Result<&mut Writer<'f>, Error> {
        self.writer.as_mut().ok_or_else(|| Error::new(Code::E0508, "the bundle is whole already"))
    }

    /// An error of the bundle; of writing, with the file.
    fn wrong(&self, error: ::bundle::Error) -> Error {
        match error.kind() {
            ::bundle::Kind::Io => {
                let file = self.plan.target.display().to_string();
                Error::from(error).detail("file", file)
            }
            _ => Error::from(error),
        }
    }

    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let name = EntryName::parse(name)?;
        let progress = Unsaid(self.watch);
        let added = self.writer()?.add(&name, &bytes.to_vec(), &progress);
        added.map_err(|error| self.wrong(error))
    }

    /// The papers of the appliance, byte for byte.
    fn add_papers(&mut self, facts: &Facts) -> Result<(), Error> {
        let time = self.bundle.unix_seconds;
        let ending = facts.descriptor.name.as_str().rsplit_once('.').map_or("ovf", |(_, end)| end);
        let ending = ending.to_ascii_lowercase();
        self.add(&format!("{time}-source.{ending}"), &facts.descriptor.bytes)?;
        if let Some((text, _)) = &facts.manifest {
            self.add(&format!("{time}-source.mf"), &text.bytes)?;
        }
        if let Some(text) = &facts.certificate {
            self.add(&format!("{time}-source.cert"), &text.bytes)?;
        }
        Ok(())
    }

    fn manifest(&mut self, facts: &Facts, outputs: &[Output]) -> Result<Manifest, Error> {
        let written = self.writer()?.written().map(<[_]>::to_vec);
        let members = written.map_err(|error| self.wrong(error))?;
        let mut nodes = Vec::new();
        for output in outputs.iter().filter(|output| is_disk(self.plan, output)) {
            let member = member_name(&output.path)?.to_string();
            nodes.push(Node { member, capacity_bytes: output.capacity_bytes, backing: None });
        }
        let machine = self.plan.machines.first().map(|planned| &planned.machine);
        Ok(Manifest {
            tool: self.bundle.tool.clone(),
            created_unix_seconds: self.bundle.unix_seconds,
            vm: machine.map_or_else(Vm::default, |machine| Vm {
                name: machine.name.clone(),
                uuid: machine.uuid.map(|uuid| uuid.to_string()),
            }),
            source_facts: Some(source_facts(facts)),
            nodes,
            members,
            ..Manifest::default()
        })
    }
}

impl Store for Packing<'_> {
    fn begin(&mut self, to: &Path, _: &mut Undo<'_>) -> Result<Arc<dyn WriteAt>, Error> {
        let name = member_name(to)?;
        let file = Arc::clone(&self.file);
        let growing = self.writer()?.begin_growing(&name, file);
        let growing = growing.map_err(|error| self.wrong(error))?;
        self.growing = Some(Arc::clone(&growing));
        Ok(growing)
    }

    fn end(&mut self, length_bytes: u64) -> Result<(), Error> {
        let Some(growing) = self.growing.take() else { return Ok(()) };
        let progress = Unsaid(self.watch);
        let ended = self.writer()?.end_growing(&growing, length_bytes, &progress);
        ended.map_err(|error| self.wrong(error))
    }

    fn seal(&mut self, facts: &Facts, outputs: &[Output]) -> Result<(), Error> {
        self.add_papers(facts)?;
        let plan = self.plan;
        if let Some(machine) = plan.machines.first() {
            let xml = machine.domain_xml.as_deref().unwrap_or_default();
            self.add(&self.bundle.config.clone(), xml.as_bytes())?;
        }
        let manifest = self.manifest(facts, outputs)?;
        if let Some(writer) = self.writer.take() {
            writer.finish(Some(&manifest)).map_err(|error| self.wrong(error))?;
        }
        let wrap = |source| Error::io(format!("cannot read {}", self.shown.display()), source);
        let file = self.file.try_clone().map_err(wrap)?;
        let whole = Bundle::open(Arc::new(FileBytes::new(file).map_err(wrap)?))?;
        self.whole = Some(whole);
        Ok(())
    }

    fn read(&self, to: &Path) -> Result<Arc<dyn ReadAt>, Error> {
        let name = member_name(to)?;
        let whole = self.whole.as_ref();
        let bytes = whole.and_then(|whole| Some(whole.bytes(whole.member(name.as_str())?)));
        let missing = || Error::new(Code::E0605, format!("{name} is not in the bundle"));
        Ok(bytes.ok_or_else(missing)??)
    }
}

/// What a file is called in the bundle.
fn member_name(to: &Path) -> Result<EntryName, Error> {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    Ok(::bundle::member_name(&name)?)
}

fn is_disk(plan: &Plan, output: &Output) -> bool {
    let mut files = files(plan).map(|(_, file)| file);
    files.any(|file| file.to == output.path && matches!(file.role, FileRole::Disk { .. }))
}

/// Where the machine came from.
fn source_facts(facts: &Facts) -> SourceFacts {
    let digest = crate::digest_of(&facts.descriptor.bytes, Algorithm::Sha256);
    let entries = facts.manifest.iter().flat_map(|(_, manifest)| &manifest.entries);
    let listed = entries.map(|entry| SourceDigest {
        file: entry.name.clone(),
        algorithm: entry.digest.algorithm().as_str().to_owned(),
        digest: entry.digest.to_string(),
    });
    SourceFacts {
        kind: facts.kind.as_str().to_owned(),
        descriptor_sha256: digest.to_string(),
        manifest: listed.collect(),
        producer: facts.description.envelope().and_then(|envelope| envelope.producer.clone()),
    }
}
