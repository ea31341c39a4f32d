//! From the text of a plan file to values, each with its line.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Read as _,
    path::{Component, Path, PathBuf},
};

use code::Code;
use restore::plan::{Hang, Pinned, PinnedDisk, PinnedMachine, PinnedNic, Said, SourcePin, Word};
use serde::Deserialize;
use toml::{Spanned, Value};
use vm::{Chipset, DiskFormat, Firmware, MacAddress, NicModel, Uuid};

use super::{
    PlanFile, Recorded,
    document::{Disk, Document, Machine, Nic, SCHEMA, Text},
    flags,
};
use crate::{
    choices,
    failure::{Failure, Result},
};

/// The largest plan file that is read: the limit of this product.
const MAX_BYTES: u64 = 16 << 20;

/// How alike two keys are, 0 to 1, for one to be a slip for the other.
const ALIKE: f64 = 0.75;

/// Reads a plan file.
pub(super) fn file(path: &Path) -> Result<PlanFile> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(
        |error| {
            Failure::new(Code::E0508, format!("cannot read {shown}"))
                .cause(error.to_string())
                .fix("check the path of the plan file")
        },
    )?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::usage(format!("{shown} has more than {MAX_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("{shown} is no UTF-8 text, as a plan file must be")))?;
    self::text(path, &text)
}

/// Reads the text of a plan file; `path` is what it is called in messages.
pub(super) fn text(path: &Path, text: &str) -> Result<PlanFile> {
    Reader::of(path, text).read(text)
}

/// What of a file is read before its schema is known.
#[derive(Debug, Deserialize)]
struct Version {
    schema: Option<Value>,
}

/// Where each key of `[choices]` stands.
type Lines = Vec<(String, usize)>;

/// Knows the lines of a file, so that what is said about it names them.
struct Reader<'a> {
    path: &'a Path,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn of(path: &'a Path, text: &str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { path, starts: std::iter::once(0).chain(breaks).collect() }
    }

    fn read(&self, text: &str) -> Result<PlanFile> {
        let version: Version = toml::from_str(text).map_err(|error| self.refuse(&error))?;
        if version.schema != Some(Value::Integer(SCHEMA.into())) {
            let found = version.schema.map_or("none".to_owned(), |found| found.to_string());
            let path = self.path.display();
            let text = format!("{path} has the schema {found}; this program reads schema {SCHEMA}");
            return Err(Failure::usage(text).tip("make it with: relift plan SRC -o PLAN.toml"));
        }
        let document: Document = toml::from_str(text).map_err(|error| self.refuse(&error))?;
        let (flags, recorded, lines) = self.choices(&document)?;
        let ids = document.machine.iter().map(|machine| &machine.id);
        self.tell_apart(ids)?;
        if document.machine.is_empty() {
            return Err(Failure::usage(format!("{} has no [[machine]]", self.path.display())));
        }
        let machines = document.machine.into_iter().map(|machine| self.machine(machine));
        let source = document.source;
        Ok(PlanFile {
            path: self.path.to_owned(),
            pinned: Pinned {
                source: SourcePin {
                    kind: source.kind,
                    digest: source.digest,
                    descriptor: source.descriptor,
                    manifest: source.manifest,
                },
                machines: machines.collect::<Result<_>>()?,
            },
            source: PathBuf::from(source.path),
            target: document.target.map(|text| self.said(text)),
            flags,
            recorded,
            lines,
        })
    }

    /// The flags, and where each key stands.
    fn choices(&self, document: &Document) -> Result<(flags::Flags, Recorded, Lines)> {
        let keys = flags::keys();
        let mut recorded = Recorded::new();
        let mut lines = Vec::new();
        for (key, value) in &document.choices {
            let (line, key) = (self.line(key.span().start), key.get_ref());
            if !keys.contains(key) {
                return Err(self.unknown(line, key, keys.iter().map(String::as_str)));
            }
            lines.push((key.clone(), line));
            recorded.insert(key.clone(), value.get_ref().clone());
        }
        let flags = flags::parse(&recorded).map_err(|(key, mut failure)| {
            let line = lines.iter().find(|(there, _)| Some(there) == key.as_ref());
            failure.message = match line {
                Some((_, line)) => self.placed(*line, &failure.message),
                None => format!("[choices] of {}: {}", self.path.display(), failure.message),
            };
            failure
        })?;
        Ok((flags, recorded, lines))
    }

    fn machine(&self, machine: Machine) -> Result<PinnedMachine> {
        self.tell_apart(machine.disk.iter().map(|disk| &disk.id))?;
        self.tell_apart(machine.nic.iter().map(|nic| &nic.id))?;
        let vcpus = machine.vcpus.map(|vcpus| self.said(vcpus));
        if let Some(Said { value, line }) =
            vcpus.as_ref().filter(|said| !VCPUS.contains(&said.value))
        {
            let (least, most) = VCPUS.into_inner();
            return Err(self.fail(*line, &format!("vcpus {value} is not in {least}..={most}")));
        }
        let memory_bytes = machine.memory_bytes.map(|bytes| self.said(bytes));
        if let Some(Said { value, line }) = &memory_bytes
            && let Some(why) = choices::memory_refusal(*value)
        {
            return Err(self.fail(*line, &format!("memory_bytes {why}")));
        }
        let disks = machine.disk.into_iter().map(|disk| self.disk(disk));
        let nics = machine.nic.into_iter().map(|nic| self.nic(nic));
        Ok(PinnedMachine {
            id: self.said(machine.id),
            name: self.value("name", machine.name, name)?,
            uuid: self.value("uuid", machine.uuid, |text| {
                text.parse::<Uuid>().map_err(|error| error.to_string())
            })?,
            vcpus,
            memory_bytes,
            firmware: self.value("firmware", machine.firmware, |text| one_of(&FIRMWARE, text))?,
            chipset: self.value("machine", machine.machine, |text| one_of(&CHIPSETS, text))?,
            disks: disks.collect::<Result<_>>()?,
            nics: nics.collect::<Result<_>>()?,
        })
    }

    fn disk(&self, disk: Disk) -> Result<PinnedDisk> {
        Ok(PinnedDisk {
            id: self.said(disk.id),
            file: disk.file.map(|file| self.said(file)),
            to: self.value("to", disk.to, place)?,
            format: self.value("format", disk.format, |text| one_of(&FORMATS, text))?,
            bus: self.value("bus", disk.bus, |text| one_of(&Hang::ALL, text))?,
        })
    }

    fn nic(&self, nic: Nic) -> Result<PinnedNic> {
        Ok(PinnedNic {
            id: self.said(nic.id),
            source: nic.source.map(|source| self.said(source)),
            target: self.value("target", nic.target, |text| {
                choices::network_target(text).map_err(|failure| failure.message.clone())
            })?,
            model: self.value("model", nic.model, |text| one_of(&NIC_MODELS, text))?,
            mac: self.value("mac", nic.mac, mac)?,
        })
    }

    /// Refuses two tables of one id.
    fn tell_apart<'b>(&self, ids: impl Iterator<Item = &'b Spanned<String>>) -> Result<()> {
        let mut there = BTreeSet::new();
        for id in ids {
            if !there.insert(id.get_ref()) {
                let line = self.line(id.span().start);
                return Err(self.fail(line, &format!("the id '{}' is there twice", id.get_ref())));
            }
        }
        Ok(())
    }

    /// A value that is written as a text.
    fn value<T>(
        &self,
        key: &str,
        text: Text,
        meaning: impl Fn(&str) -> std::result::Result<T, String>,
    ) -> Result<Option<Said<T>>> {
        let Some(text) = text else { return Ok(None) };
        let line = self.line(text.span().start);
        let value = meaning(text.get_ref())
            .map_err(|why| self.fail(line, &format!("{key} '{}': {why}", text.get_ref())))?;
        Ok(Some(Said { value, line }))
    }

    fn said<T>(&self, spanned: Spanned<T>) -> Said<T> {
        let line = self.line(spanned.span().start);
        Said { value: spanned.into_inner(), line }
    }

    /// The number of the line that a byte is in, from 1.
    fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    /// What the parser says, in our words.
    fn refuse(&self, error: &toml::de::Error) -> Box<Failure> {
        let line = self.line(error.span().map_or(0, |span| span.start));
        let message = error.message();
        let mut quoted = message.split('`').skip(1).step_by(2);
        match quoted.next().filter(|_| message.starts_with("unknown field")) {
            Some(key) => self.unknown(line, key, quoted),
            None => self.fail(line, message.lines().next().unwrap_or_default()),
        }
    }

    fn unknown<'b>(
        &self,
        line: usize,
        key: &str,
        known: impl Iterator<Item = &'b str>,
    ) -> Box<Failure> {
        let failure = self.fail(line, &format!("unknown key '{key}'"));
        let known: Vec<&str> = known.collect();
        let likeness = |other: &&str| strsim::jaro_winkler(key, other);
        let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        match nearest.filter(|other| likeness(other) >= ALIKE) {
            Some(nearest) => failure.tip(format!("did you mean '{nearest}'?")),
            None => failure.tip(format!("there are {}", known.join(", "))),
        }
    }

    fn fail(&self, line: usize, what: &str) -> Box<Failure> {
        Failure::usage(self.placed(line, what))
    }

    fn placed(&self, line: usize, what: &str) -> String {
        format!("line {line} of {}: {what}", self.path.display())
    }
}

