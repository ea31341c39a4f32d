//! Planning until the plan is what the file says.

use code::Code;
use convert::Note;

use super::{
    Edit, MachineValues, Pinned, PinnedDisk, PinnedMachine, PinnedNic, Said,
    values::{Word, place},
};
use crate::{Error, Plan};

/// How often a plan is made: each step may need one, and so may what follows from it. A file that
/// asks for more contradicts itself.
const MAX_ROUNDS: usize = 12;

/// What the values of a plan depend on, first things first: each step may decide the next ones as the
/// file has them, which then need not be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Size,
    Firmware,
    Board,
    Device,
}

impl Step {
    const fn next(self) -> Option<Self> {
        match self {
            Self::Size => Some(Self::Firmware),
            Self::Firmware => Some(Self::Board),
            Self::Board => Some(Self::Device),
            Self::Device => None,
        }
    }
}

/// The comparison of one plan with what the file says.
struct Round {
    /// Values of later steps are not taken yet.
    step: Step,
    /// No more values are taken.
    is_last: bool,
    /// What was taken.
    news: Vec<Edit>,
    /// What cannot be as the file says.
    refused: Vec<Note>,
}

/// Plans with what the file says, as far as it differs from what would be planned without it.
///
/// What stays different is a blocker of the plan.
///
/// # Errors
/// What `decide` fails with.
pub(in crate::plan) fn settle(
    pinned: &Pinned,
    decide: &dyn Fn(&[PinnedMachine]) -> Result<Plan, Error>,
) -> Result<Plan, Error> {
    let bare = |machine: &PinnedMachine| PinnedMachine::bare(machine.id.clone());
    let mut taken: Vec<PinnedMachine> = pinned.machines.iter().map(bare).collect();
    let (mut step, mut number, mut edits) = (Step::Size, 0, Vec::new());
    loop {
        let mut plan = decide(&taken)?;
        number += 1;
        loop {
            let is_last = number >= MAX_ROUNDS;
            let mut round = Round { step, is_last, news: Vec::new(), refused: Vec::new() };
            round.compare(pinned, &plan, &mut taken);
            if !round.news.is_empty() {
                edits.append(&mut round.news);
                break;
            }
            let Some(next) = step.next() else {
                plan.blockers.append(&mut round.refused);
                plan.edits = edits;
                return Ok(plan);
            };
            step = next;
        }
    }
}

impl Round {
    fn compare(&mut self, pinned: &Pinned, plan: &Plan, taken: &mut [PinnedMachine]) {
        for (wanted, taken) in pinned.machines.iter().zip(taken) {
            let planned = plan.machines.iter().find(|one| one.id == wanted.id.value);
            let Some(planned) = planned else { continue };
            let now = MachineValues::of(planned);
            self.machine(wanted, &now, taken);
            for disk in &wanted.disks {
                // Both spellings of a path in the machine's folder mean the same.
                let to = disk
                    .to
                    .as_ref()
                    .map(|to| Said { value: place(&planned.folder, &to.value), line: to.line });
                self.disk(&PinnedDisk { to, ..disk.clone() }, &now, taken);
            }
            for nic in &wanted.nics {
                self.nic(nic, &now, taken);
            }
            self.complete(wanted, &now);
        }
    }

    fn machine(&mut self, wanted: &PinnedMachine, now: &MachineValues, taken: &mut PinnedMachine) {
        let of = |key| Key { key, item: &now.id };
        self.at(Step::Size, of("name"), (&wanted.name, Some(&now.name)), &mut taken.name);
        self.at(Step::Size, of("vcpus"), (&wanted.vcpus, Some(&now.vcpus)), &mut taken.vcpus);
        let memory = (&wanted.memory_bytes, Some(&now.memory_bytes));
        self.at(Step::Size, of("memory_bytes"), memory, &mut taken.memory_bytes);
        let firmware = (&wanted.firmware, Some(&now.firmware));
        self.at(Step::Firmware, of("firmware"), firmware, &mut taken.firmware);
        let chipset = (&wanted.chipset, Some(&now.chipset));
        self.at(Step::Board, of("machine"), chipset, &mut taken.chipset);
        self.at(Step::Device, of("uuid"), (&wanted.uuid, now.uuid.as_ref()), &mut taken.uuid);
    }

    fn disk(&mut self, wanted: &PinnedDisk, now: &MachineValues, taken: &mut PinnedMachine) {
        let id = &wanted.id;
        let Some(now) = now.disks.iter().find(|disk| disk.id == id.value) else {
            return self.unknown("disk", id, now.disks.iter().map(|disk| disk.id.as_str()));
        };
        let at = taken.disks.iter().position(|disk| disk.id.value == id.value);
        let at = at.unwrap_or_else(|| {
            taken.disks.push(PinnedDisk {
                id: id.clone(),
                file: None,
                to: None,
                format: None,
                bus: None,
            });
            taken.disks.len() - 1
        });
        let Some(taken) = taken.disks.get_mut(at) else { return };
        let of = |key| Key { key, item: &now.id };
        self.read_only(of("file"), (&wanted.file, now.file.as_ref()));
        self.at(Step::Device, of("to"), (&wanted.to, Some(&now.to)), &mut taken.to);
        self.at(Step::Device, of("format"), (&wanted.format, Some(&now.format)), &mut taken.format);
        self.at(Step::Device, of("bus"), (&wanted.bus, now.bus.as_ref()), &mut taken.bus);
    }

