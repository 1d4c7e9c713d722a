//! What is normal, and what is now, as the controller tells it. It learns nothing.

use super::Controller;
use crate::engine::{
    baseline::{NormalTraffic, NowService},
    feature::{Metric, ServiceMetric},
};

impl Controller {
    /// What is normal, and what is now, at `wall_s` of the wall clock.
    pub fn normal(&self, wall_s: Option<u64>) -> NormalTraffic {
        let mut normal = self.learnt.baselines.normal(wall_s);
        // What is no number has no form in JSON.
        let now = |metric| self.second.metric(metric).filter(|value| value.is_finite());
        normal.now = Metric::ALL
            .into_iter()
            .filter_map(|metric| Some((metric.name().to_owned(), now(metric)?)))
            .collect();
        for (name, number) in &mut normal.totals {
            number.compare(normal.now.get(name).copied());
        }
        for service in &self.second.services {
            let Some(normal) = normal.services.get_mut(&service.service) else {
                continue;
            };
            let now = |metric| service.metric(metric).filter(|value| value.is_finite());
            for metric in ServiceMetric::ALL {
                if let Some(number) = normal.number_mut(metric) {
                    number.compare(now(metric));
                }
            }
            let [
                packets,
                bytes,
                opening,
                payload,
                duration_s,
                requests,
                errors_percent,
                response_ms,
            ] = ServiceMetric::ALL.map(now);
            if let (Some(packets), Some(bytes), Some(opening)) = (packets, bytes, opening) {
                normal.now = Some(NowService {
                    packets,
                    bytes,
                    opening,
                    payload,
                    duration_s,
                    requests,
                    errors_percent,
                    response_ms,
                });
            }
        }
        normal.come_about.now = self.second.come_about().filter(|share| share.is_finite());
        normal.unusual = self.learnt.outlier.told(self.score.as_ref());
        normal
    }
}
