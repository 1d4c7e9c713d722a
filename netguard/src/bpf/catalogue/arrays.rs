//! The arrays of the catalogue, each read with the type of its values.

use aya::{
    Pod,
    maps::{Array, Map, MapData, MapError, PerCpuArray},
};
use netguard_common::{
    Packet,
    bucket::BucketLine,
    clock::Clock,
    exact::ExactLine,
    head::Head,
    hint::HintLine,
    known::KnownLine,
    l7::{Hearing, PieceRoom},
    layout::{Counter, Sampler, Service, Settings},
    maps::MapSpec,
    own::OwnSeen,
    pace::Pace,
    ranges::InForce,
    service::ServiceLine,
    shared::Shared,
    signature::{Features, Signature},
    state::Strays,
    syn_ack::SynAck,
    telemetry::{Sketch, Telemetry},
    tls::Reading,
};
use serde_json::Value;

use super::{
    super::{BpfError, raw::Raw},
    render::render,
};

/// An open array.
pub(super) trait Entries {
    /// The value at `index`, a list of one for each CPU where these have their own; `None` for nothing but zeros when `skip_zero`.
    fn read(&self, index: u32, skip_zero: bool) -> Result<Option<Value>, MapError>;
}

/// Opens `map`, which is the array `spec`.
pub(super) fn open(spec: &'static MapSpec, map: Map) -> Result<Box<dyn Entries>, BpfError> {
    match spec.name {
        "SETTINGS" => shared::<Raw<Settings>>(map),
        "POLICY_COUNTERS" | "TLS" => per_cpu::<u64>(map),
        "READING" => per_cpu::<Raw<Reading>>(map),
        "SIGNATURES" => shared::<Raw<Signature>>(map),
        "FEATURES" => per_cpu::<Raw<Features>>(map),
        "COUNTERS" | "SIGNATURE_HITS" => per_cpu::<Raw<Counter>>(map),
        "SAMPLER" => per_cpu::<Raw<Sampler>>(map),
        "HEAD" => per_cpu::<Raw<Head>>(map),
        "SYN_ACK" => per_cpu::<Raw<SynAck>>(map),
        "STRAYS" => per_cpu::<Raw<Strays>>(map),
        "PACKET" => per_cpu::<Raw<Packet>>(map),
        "CLOCK" => per_cpu::<Raw<Clock>>(map),
        "PACE" => per_cpu::<Raw<Pace>>(map),
        "OWN_SEEN" => per_cpu::<Raw<OwnSeen>>(map),
        "GENERATION" => shared::<Raw<InForce>>(map),
        "HINTS" => shared::<Raw<HintLine>>(map),
        "EXACT" => shared::<Raw<ExactLine>>(map),
        "BUCKETS" => shared::<Raw<BucketLine>>(map),
        "KNOWN" => shared::<Raw<KnownLine>>(map),
        "SERVICE_LINES" | "WATCHED" => shared::<Raw<ServiceLine>>(map),
        "SERVICES" => shared::<Raw<Service>>(map),
        "TELEMETRY" => per_cpu::<Raw<Telemetry>>(map),
        "CONNECTION_SUMS" => per_cpu::<u64>(map),
        "SKETCHES" => per_cpu::<Raw<Sketch>>(map),
        "PIECE" => per_cpu::<Raw<PieceRoom>>(map),
        "HEARING" => per_cpu::<Raw<Hearing>>(map),
        _ => shared::<u64>(map),
    }
    .map_err(BpfError::map(spec.name, spec.max_entries))
}

fn shared<T: Shown>(map: Map) -> Result<Box<dyn Entries>, MapError> {
    Ok(Box::new(Array::<MapData, T>::try_from(map)?))
}

fn per_cpu<T: Shown>(map: Map) -> Result<Box<dyn Entries>, MapError> {
    Ok(Box::new(PerCpuArray::<MapData, T>::try_from(map)?))
}

impl<T: Shown> Entries for Array<MapData, T> {
    fn read(&self, index: u32, skip_zero: bool) -> Result<Option<Value>, MapError> {
        let value = self.get(&index, 0)?;
        Ok((!(skip_zero && value.is_zero())).then(|| value.shown()))
    }
}

impl<T: Shown> Entries for PerCpuArray<MapData, T> {
    fn read(&self, index: u32, skip_zero: bool) -> Result<Option<Value>, MapError> {
        let cpus = self.get(&index, 0)?;
        let zero = skip_zero && cpus.iter().all(Shown::is_zero);
        Ok((!zero).then(|| cpus.iter().map(Shown::shown).collect()))
    }
}

/// A value that people can be shown.
trait Shown: Pod {
    fn is_zero(&self) -> bool;
    fn shown(&self) -> Value;
}

impl Shown for u64 {
    fn is_zero(&self) -> bool {
        *self == 0
    }

    fn shown(&self) -> Value {
        (*self).into()
    }
}

impl<T: Shared + 'static> Shown for Raw<T> {
    fn is_zero(&self) -> bool {
        self.0.as_bytes().iter().all(|byte| *byte == 0)
    }

    fn shown(&self) -> Value {
        render(&self.0)
    }
}
