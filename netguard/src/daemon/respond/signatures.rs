//! Signatures that were put into the kernel because of attacks. They end by themselves half a minute after the daemon last
//! renewed them: none outlives it.

use std::collections::BTreeMap;

use netguard_common::{layout::Rule, signature::Signature};

use super::Report;
use crate::{
    bpf::{BpfError, Signatures},
    engine::response::{Mode, Standing, Taken},
};

/// How long a signature stands without being renewed, and how often it is; then it is noticed, too, that somebody took it away: sooner
/// than a service that takes nobody new is found calm.
const STANDS_NS: u64 = 30_000_000_000;
const RENEWED_NS: u64 = 2_000_000_000;
/// How often hits are read.
const READ_NS: u64 = 100_000_000;

const TAKEN_AWAY: &str = "somebody removed the signature";

/// Signatures in the kernel, by the number of the measure.
#[derive(Default)]
pub(super) struct Installed(BTreeMap<u64, Entry>);

struct Entry {
    slot: u32,
    signature: Signature,
    renewed_ns: u64,
    read_ns: u64,
    packets: u64,
}

impl Installed {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn follow(&mut self, wanted: &[Taken], kernel: &mut Signatures, now_ns: u64) -> Vec<Report> {
        let mut reports = Vec::new();
        let is_wanted = |number: &u64| {
            let mut wanted = wanted.iter();
            wanted.any(|taken| taken.number == *number && taken.measure.signature().is_some())
        };
        self.0.retain(|number, entry| {
            let stays = is_wanted(number);
            if !stays && kernel.holds(entry.slot, &entry.signature).unwrap_or(false) {
                // Where that fails it ends by itself.
                let _removed = kernel.remove(entry.slot);
            }
            stays
        });
        for taken in wanted {
            let Some(signature) = taken.measure.signature() else {
                continue;
            };
            let number = taken.number;
            let outcome = match self.0.get_mut(&number) {
                None if taken.standing == Standing::Wanted => {
                    let mode = taken.mode_now() as u32;
                    install(Signature { mode, ..*signature }, kernel, now_ns).map(|entry| {
                        self.0.insert(number, entry);
                        reports.push(Report::Standing(number, Standing::InForce));
                    })
                }
                None => Ok(()),
                Some(entry) => entry
                    .keep(taken.mode_now(), kernel, now_ns)
                    .map(|kept| match kept {
                        Kept::Gone => {
                            self.0.remove(&number);
                            reports.push(Report::Standing(number, Standing::Given(TAKEN_AWAY.to_owned())));
                        }
                        Kept::Fitted { packets, ns } => reports.push(Report::Fitted(number, packets, ns)),
                        Kept::Unread => {}
                    }),
            };
            if let Err(error) = outcome {
                reports.push(Report::Standing(number, Standing::Failed(error.to_string())));
            }
        }
        reports
    }
}

fn install(signature: Signature, kernel: &mut Signatures, now_ns: u64) -> Result<Entry, BpfError> {
    debug_assert!(signature.mode != Mode::Off as u32);
    let expires_at = Rule::expiry(now_ns, STANDS_NS);
    let slot = kernel.add(
        Signature {
            expires_at,
            ..signature
        },
        now_ns,
    )?;
    Ok(Entry {
        slot,
        signature,
        renewed_ns: now_ns,
        read_ns: now_ns,
        packets: 0,
    })
}

enum Kept {
    Gone,
    Unread,
    Fitted { packets: u64, ns: u64 },
}

impl Entry {
    fn keep(&mut self, mode: Mode, kernel: &mut Signatures, now_ns: u64) -> Result<Kept, BpfError> {
        // What was only counted drops from now on, or the other way round.
        let renewed = Signature {
            mode: mode as u32,
            expires_at: Rule::expiry(now_ns, STANDS_NS),
            ..self.signature
        };
        let is_due = now_ns.saturating_sub(self.renewed_ns) >= RENEWED_NS;
        if is_due || renewed.mode != self.signature.mode {
            if !kernel.replace(self.slot, &self.signature, renewed)? {
                return Ok(Kept::Gone);
            }
            (self.signature, self.renewed_ns) = (renewed, now_ns);
        }
        let ns = now_ns.saturating_sub(self.read_ns);
        if ns < READ_NS {
            return Ok(Kept::Unread);
        }
        let before = self.packets;
        (self.packets, self.read_ns) = (kernel.hits_of(self.slot)?.packets, now_ns);
        Ok(Kept::Fitted {
            // Somebody who took the entry over began to count anew.
            packets: self.packets.checked_sub(before).unwrap_or(self.packets),
            ns,
        })
    }
}
