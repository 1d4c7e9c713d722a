//! The arrays of the catalogue, each read with the type of its values.

use aya::maps::{Array, Map, MapData, PerCpuArray};
use netguard_common::{
    Packet,
    bucket::BucketLine,
    exact::ExactLine,
    hint::HintLine,
    known::KnownLine,
    layout::{Counter, Sampler, Service, Settings},
    maps::MapSpec,
    service::{FREE, ServiceLine},
    shared::Field as _,
    signature::{Features, Signature},
    state::Strays,
    syn_ack::SynAck,
    telemetry::{Sketch, Telemetry},
};
use serde_json::Value;

use super::{
    super::{BpfError, raw::Raw},
    render::render,
};

/// The arrays of the catalogue, by the type of their values.
pub(super) enum AnyArray {
    Numbers(Array<MapData, u64>),
    Hints(Array<MapData, Raw<HintLine>>),
    Settings(Array<MapData, Raw<Settings>>),
    NumbersPerCpu(PerCpuArray<MapData, u64>),
    Counters(PerCpuArray<MapData, Raw<Counter>>),
    Samplers(PerCpuArray<MapData, Raw<Sampler>>),
    Packets(PerCpuArray<MapData, Raw<Packet>>),
    Answers(PerCpuArray<MapData, Raw<SynAck>>),
    Strays(PerCpuArray<MapData, Raw<Strays>>),
    Signatures(Array<MapData, Raw<Signature>>),
    Features(PerCpuArray<MapData, Raw<Features>>),
    Exact(Array<MapData, Raw<ExactLine>>),
    Buckets(Array<MapData, Raw<BucketLine>>),
    Known(Array<MapData, Raw<KnownLine>>),
    ServiceLines(Array<MapData, Raw<ServiceLine>>),
    Services(Array<MapData, Raw<Service>>),
    Telemetry(PerCpuArray<MapData, Raw<Telemetry>>),
    Sketches(PerCpuArray<MapData, Raw<Sketch>>),
}

impl AnyArray {
    pub(super) fn open(spec: &'static MapSpec, map: Map) -> Result<Self, BpfError> {
        let wrap = BpfError::map(spec.name, spec.max_entries);
        Ok(match spec.name {
            "SETTINGS" => Self::Settings(map.try_into().map_err(wrap)?),
            "POLICY_COUNTERS" => Self::NumbersPerCpu(map.try_into().map_err(wrap)?),
            "SIGNATURES" => Self::Signatures(map.try_into().map_err(wrap)?),
            "FEATURES" => Self::Features(map.try_into().map_err(wrap)?),
            "COUNTERS" | "SIGNATURE_HITS" => Self::Counters(map.try_into().map_err(wrap)?),
            "SAMPLER" => Self::Samplers(map.try_into().map_err(wrap)?),
            "SYN_ACK" => Self::Answers(map.try_into().map_err(wrap)?),
            "STRAYS" => Self::Strays(map.try_into().map_err(wrap)?),
            "PACKET" => Self::Packets(map.try_into().map_err(wrap)?),
            "HINTS" => Self::Hints(map.try_into().map_err(wrap)?),
            "EXACT" => Self::Exact(map.try_into().map_err(wrap)?),
            "BUCKETS" => Self::Buckets(map.try_into().map_err(wrap)?),
            "KNOWN" => Self::Known(map.try_into().map_err(wrap)?),
            "SERVICE_LINES" | "WATCHED" => Self::ServiceLines(map.try_into().map_err(wrap)?),
            "SERVICES" => Self::Services(map.try_into().map_err(wrap)?),
            "TELEMETRY" => Self::Telemetry(map.try_into().map_err(wrap)?),
            "SKETCHES" => Self::Sketches(map.try_into().map_err(wrap)?),
            _ => Self::Numbers(map.try_into().map_err(wrap)?),
        })
    }

    /// The value at `index`; `None` for a zero when `skip_zero`.
    pub(super) fn read(
        &self,
        spec: &'static MapSpec,
        index: u32,
        skip_zero: bool,
    ) -> Result<Option<Value>, BpfError> {
        let wrap = BpfError::map(spec.name, spec.max_entries);
        match self {
            Self::Numbers(map) => map
                .get(&index, 0)
                .map(|value| shown(skip_zero, value == 0, || value.into())),
            Self::NumbersPerCpu(map) => map.get(&index, 0).map(|cpus| {
                let zero = cpus.iter().all(|cpu| *cpu == 0);
                shown(skip_zero, zero, || cpus.iter().copied().collect())
            }),
            Self::Hints(map) => map.get(&index, 0).map(|line| {
                let zero = line.0.bytes.iter().all(|byte| *byte == 0);
                shown(skip_zero, zero, || render(&line.0))
            }),
            Self::Signatures(map) => map
                .get(&index, 0)
                .map(|value| shown(skip_zero, value.0.mode == 0, || render(&value.0))),
            Self::Features(map) => map
                .get(&index, 0)
                .map(|cpus| Some(cpus.iter().map(|cpu| render(&cpu.0)).collect())),
            Self::Exact(map) => map
                .get(&index, 0)
                .map(|line| shown(skip_zero, line.0 == ExactLine::ZERO, || render(&line.0))),
            Self::Buckets(map) => map
                .get(&index, 0)
                .map(|line| shown(skip_zero, line.0 == BucketLine::ZERO, || render(&line.0))),
            Self::Known(map) => map
                .get(&index, 0)
                .map(|line| shown(skip_zero, line.0 == KnownLine::ZERO, || render(&line.0))),
            Self::ServiceLines(map) => map
                .get(&index, 0)
                .map(|line| shown(skip_zero, line.0 == ServiceLine::ZERO, || render(&line.0))),
            Self::Services(map) => map
                .get(&index, 0)
                .map(|service| shown(skip_zero, service.0 == FREE, || render(&service.0))),
            Self::Settings(map) => map.get(&index, 0).map(|value| Some(render(&value.0))),
            Self::Counters(map) => map.get(&index, 0).map(|cpus| {
                let zero = cpus.iter().all(|cpu| cpu.0.packets == 0);
                shown(skip_zero, zero, || {
                    cpus.iter().map(|cpu| render(&cpu.0)).collect()
                })
            }),
            Self::Samplers(map) => map
                .get(&index, 0)
                .map(|cpus| Some(cpus.iter().map(|cpu| render(&cpu.0)).collect())),
            Self::Answers(map) => map
                .get(&index, 0)
                .map(|cpus| Some(cpus.iter().map(|cpu| render(&cpu.0)).collect())),
            Self::Strays(map) => map
                .get(&index, 0)
                .map(|cpus| Some(cpus.iter().map(|cpu| render(&cpu.0)).collect())),
            Self::Telemetry(map) => map
                .get(&index, 0)
                .map(|cpus| Some(cpus.iter().map(|cpu| render(&cpu.0)).collect())),
            Self::Sketches(map) => map.get(&index, 0).map(|cpus| {
                let zero = cpus.iter().all(|cpu| cpu.0.seen == 0);
                shown(skip_zero, zero, || {
                    cpus.iter().map(|cpu| render(&cpu.0)).collect()
                })
            }),
            Self::Packets(map) => map
                .get(&index, 0)
                .map(|cpus| Some(cpus.iter().map(|cpu| render(&cpu.0)).collect())),
        }
        .map_err(wrap)
    }
}

fn shown(skip_zero: bool, zero: bool, value: impl FnOnce() -> Value) -> Option<Value> {
    (!(skip_zero && zero)).then(value)
}
