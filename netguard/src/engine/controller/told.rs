//! What is normal, and what is now, as the controller tells it. It learns nothing.

use super::Controller;
use crate::engine::{
    baseline::{NormalTraffic, NowService},
    feature::Metric,
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
        for service in &self.second.services {
            let numbers = [service.packets, service.bytes, service.opening];
            if let Some(normal) = normal.services.get_mut(&service.service)
                && numbers.iter().all(|number| number.is_finite())
            {
                let [packets, bytes, opening] = numbers;
                normal.now = Some(NowService {
                    packets,
                    bytes,
                    opening,
                });
            }
        }
        normal.unusual = self.learnt.outlier.told(self.score.as_ref());
        normal
    }
}
