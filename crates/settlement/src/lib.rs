//! The chain that settles everything: embedded in this process or behind any RPC URL, with one typed
//! client for both. revm and alloy live behind this crate.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod chain;
