//! What is known of calm times, of all who learn: together, and how it is forgotten.

use crate::{
    audit::Author,
    daemon::{EventKind, State},
    engine::{
        Calm,
        campaign::{Ordinary, Usual},
    },
};

impl State {
    /// What is known of calm times beside what is normal.
    pub(in crate::daemon) fn calm(&self) -> Calm {
        let (packets, places) = self.responder().calm();
        let (ordinary, probes) = {
            let campaigns = self.campaigns();
            (campaigns.ordinary().clone(), campaigns.usual().clone())
        };
        let served = self
            .served()
            .iter()
            .map(|(target, last_s)| (*target, *last_s))
            .collect();
        Calm {
            served,
            packets,
            places,
            ordinary,
            probes,
            ..Calm::default()
        }
    }

    /// Forgets what was learnt of `service`, or all of it, since `author` asks for it; whether there was any.
    pub fn forget_normal(&self, service: Option<String>, author: Author) -> bool {
        let mut was = self.controller().forget(service.as_deref(), fastrand::u64(..));
        if service.is_none() {
            was |= self.calm().is_learnt();
            self.responder().forget_calm(fastrand::u64(..));
            self.campaigns().recall(Ordinary::default(), Usual::default());
        }
        if was {
            self.normal_asked.notify_one();
            self.journal
                .record_by(author, EventKind::NormalForgotten { service });
        }
        was
    }
}
