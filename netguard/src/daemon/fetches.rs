//! Asks servers for feeds, each on a thread of its own: whoever is slow holds nobody up, and a daemon that ends waits for nobody.

use std::{sync::Arc, thread};

use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
};

use super::{Download, State};
use crate::lists::{FetchError, fetch};

/// Begins all of `downloads`; each is put in force when it is there, whether anybody waits for it or not.
pub fn begin_fetches(state: &Arc<State>, downloads: Vec<Download>) -> Vec<JoinHandle<()>> {
    let begin = |download| tokio::spawn(fetch_one(Arc::clone(state), download));
    downloads.into_iter().map(begin).collect()
}

async fn fetch_one(state: Arc<State>, download: Download) {
    let (tell, told) = oneshot::channel();
    let request = download.request.clone();
    // Not a thread of the runtime, which would not end before it.
    let begun = thread::Builder::new().name("feed".to_owned()).spawn(move || {
        // Nobody waits any more: the daemon ends.
        let _ended = tell.send(fetch(&request));
    });
    let answer = match begun {
        Ok(_thread) => told.await.unwrap_or(Err(FetchError::Died)),
        Err(error) => Err(FetchError::NoThread(error)),
    };
    let put = spawn_blocking(move || {
        let mut lists = state.lists();
        lists.take(&download, answer, &state.journal);
        let spared = lists.spared().to_vec();
        state.follow_lists(&mut lists, spared, false);
    });
    if let Err(error) = put.await {
        tracing::warn!("a feed that was fetched is not in force: {error}");
    }
}