/// How many processors a machine can have, as `--vcpus` says it.
const VCPUS: std::ops::RangeInclusive<u32> = 1..=4096;

const FIRMWARE: [Firmware; 3] = [Firmware::Bios, Firmware::Uefi, Firmware::UefiSecure];
const CHIPSETS: [Chipset; 2] = [Chipset::Pc, Chipset::Q35];
const FORMATS: [DiskFormat; 2] = [DiskFormat::Qcow2, DiskFormat::Raw];
const NIC_MODELS: [NicModel; 6] = [
    NicModel::Virtio,
    NicModel::E1000,
    NicModel::E1000e,
    NicModel::Vmxnet3,
    NicModel::Pcnet,
    NicModel::Rtl8139,
];

/// The value that a word stands for.
fn one_of<T: Word + Copy>(all: &[T], text: &str) -> std::result::Result<T, String> {
    all.iter().find(|one| one.word() == text).copied().ok_or_else(|| {
        let words: Vec<String> = all.iter().map(Word::word).collect();
        format!("none of {}", words.join(", "))
    })
}

fn name(text: &str) -> std::result::Result<String, String> {
    match convert::domain_name(text) {
        possible if possible == text => Ok(possible),
        possible if possible.is_empty() => Err("cannot be the name of a machine".to_owned()),
        possible => Err(format!("cannot be the name of a machine; '{possible}' can")),
    }
}

fn mac(text: &str) -> std::result::Result<MacAddress, String> {
    let mac = text.parse::<MacAddress>().map_err(|error| error.to_string())?;
    if mac.is_usable() { Ok(mac) } else { Err("no card can have it".to_owned()) }
}

/// A name in the machine's folder, or an absolute path; neither leads back up.
fn place(text: &str) -> std::result::Result<PathBuf, String> {
    let path = Path::new(text);
    let names = path.components().filter(|part| matches!(part, Component::Normal(_))).count();
    let is_plain = path.components().all(|part| {
        matches!(part, Component::Normal(_)) || (part == Component::RootDir && names > 0)
    });
    let is_whole = path.is_absolute() || names == 1;
    if is_plain && is_whole && !text.ends_with('/') && !text.contains(char::is_control) {
        Ok(path.components().collect())
    } else {
        Err("neither a name in the machine's folder nor an absolute path".to_owned())
    }
}
