//! What a source asks one route for: how much of it is new to the route, and to itself.

use super::{
    count::{Distinct, period},
    service::Route,
    source::SAMPLES,
};

/// What a source asked a route for in the period that runs.
#[derive(Debug, Default)]
pub(super) struct Asked {
    period: u32,
    pub(super) requests: u32,
    /// Requests that were taken into what is usual, and those with a new query among them.
    light: u32,
    new: f64,
    /// Requests since it asks often.
    seen: u32,
    often: Option<Box<Often>>,
}

/// Queries of a source that asks often, of those that the route did not know.
#[derive(Debug)]
struct Often {
    distinct: Distinct<64>,
    queries: u32,
    new: f64,
}

impl Asked {
    /// Takes in a request for `route` with the hash of its query, 0 for none, that counts `weight`. Up to half of `limit` in a period it is taken into what
    /// is usual; whoever asks more often is not usual, and has not been from the beginning of the period on. Up to `limit` the route remembers the query.
    pub(super) fn add(
        &mut self,
        route: &mut Route,
        query: u64,
        weight: u32,
        limit: u32,
        within_s: u32,
        now_ns: u64,
    ) {
        let (period, _) = period(within_s, now_ns);
        if period != self.period {
            *self = Self {
                period,
                ..Self::default()
            };
        }
        let newness = route.newness(query);
        if self.requests < limit / 2 {
            self.light += 1;
            self.new += newness;
            route.asked_lightly(newness);
        } else {
            route.take_back(self.light, self.new);
            self.light = 0;
            self.new = 0.0;
            self.often(query, newness);
        }
        if self.requests < limit {
            route.learn(query);
        }
        self.requests = self.requests.saturating_add(weight);
    }

    /// The share of requests with a query that nobody else asked for, nor it itself; `None` as long as there are few.
    pub(super) fn share(&self) -> Option<f64> {
        if self.seen < SAMPLES {
            return None;
        }
        let often = self.often.as_ref()?;
        // The hash of a new query may be known by chance: each that is not stands for such ones, too.
        let each = often.new / f64::from(often.queries.max(1));
        Some((often.distinct.estimate() * each / f64::from(self.seen)).min(1.0))
    }

    fn often(&mut self, query: u64, newness: f64) {
        if newness > 0.0 && self.often.is_none() {
            self.often = Some(Box::new(Often {
                distinct: Distinct::new(),
                queries: 0,
                new: 0.0,
            }));
        }
        match &mut self.often {
            // Beyond, neither would be counted well; the share is known by then.
            Some(often) if often.distinct.is_full() => return,
            Some(often) if newness > 0.0 => {
                often.distinct.insert(query);
                often.queries += 1;
                often.new += newness;
            }
            _ => {}
        }
        self.seen += 1;
    }

    /// Whether it takes memory beyond its own.
    #[cfg(test)]
    const fn is_large(&self) -> bool {
        self.often.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::l7::SECOND_NS;

    fn hash(number: u64) -> u64 {
        let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1
    }

    #[test]
    fn a_set_is_kept_of_those_who_ask_often_only_and_as_long_as_they_do() {
        let (mut asked, mut route) = (Asked::default(), Route::default());
        for number in 0..100 {
            asked.add(&mut route, hash(number), 1, 200, 10, 100 * SECOND_NS);
        }
        assert!(!asked.is_large());
        for number in 100..130 {
            asked.add(&mut route, hash(number), 1, 200, 10, 101 * SECOND_NS);
        }
        assert!(
            asked.is_large() && asked.share() > Some(0.9),
            "{:?}",
            asked.share()
        );
        assert_eq!(size_of::<Often>(), 536);
        asked.add(&mut route, hash(0), 1, 200, 10, 110 * SECOND_NS);
        assert!(!asked.is_large() && asked.requests == 1);
        assert_eq!(asked.share(), None);
    }

    #[test]
    fn what_the_route_knows_is_not_new_and_chance_is_allowed_for() {
        let mut route = Route::default();
        for number in 0..2_000 {
            route.learn(hash(number));
        }
        let share = |route: &mut Route, from: u64, to: u64| {
            let mut asked = Asked::default();
            for number in from..to {
                asked.add(route, hash(number), 1, 100, 10, 100 * SECOND_NS);
            }
            asked.share()
        };
        assert!(share(&mut route, 1_000, 1_500) < Some(0.1));
        let all = share(&mut route, 100_000, 101_000);
        assert!(all > Some(0.9), "{all:?}");
        let half = share(&mut route, 1_600, 2_350);
        assert!(half > Some(0.4) && half < Some(0.65), "{half:?}");
    }
}
