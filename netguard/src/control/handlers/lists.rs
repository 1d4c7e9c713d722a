//! The answers to requests about lists.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, State as Shared},
};
use serde::Deserialize;

use super::{
    super::{Failure, FailureKind, peer::By, server::Refusal},
    blocking,
};
use crate::daemon::{EventKind, ListReport, State, begin_fetches};

/// How long is waited for servers of feeds: the command line waits a little longer.
const FETCH_PATIENCE: Duration = Duration::from_secs(15);

pub(in crate::control) async fn lists(
    Shared(state): Shared<Arc<State>>,
) -> Result<Json<Vec<ListReport>>, Refusal> {
    blocking(move || state.lists().report()).await
}

/// How a feed is to be read.
#[derive(Deserialize)]
pub(in crate::control) struct FeedSync {
    /// However it has grown or shrunk.
    #[serde(default)]
    accept: bool,
}

/// Reads and fetches all lists again, changed or not.
pub(in crate::control) async fn sync_lists(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
) -> Result<Json<Vec<ListReport>>, Refusal> {
    state.journal.record_by(author, EventKind::ListsSynced);
    sync(state, None, false).await
}

/// Reads or fetches one feed again, changed or not.
pub(in crate::control) async fn sync_feed(
    Shared(state): Shared<Arc<State>>,
    By(author): By,
    Path(name): Path<String>,
    Query(how): Query<FeedSync>,
) -> Result<Json<Vec<ListReport>>, Refusal> {
    let feed = name.clone();
    state.journal.record_by(
        author,
        EventKind::FeedSynced {
            feed,
            accepted: how.accept,
        },
    );
    sync(state, Some(name), how.accept).await
}

async fn sync(
    state: Arc<State>,
    name: Option<String>,
    accept: bool,
) -> Result<Json<Vec<ListReport>>, Refusal> {
    let (reading, named) = (Arc::clone(&state), name.clone());
    let Json(due) = blocking(move || {
        let mut lists = reading.lists();
        if let Some(name) = &named {
            if !lists.has_feed(name) {
                return None;
            }
            if accept {
                lists.accept(name);
            }
        }
        let spared = lists.spared().to_vec();
        reading.follow_lists(&mut lists, spared, true);
        Some(lists.due(true, named.as_deref()))
    })
    .await?;
    let Some(due) = due else {
        let named = name.unwrap_or_default();
        let message = format!("there is no feed {named:?}: see `netguard feed list`");
        return Err(Refusal(Failure::new(FailureKind::Usage, message)));
    };
    // Those that are slower go on, and the report says so.
    let fetches = begin_fetches(&state, due);
    let all = async {
        for fetch in fetches {
            let _ended = fetch.await;
        }
    };
    let _in_time = tokio::time::timeout(FETCH_PATIENCE, all).await;
    blocking(move || {
        let mut reports = state.lists().report();
        reports.retain(|report| {
            name.as_ref()
                .is_none_or(|name| report.kind == "feed" && report.name == *name)
        });
        reports
    })
    .await
}
