//! How a server is, for whoever watches it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gavel_node::Board;

use crate::state::Shared;

/// A look at a server from outside.
#[derive(Clone, Debug)]
pub struct Pulse(pub(crate) Arc<Shared>);

/// How it is now.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// The chain, as it was read last; nothing before that.
    pub board: Option<Arc<Board>>,
    /// Blocks that are in the chain and not read yet.
    pub behind: u64,
    /// Times that the chain could be read.
    pub looks: u64,
    /// Reorgs that were followed.
    pub reorgs: u64,
    /// Connections that listen to events.
    pub listeners: usize,
    /// Events that were made.
    pub events: u64,
    /// Events given to connections.
    pub delivered: u64,
    /// Connections that were let go because they were too slow.
    pub let_go: u64,
    /// Histories that are kept, by what they are of.
    pub kept: [(&'static str, usize); 4],
}

impl Pulse {
    /// How it is now.
    pub fn vitals(&self) -> Vitals {
        let shared = &self.0;
        let (listeners, delivered, let_go) = shared.bus.listeners();
        let state = shared.read();
        let index = &state.index;
        Vitals {
            board: state.read.then(|| Arc::clone(&state.board)),
            behind: state.behind,
            looks: shared.looks.load(Ordering::Relaxed),
            reorgs: shared.reorgs.load(Ordering::Relaxed),
            listeners,
            events: shared.bus.sent(),
            delivered,
            let_go,
            kept: [
                ("tasks", index.tasks.len()),
                ("disputes", index.disputes.len()),
                ("lines", index.lines.len()),
                ("people", index.people.len()),
            ],
        }
    }
}
