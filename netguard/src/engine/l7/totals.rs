//! What a service was asked for and how it answered in all, so that two readings say what came between. It judges nothing.

use super::service::Service;

/// Since it was first heard of; estimated under load, as all that is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub requests: u64,
    /// Those with a status from 200 on: what comes before is no answer yet.
    pub answers: u64,
    /// Those of them with 5xx.
    pub errors: u64,
    /// Microseconds until each of them began, together.
    pub waited_us: u64,
}

impl Totals {
    pub(super) fn of(service: &Service) -> Self {
        let [_, answers @ ..] = service.statuses;
        Self {
            requests: service.total,
            answers: answers.into_iter().fold(0, u64::saturating_add),
            errors: service.statuses[4],
            waited_us: service.waited_us,
        }
    }

    /// Whether anything was ever said in HTTP.
    pub fn is_http(&self) -> bool {
        self.requests > 0 || self.answers > 0
    }

    /// What came after `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            answers: self.answers.saturating_sub(before.answers),
            errors: self.errors.saturating_sub(before.errors),
            waited_us: self.waited_us.saturating_sub(before.waited_us),
        }
    }

    /// Of a hundred answers, those with 5xx; `None` without answers.
    pub fn errors_percent(self) -> Option<f64> {
        self.of_answers(self.errors).map(|share| 100.0 * share)
    }

    /// The mean time until an answer began.
    pub fn response_ms(self) -> Option<f64> {
        self.of_answers(self.waited_us).map(|us| us / 1e3)
    }

    fn of_answers(self, sum: u64) -> Option<f64> {
        (self.answers > 0).then(|| sum as f64 / self.answers as f64)
    }
}
