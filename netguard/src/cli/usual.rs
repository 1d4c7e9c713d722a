//! What usually comes in a second, beside the limits that hold for it.

use hyper::Method;
use serde::Serialize;

use super::Context;
use crate::{
    control::Client,
    engine::baseline::{Normal, NormalTraffic},
};

/// Values that a second seldom exceeds.
#[derive(Serialize)]
pub(super) struct Usual {
    p50: f64,
    p95: f64,
    p99: f64,
    /// Seconds that were learnt.
    learnt_s: u64,
}

impl Usual {
    pub(super) const fn of(normal: &Normal) -> Self {
        Self {
            p50: normal.median,
            p95: normal.p95,
            p99: normal.p99,
            learnt_s: normal.learnt_s,
        }
    }
}

pub(super) fn text(usual: &Option<Usual>) -> String {
    match usual {
        Some(usual) => format!("{:.0}/{:.0}/{:.0}", usual.p50, usual.p95, usual.p99),
        None => "-".to_owned(),
    }
}

/// What is normal. A dead daemon knows nothing of that; limits hold all the same.
pub(super) async fn normal(context: &Context) -> NormalTraffic {
    match Client::connect(&context.instance).await {
        Ok(mut client) => {
            let normal = client.request(Method::GET, "/v1/normal", None::<&()>).await;
            normal.unwrap_or_default()
        }
        Err(_) => NormalTraffic::default(),
    }
}
