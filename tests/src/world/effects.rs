//! What lists of a world do.

use netguard::ranges::Effect;
use netguard_common::{
    layout::Rate,
    ranges::{Policy, Subject},
};

/// A published list.
pub fn feed(shadow: bool) -> Effect {
    Effect::Feed {
        policy: policy(Subject::Feed),
        shadow,
    }
}

/// A country that is blocked.
pub fn country() -> Effect {
    Effect::Place {
        rank: 1,
        policy: Some(policy(Subject::CountryBlock)),
        shadow: false,
    }
}

const fn policy(subject: Subject) -> Policy {
    Policy {
        subject,
        expires_at: 0,
        rate: Rate::UNLIMITED,
        spares: false,
    }
}

/// A country whose packets are all beyond what it may send; who is known passes then.
pub fn held_country() -> Effect {
    Effect::Place {
        rank: 1,
        policy: Some(Policy {
            // One packet is one too many.
            rate: Rate {
                interval_ns: 2,
                tolerance_ns: 1,
            },
            spares: true,
            ..policy(Subject::CountryLimit)
        }),
        shadow: false,
    }
}
