//! Processors and memory.

use code::Code;

use super::{Selector, item_error, survivors::Survivors};
use crate::{
    Error, Kind,
    descriptor::{Bound, Item, Quantity, VirtualSystem, resource},
    quote,
    units::{self, ByteUnit},
};

/// The most processors of a machine (ours).
const MAX_VCPUS: u64 = 4096;
/// The least memory of a machine in bytes (ours).
const MIN_MEMORY_BYTES: u64 = 1 << 20;
/// The most memory of a machine in bytes (ours: 64 TiB).
const MAX_MEMORY_BYTES: u64 = 64 << 40;
/// Memory without a unit is MiB below this number, and bytes from it on.
const UNITLESS_BYTES: u64 = 1 << 20;

/// What the items say of processors and memory.
#[derive(Default)]
pub(super) struct Compute {
    pub(super) vcpus: Option<u32>,
    pub(super) vcpu_range: (Option<u64>, Option<u64>),
    pub(super) memory_bytes: Option<u64>,
    pub(super) memory_range_bytes: (Option<u64>, Option<u64>),
    pub(super) cores_per_socket: Option<u32>,
    pub(super) threads_per_core: Option<u32>,
}

impl<'a> Selector<'a> {
    pub(super) fn compute(
        &mut self,
        system: &VirtualSystem,
        survivors: &Survivors<'a>,
    ) -> Result<Compute, Error> {
        let of_type = |list: &[&'a Item], wanted: u32| -> Vec<&'a Item> {
            list.iter().copied().filter(|item| item.resource_type == Some(wanted)).collect()
        };
        let cpu = of_type(&survivors.items, resource::PROCESSOR).first().copied();
        let memory = of_type(&survivors.items, resource::MEMORY).first().copied();
        let cpu_bounds = of_type(&survivors.bounds, resource::PROCESSOR);
        let memory_bounds = of_type(&survivors.bounds, resource::MEMORY);
        let memory_range_bytes = (
            self.memory_end(&memory_bounds, Bound::Min),
            self.memory_end(&memory_bounds, Bound::Max),
        );
        let mut compute = Compute {
            vcpu_range: (
                end_of(&cpu_bounds, Bound::Min).and_then(|item| number(item.quantity.as_ref())),
                end_of(&cpu_bounds, Bound::Max).and_then(|item| number(item.quantity.as_ref())),
            ),
            memory_range_bytes,
            ..Compute::default()
        };
        if let Some(cpu) = cpu {
            let stated = match self.choices.given.vcpus {
                Some(_) => self.tolerated(vcpus(cpu), cpu),
                None => vcpus(cpu)?,
            };
            compute.vcpus = stated.or_else(|| {
                let (least, most) = compute.vcpu_range;
                small(least).or(small(most))
            });
            compute.cores_per_socket = self.topology(cpu, cores(cpu));
            compute.threads_per_core = self.topology(cpu, threads(system, cpu).as_ref());
        }
        if let Some(memory) = memory {
            let (least, most) = memory_range_bytes;
            let stated = self.memory(memory);
            let stated = match self.choices.given.memory_bytes {
                Some(_) => self.tolerated(stated, memory),
                None => stated?,
            };
            compute.memory_bytes = stated.or(least).or(most);
        }
        Ok(compute)
    }

    /// The memory of an item in bytes: its quantity, else its reservation.
    fn memory(&mut self, item: &Item) -> Result<Option<u64>, Error> {
        let Some(quantity) = item.quantity.as_ref().or(item.reservation.as_ref()) else {
            return Ok(None);
        };
        let Some(unit) = self.memory_unit(item, quantity) else { return Ok(None) };
        let out_of_range = |what: String| {
            let message = format!("memory of {what} is not in 1 MiB..=64 TiB");
            item_error(Code::E0304, Kind::Limit, message, item)
        };
        let value = quantity.value.ok_or_else(|| out_of_range(shown(quantity)))?;
        let bytes = unit.bytes(value).map_err(|e| out_of_range(shown(quantity)).caused_by(e))?;
        if (MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES).contains(&bytes) {
            Ok(Some(bytes))
        } else {
            Err(out_of_range(format!("{bytes} bytes")))
        }
    }

    /// The unit of a memory item; `None`, with a finding, for one that cannot be read.
    fn memory_unit(&mut self, item: &Item, quantity: &Quantity) -> Option<ByteUnit> {
        let Some(text) = item.unit_of_quantity() else {
            let (unit, name) = if quantity.value.is_some_and(|value| value >= UNITLESS_BYTES) {
                (ByteUnit::BYTE, "bytes")
            } else {
                (ByteUnit::MEBIBYTE, "MiB")
            };
            let message = format!("memory of {} without a unit is read as {name}", shown(quantity));
            self.note(Code::W0112, message, item);
            return Some(unit);
        };
        let Ok(unit) = ByteUnit::parse(text) else {
            let message = format!("the memory unit {} is not known", quote::Quoted(text));
            self.note(Code::W0112, message, item);
            return None;
        };
        if units::is_ambiguous_word(text) {
            let message = format!("the memory unit {} is read as binary", quote::Quoted(text));
            self.note(Code::W0112, message, item);
        }
        Some(unit)
    }

    /// A quantity in whose place the user gives one: it may be none.
    fn tolerated<T>(&mut self, stated: Result<Option<T>, Error>, item: &Item) -> Option<T> {
        stated.unwrap_or_else(|error| {
            self.note(Code::W0610, format!("{}, yours is taken", error.message()), item);
            None
        })
    }

    /// An end of the range of memory; one that cannot be read is no end.
    fn memory_end(&mut self, bounds: &[&'a Item], bound: Bound) -> Option<u64> {
        let item = end_of(bounds, bound)?;
        self.memory(item).unwrap_or_else(|error| {
            self.note(
                Code::W0610,
                format!("an end of a range is ignored: {}", error.message()),
                item,
            );
            None
        })
    }

    fn topology(&mut self, cpu: &Item, quantity: Option<&Quantity>) -> Option<u32> {
        let quantity = quantity?;
        let read = small(quantity.value);
        if read.is_none() {
            let message = format!("the topology number {} is not read", shown(quantity));
            self.note(Code::W0610, message, cpu);
        }
        read
    }
}

fn end_of<'a>(bounds: &[&'a Item], bound: Bound) -> Option<&'a Item> {
    bounds.iter().copied().find(|item| item.bound == bound)
}

