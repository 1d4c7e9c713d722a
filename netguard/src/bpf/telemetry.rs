//! The maps `TELEMETRY`, `SKETCHES` and `WATCHED`: what the kernel counted of the traffic, the sum of all CPUs, in one system
//! call each. What it means is for [`crate::engine`] to say.

use aya::maps::{Array, Map, MapData, PerCpuArray, PerCpuValues};
use netguard_common::{
    service::{LINE, LINES, ServiceLine},
    shared::Field as _,
    telemetry::{GENERATIONS, Sketch, Telemetry as Counted},
};

use super::{BpfError, Pins, raw::Raw};

/// The telemetry of an instance.
pub struct Telemetry {
    counted: PerCpuArray<MapData, Raw<Counted>>,
    sketches: PerCpuArray<MapData, Raw<Sketch>>,
    watched: Array<MapData, Raw<ServiceLine>>,
    /// What `watched` holds; empty as long as it was not read.
    lines: Vec<ServiceLine>,
}

impl Telemetry {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// When nothing is pinned or they may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        Self::new(
            pins.open("TELEMETRY")?,
            pins.open("SKETCHES")?,
            pins.open("WATCHED")?,
        )
    }

    pub(super) fn new(counted: Map, sketches: Map, watched: Map) -> Result<Self, BpfError> {
        Ok(Self {
            counted: counted.try_into().map_err(BpfError::map("TELEMETRY", 1))?,
            sketches: sketches
                .try_into()
                .map_err(BpfError::map("SKETCHES", GENERATIONS as u32))?,
            watched: watched.try_into().map_err(BpfError::map("WATCHED", LINES))?,
            lines: Vec::new(),
        })
    }

    /// What was counted since the maps were made; all fields but `dice` are sums over the CPUs, 32-bit ones wrap.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn read(&self) -> Result<Box<Counted>, BpfError> {
        let cpus = self.counted.get(&0, 0).map_err(BpfError::map("TELEMETRY", 1))?;
        let mut sum = Box::new(Counted::ZERO);
        for cpu in cpus.iter() {
            add(&mut sum, &cpu.0);
        }
        Ok(sum)
    }

    /// The sketches of `generation`, one for each CPU.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn sketches(&self, generation: u32) -> Result<Vec<Sketch>, BpfError> {
        let cpus = self.sketches.get(&generation, 0);
        let cpus = cpus.map_err(BpfError::map("SKETCHES", GENERATIONS as u32))?;
        Ok(cpus.iter().map(|cpu| cpu.0).collect())
    }

    /// Empties the sketches of `generation`, which no CPU may be writing.
    ///
    /// # Errors
    /// When the kernel refuses the write.
    pub fn empty(&mut self, generation: u32) -> Result<(), BpfError> {
        let failed = BpfError::map("SKETCHES", GENERATIONS as u32);
        let cpus = self.sketches.get(&generation, 0).map_err(&failed)?.len();
        let none = PerCpuValues::try_from(vec![Raw(Sketch::ZERO); cpus]);
        let none = none.map_err(|error| failed(aya::maps::MapError::from(error)))?;
        self.sketches.set(generation, none, 0).map_err(failed)
    }

    /// Counts the services at these slots, see [`netguard_common::service::slot`], under these numbers, and no others.
    ///
    /// # Errors
    /// When the kernel refuses a write.
    pub fn watch(&mut self, services: &[(u32, u8)]) -> Result<(), BpfError> {
        let failed = BpfError::map("WATCHED", LINES);
        if self.lines.is_empty() {
            let lines = (0..LINES).map(|index| Ok(self.watched.get(&index, 0).map_err(&failed)?.0));
            self.lines = lines.collect::<Result<_, BpfError>>()?;
        }
        let mut wanted = vec![ServiceLine::ZERO; LINES as usize];
        for (slot, number) in services {
            if let Some(line) = wanted.get_mut((slot / LINE) as usize) {
                line.entries[(slot % LINE) as usize] = *number;
            }
        }
        for ((index, standing), line) in (0..).zip(&mut self.lines).zip(wanted) {
            if *standing != line {
                self.watched.set(index, Raw(line), 0).map_err(&failed)?;
                *standing = line;
            }
        }
        Ok(())
    }
}

fn add(sum: &mut Counted, cpu: &Counted) {
    sum.taken = sum.taken.wrapping_add(cpu.taken);
    for (sum, cpu) in sum.traffic.iter_mut().flatten().zip(cpu.traffic.iter().flatten()) {
        sum.packets = sum.packets.wrapping_add(cpu.packets);
        sum.bytes = sum.bytes.wrapping_add(cpu.bytes);
        sum.dropped = sum.dropped.wrapping_add(cpu.dropped);
        sum.cut = sum.cut.wrapping_add(cpu.cut);
    }
    for (sum, cpu) in sum.services.iter_mut().zip(&cpu.services) {
        sum.packets = sum.packets.wrapping_add(cpu.packets);
        sum.bytes = sum.bytes.wrapping_add(cpu.bytes);
        sum.opening = sum.opening.wrapping_add(cpu.opening);
        sum.dropped = sum.dropped.wrapping_add(cpu.dropped);
    }
    for (sum, cpu) in sum.ended.iter_mut().zip(&cpu.ended) {
        sum.connections = sum.connections.wrapping_add(cpu.connections);
        sum.milliseconds = sum.milliseconds.wrapping_add(cpu.milliseconds);
    }
    let buckets = |sum: &mut [u32], cpu: &[u32]| {
        for (sum, cpu) in sum.iter_mut().zip(cpu) {
            *sum = sum.wrapping_add(*cpu);
        }
    };
    buckets(&mut sum.source, &cpu.source);
    buckets(&mut sum.source_port, &cpu.source_port);
    buckets(&mut sum.destination_port, &cpu.destination_port);
    buckets(&mut sum.size, &cpu.size);
    buckets(&mut sum.ttl, &cpu.ttl);
}