    fn nic(&mut self, wanted: &PinnedNic, now: &MachineValues, taken: &mut PinnedMachine) {
        let id = &wanted.id;
        let Some(now) = now.nics.iter().find(|nic| nic.id == id.value) else {
            return self.unknown("network card", id, now.nics.iter().map(|nic| nic.id.as_str()));
        };
        let at = taken.nics.iter().position(|nic| nic.id.value == id.value);
        let at = at.unwrap_or_else(|| {
            taken.nics.push(PinnedNic {
                id: id.clone(),
                source: None,
                target: None,
                model: None,
                mac: None,
            });
            taken.nics.len() - 1
        });
        let Some(taken) = taken.nics.get_mut(at) else { return };
        let of = |key| Key { key, item: &now.id };
        self.read_only(of("source"), (&wanted.source, now.source.as_ref()));
        let target = (&wanted.target, Some(&now.target));
        self.at(Step::Device, of("target"), target, &mut taken.target);
        self.at(Step::Device, of("model"), (&wanted.model, Some(&now.model)), &mut taken.model);
        self.at(Step::Device, of("mac"), (&wanted.mac, now.mac.as_ref()), &mut taken.mac);
    }

    /// Compares one value, and takes it if it differs and its step has come.
    fn at<T: Word + PartialEq + Clone>(
        &mut self,
        step: Step,
        key: Key<'_>,
        (wanted, now): (&Option<Said<T>>, Option<&T>),
        taken: &mut Option<Said<T>>,
    ) {
        let Some(said) = wanted.as_ref().filter(|said| Some(&said.value) != now) else { return };
        if taken.is_none() && !self.is_last {
            if step <= self.step {
                *taken = Some(said.clone());
                self.news.push(Edit {
                    line: said.line,
                    key: key.key,
                    item: key.item.to_owned(),
                    value: said.value.word(),
                });
            }
            return;
        }
        let text = match now {
            Some(now) => format!(
                "{} cannot be '{}': with the rest of the file it becomes '{}'",
                key.on(said.line),
                said.value.word(),
                now.word()
            ),
            None => format!("{} cannot be '{}'", key.on(said.line), said.value.word()),
        };
        self.refuse(text, "edit that line, or what it depends on");
    }

    /// Compares a value that only the source can change.
    fn read_only(&mut self, key: Key<'_>, (wanted, now): (&Option<Said<String>>, Option<&String>)) {
        if let Some(said) = wanted.as_ref().filter(|said| Some(&said.value) != now) {
            let text = format!("{} is told by the source and cannot be edited", key.on(said.line));
            let now =
                now.map_or_else(|| "take the line out".to_owned(), |now| format!("it is '{now}'"));
            self.refuse(text, &now);
        }
    }

    fn unknown<'a>(&mut self, kind: &str, id: &Said<String>, there: impl Iterator<Item = &'a str>) {
        let Said { value, line } = id;
        let there: Vec<&str> = there.collect();
        let text = format!("line {line}: the machine has no {kind} with the id '{value}'");
        let hint = match there.join(", ") {
            list if list.is_empty() => "take the table out".to_owned(),
            list => format!("it has {list}; take the table out"),
        };
        self.refuse(text, &hint);
    }

    /// Says which disks and cards the machine has and the file has not: that may be a slip.
    fn complete(&mut self, wanted: &PinnedMachine, now: &MachineValues) {
        let disks = now.disks.iter().map(|disk| &disk.id);
        let disks = disks.filter(|id| wanted.disks.iter().all(|disk| disk.id.value != **id));
        let nics = now.nics.iter().map(|nic| &nic.id);
        let nics = nics.filter(|id| wanted.nics.iter().all(|nic| nic.id.value != **id));
        for id in disks.chain(nics) {
            let text = format!(
                "line {}: the machine '{}' has {id}, which the plan file does not have",
                wanted.id.line, wanted.id.value
            );
            self.refuse(
                text,
                &format!("put it back; to leave it out: ignore = [\"{id}\"] in [choices]"),
            );
        }
    }

    fn refuse(&mut self, text: String, hint: &str) {
        self.refused.push(Note::blocker(Code::E0804, text).hint(hint));
    }
}

/// Which value of which item is meant.
#[derive(Clone, Copy)]
struct Key<'a> {
    key: &'static str,
    item: &'a str,
}

impl Key<'_> {
    fn on(self, line: usize) -> String {
        format!("line {line}: {} of {}", self.key, self.item)
    }
}
