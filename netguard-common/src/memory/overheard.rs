//! Who listens, in ordinary memory.

use core::{
    cell::{Cell, RefCell},
    ops::DerefMut,
    sync::atomic::AtomicU64,
};
use std::{
    collections::{HashMap, HashSet},
    vec::Vec,
};

use crate::{
    l7::{Hearing, Link, Listener, OPENINGS, Piece, Talk, TalkKey, hear},
    layout::Settings,
    shared::{Field as _, Shared as _},
    tables::LimitCell,
    view::{SliceView, View},
};

/// What was handed on. The fields are the state; tests set and read them directly.
pub struct Overheard {
    pub settings: Settings,
    pub now_ns: Cell<u64>,
    /// Ports of services that are listened to.
    pub ports: HashSet<u16>,
    /// By the bytes of their keys. Nothing is forgotten.
    pub talks: RefCell<HashMap<Vec<u8>, RefCell<Talk>>>,
    openings: Vec<AtomicU64>,
    pub hearing: RefCell<Hearing>,
    pub pieces: RefCell<Vec<(Piece, Vec<u8>)>>,
    /// Pieces that have room.
    pub capacity: Cell<usize>,
}

impl Overheard {
    /// Listens to `ports` under `settings`, at a time when any limit is unused.
    pub fn new(settings: Settings, ports: &[u16]) -> Self {
        Self {
            settings,
            now_ns: Cell::new(1 << 50),
            ports: ports.iter().copied().collect(),
            talks: RefCell::default(),
            openings: (0..OPENINGS).map(|_| AtomicU64::new(0)).collect(),
            hearing: RefCell::new(Hearing::ZERO),
            pieces: RefCell::default(),
            capacity: Cell::new(usize::MAX),
        }
    }

    /// Listens to a packet that begins at its network header.
    pub fn hear(&self, packet: &[u8], leaves: bool) {
        let ether_type = match packet.first().map(|byte| byte >> 4) {
            Some(4) => 0x0800,
            Some(6) => 0x86dd,
            _ => 0,
        };
        self.hear_as(packet, Link { ether_type, leaves });
    }

    /// The same for a packet of which the kernel says something else than its first byte.
    pub fn hear_as(&self, packet: &[u8], link: Link) {
        hear(&SliceView(packet), link, self);
    }

    /// The conversation of `key`.
    pub fn talk_of(&self, key: &TalkKey) -> Option<Talk> {
        self.talks.borrow().get(key.as_bytes()).map(|talk| *talk.borrow())
    }
}

/// An entry, taken out for as long as it is used: what was taken is put back when this goes.
struct Lent<'a> {
    talks: &'a RefCell<HashMap<Vec<u8>, RefCell<Talk>>>,
    key: Vec<u8>,
    talk: Talk,
}

impl core::ops::Deref for Lent<'_> {
    type Target = Talk;
    fn deref(&self) -> &Talk {
        &self.talk
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Talk {
        &mut self.talk
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(talk) = self.talks.borrow().get(&self.key) {
            *talk.borrow_mut() = self.talk;
        }
    }
}

impl Listener for Overheard {
    fn settings(&self) -> Option<&Settings> {
        Some(&self.settings)
    }
    fn is_watched(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }
    fn talk(&self, key: &TalkKey) -> Option<impl DerefMut<Target = Talk>> {
        Some(Lent {
            talks: &self.talks,
            key: key.as_bytes().to_vec(),
            talk: self.talk_of(key)?,
        })
    }
    fn begin(&self, key: &TalkKey, talk: &Talk) {
        self.talks
            .borrow_mut()
            .insert(key.as_bytes().to_vec(), RefCell::new(*talk));
    }
    fn end(&self, key: &TalkKey) {
        self.talks.borrow_mut().remove(key.as_bytes());
    }
    fn opening(&self, index: u32) -> Option<impl LimitCell> {
        self.openings.get(index as usize)
    }
    fn hearing(&self) -> Option<impl DerefMut<Target = Hearing>> {
        Some(self.hearing.borrow_mut())
    }
    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }
    fn exact_ns(&self) -> u64 {
        self.now_ns.get()
    }
    fn emit<V: View>(&self, view: &V, piece: &Piece, at: u32) -> bool {
        let mut pieces = self.pieces.borrow_mut();
        if pieces.len() >= self.capacity.get() {
            return false;
        }
        let bytes: Option<Vec<u8>> = (0..u32::from(piece.len))
            .map(|index| view.load::<[u8; 1]>(at + index).map(|[byte]| byte))
            .collect();
        // As in the kernel, nothing is handed on whose bytes cannot be read.
        let Some(bytes) = bytes else {
            return false;
        };
        pieces.push((*piece, bytes));
        true
    }
}
