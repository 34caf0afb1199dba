//! What every request is answered from.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use gavel_node::board::Board;
use gavel_settlement::Deployment;
use gavel_trace::Digest;
use serde_json::{Value, json};

use crate::asset::Asset;
use crate::bus::Bus;
use crate::catalogue::Catalogue;
use crate::index::Index;
use crate::trust::Trust;

/// What is played, for the page's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// Name of the adversary's fault.
    pub adversary: Option<String>,
    /// What the adversary does.
    pub sentence: Option<String>,
}

/// What a server is told beside the chain.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names and models.
    pub catalogue: Catalogue,
    /// How much history is kept.
    pub limits: crate::Limits,
    /// Seconds of the chain in one of the wall.
    pub speed: u64,
    /// What is played, if this is a play.
    pub scene: Option<Scene>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            catalogue: Catalogue::new(),
            limits: crate::Limits::default(),
            speed: 1,
            scene: None,
        }
    }
}

/// The two values at the isolated place of a dispute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fork {
    /// The provider's digest that this is about.
    pub claimed: Digest,
    /// The batch by which an appeal was decided, as far as it was known when this was computed.
    pub decided: Option<u64>,
    /// As the page shows it.
    pub shown: Value,
}

/// The chain, as it was read last.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) board: Arc<Board>,
    pub(crate) index: Index,
    pub(crate) trust: Option<Trust>,
    pub(crate) asset: Option<Asset>,
    pub(crate) forks: BTreeMap<u64, Fork>,
    /// Unix milliseconds at which the board's time was the time.
    pub(crate) wall_ms: u64,
    /// Grows with every change of an answer.
    pub(crate) version: u64,
    /// Whether the chain was ever read.
    pub(crate) read: bool,
    pub(crate) behind: u64,
    pub(crate) error: Option<String>,
}

/// State and bus, shared by the follower and the server.
#[derive(Debug)]
pub(crate) struct Shared {
    state: RwLock<State>,
    pub(crate) bus: Bus,
    /// Times that the chain could be read.
    pub(crate) looks: AtomicU64,
    /// Reorgs that were followed.
    pub(crate) reorgs: AtomicU64,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) deployment: Deployment,
    pub(crate) speed: u64,
    pub(crate) scene: Option<Scene>,
}

impl Shared {
    pub(crate) fn new(
        index: Index,
        deployment: Deployment,
        options: &Options,
        catalogue: Arc<Catalogue>,
    ) -> Shared {
        Shared {
            state: RwLock::new(State {
                board: Arc::default(),
                index,
                trust: None,
                asset: None,
                forks: BTreeMap::new(),
                wall_ms: wall_ms(),
                version: 0,
                read: false,
                behind: 0,
                error: None,
            }),
            bus: Bus::new(wall_ms()),
            looks: AtomicU64::new(0),
            reorgs: AtomicU64::new(0),
            catalogue,
            deployment,
            speed: options.speed,
            scene: options.scene.clone(),
        }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chain's clock, for a page that shows time running.
    pub(crate) fn clock(&self, state: &State) -> Value {
        json!({"time": state.board.head.time, "wall_ms": state.wall_ms, "speed": self.speed})
    }
}

/// Unix milliseconds of the wall.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
