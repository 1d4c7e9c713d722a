//! Limits of requests: which hold for one, and whether there is room in all of them. A request that is refused uses up none.

use std::hash::RandomState;

use hyper::header::HeaderValue;

use super::{
    key::{self, Whereabouts},
    request::Asked,
    table::{Pace, Room, Table},
};
use crate::config::{DecisionLimit, KeyPart, MethodText, PathPattern};

/// A limit, ready to be asked.
#[derive(Clone, Debug)]
pub struct Limit {
    pub name: String,
    pub key: Vec<KeyPart>,
    pub pace: Pace,
    scope: Scope,
    /// `"login";q=5;w=60`, a policy of draft-ietf-httpapi-ratelimit-headers-09.
    pub policy: Option<HeaderValue>,
}

/// Which requests something holds for.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    paths: Vec<PathPattern>,
    methods: Vec<MethodText>,
}

/// What a limit has to say to who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Which limit.
    pub limit: usize,
    /// More requests that may come at once.
    pub left: u32,
    /// Until all of them may come again; of what is refused until one may.
    pub in_ns: u64,
}

/// What the limits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limited {
    /// No limit holds for the request.
    Free,
    /// There is room; of several limits this one has least.
    Room(Quota),
    Over(Quota),
}

impl Scope {
    /// Paths and methods; none means all.
    pub fn new(paths: &[PathPattern], methods: &[MethodText]) -> Self {
        Self {
            paths: paths.to_vec(),
            methods: methods.to_vec(),
        }
    }

    pub fn holds_for(&self, asked: &Asked<'_>) -> bool {
        let of_path = self.paths.is_empty() || self.paths.iter().any(|pattern| pattern.fits(&asked.path));
        let is_method = |method: &MethodText| method.as_str() == asked.method;
        of_path && (self.methods.is_empty() || self.methods.iter().any(is_method))
    }
}

impl Limit {
    pub fn new(limit: &DecisionLimit) -> Self {
        let (requests, per) = (limit.requests.value(), limit.per.duration());
        // The field has whole seconds: a shorter time is told as what that comes to in one.
        let (requests, seconds) = match per.as_secs() {
            0 => (u128::from(requests) * 1_000 / per.as_millis().max(1), 1),
            seconds => (u128::from(requests), seconds),
        };
        Self {
            name: limit.name.to_string(),
            key: limit.key.clone(),
            pace: Pace {
                interval_ns: limit.interval_ns(),
                burst: limit.burst(),
            },
            scope: Scope::new(&limit.paths, &limit.methods),
            policy: HeaderValue::try_from(format!("\"{}\";q={requests};w={seconds}", limit.name)).ok(),
        }
    }
}

/// What `limits` say to a request that counts as `cost`; `rooms` is room to work in.
pub(super) fn judge(
    limits: &[Limit],
    table: &mut Table,
    rooms: &mut Vec<Room>,
    secret: &RandomState,
    (asked, at): (&Asked<'_>, &Whereabouts),
    cost: u32,
    now_ns: u64,
) -> Limited {
    rooms.clear();
    let mut least: Option<Quota> = None;
    for (index, limit) in limits.iter().enumerate() {
        if !limit.scope.holds_for(asked) {
            continue;
        }
        let Some(key) = key::hashed(secret, index, &limit.key, asked, at) else {
            continue;
        };
        match table.room(key, &limit.pace, cost, now_ns) {
            Ok(room) => {
                let quota = Quota {
                    limit: index,
                    left: room.left,
                    in_ns: room.full_in_ns,
                };
                if least.is_none_or(|least| quota.left < least.left) {
                    least = Some(quota);
                }
                rooms.push(room);
            }
            Err(in_ns) => {
                return Limited::Over(Quota {
                    limit: index,
                    left: 0,
                    in_ns,
                });
            }
        }
    }
    for room in rooms.iter() {
        table.charge(room, now_ns);
    }
    least.map_or(Limited::Free, Limited::Room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, decision::request::tests::asked};

    const SECOND: u64 = 1_000_000_000;

    fn limits(text: &str) -> Vec<Limit> {
        let config = Config::parse("test", text).unwrap();
        config.decision.limit.iter().map(Limit::new).collect()
    }

    #[test]
    fn all_limits_must_have_room_and_a_refusal_uses_none() {
        let limits = limits(
            "[[decision.limit]]\nname = \"all\"\nkey = [\"client\"]\nrequests = 3\n\
             [[decision.limit]]\nname = \"login\"\nkey = [\"client\"]\nrequests = 1\nper = \"1m\"\nmethods = [\"POST\"]\npaths = [\"/login\"]\n",
        );
        assert_eq!(*limits[1].policy.as_ref().unwrap(), "\"login\";q=1;w=60");
        let (mut table, mut rooms, secret) = (Table::new(64), Vec::new(), RandomState::new());
        let mut ask = |method, target| {
            let at = Whereabouts::default();
            let asked = asked(method, target);
            judge(&limits, &mut table, &mut rooms, &secret, (&asked, &at), 1, SECOND)
        };
        let Limited::Room(quota) = ask("POST", "/login") else {
            panic!("there is room");
        };
        assert_eq!((quota.limit, quota.left), (1, 0));
        for _ in 0..5 {
            let over = Quota {
                limit: 1,
                left: 0,
                in_ns: 60 * SECOND,
            };
            assert_eq!(ask("POST", "/login"), Limited::Over(over));
        }
        // Refusals did not use up the other limit.
        assert!(matches!(
            ask("GET", "/login"),
            Limited::Room(Quota {
                limit: 0,
                left: 1,
                ..
            })
        ));
        assert!(matches!(
            ask("GET", "/x"),
            Limited::Room(Quota {
                limit: 0,
                left: 0,
                ..
            })
        ));
        assert!(matches!(ask("GET", "/x"), Limited::Over(Quota { limit: 0, .. })));
    }

    #[test]
    fn a_limit_does_not_hold_for_who_lacks_its_key() {
        let limits =
            limits("[[decision.limit]]\nname = \"a\"\nkey = [\"user\"]\nrequests = 1\nper = \"100ms\"\n");
        assert_eq!(*limits[0].policy.as_ref().unwrap(), "\"a\";q=10;w=1");
        let (mut table, mut rooms) = (Table::new(64), Vec::new());
        let at = Whereabouts::default();
        let asked = asked("GET", "/");
        let said = judge(
            &limits,
            &mut table,
            &mut rooms,
            &RandomState::new(),
            (&asked, &at),
            1,
            SECOND,
        );
        assert_eq!(said, Limited::Free);
    }
}