fn number(quantity: Option<&Quantity>) -> Option<u64> {
    quantity.and_then(|quantity| quantity.value)
}

/// A number of processors, if it is one that a machine can have.
fn small(value: Option<u64>) -> Option<u32> {
    value.filter(|v| (1..=MAX_VCPUS).contains(v)).and_then(|v| u32::try_from(v).ok())
}

/// The number of processors: the quantity, else what oVirt multiplies.
fn vcpus(cpu: &Item) -> Result<Option<u32>, Error> {
    let refuse = |what: String| {
        let message = format!("{what} processors are not in 1..={MAX_VCPUS}");
        item_error(Code::E0304, Kind::Limit, message, cpu)
    };
    if let Some(quantity) = &cpu.quantity {
        return small(quantity.value).map(Some).ok_or_else(|| refuse(shown(quantity)));
    }
    let (Some(sockets), Some(cores)) = (&cpu.sockets, &cpu.cpu_per_socket) else {
        return Ok(None);
    };
    let threads = cpu.threads_per_cpu.as_ref().map_or(Some(1), |threads| threads.value);
    let product = sockets
        .value
        .zip(cores.value)
        .and_then(|(sockets, cores)| sockets.checked_mul(cores))
        .zip(threads)
        .and_then(|(cores, threads)| cores.checked_mul(threads));
    let shown = || format!("{} times {}", shown(sockets), shown(cores));
    small(product).map(Some).ok_or_else(|| refuse(shown()))
}

fn cores(cpu: &Item) -> Option<&Quantity> {
    cpu.cores_per_socket.as_ref().or(cpu.cpu_per_socket.as_ref())
}

fn threads(system: &VirtualSystem, cpu: &Item) -> Option<Quantity> {
    let key = "simultaneousThreads";
    let stated = cpu.setting(key).or_else(|| system.hardware.setting(key));
    stated.map(Quantity::read).or_else(|| cpu.threads_per_cpu.clone())
}

fn shown(quantity: &Quantity) -> String {
    quote::Quoted(&quantity.text).to_string()
}
