//! Server-sent events: made once, sent to all.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use serde_json::Value;
use tokio::sync::broadcast;

/// Events that a client may miss and still catch up with; also how far behind it may fall.
pub(crate) const KEPT: usize = 1_024;

/// One broadcast for all clients, with a memory for those who come back.
#[derive(Clone, Debug)]
pub(crate) struct Bus {
    sender: broadcast::Sender<Bytes>,
    kept: Arc<Mutex<Kept>>,
    delivered: Arc<AtomicU64>,
    let_go: Arc<AtomicU64>,
    /// Tells this server's ids from an earlier one's.
    epoch: Arc<str>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    frames: VecDeque<Bytes>,
}

/// What a new client gets first, and from where it goes on.
pub(crate) struct Subscription {
    pub(crate) missed: Vec<Bytes>,
    pub(crate) next: broadcast::Receiver<Bytes>,
}

impl Bus {
    pub(crate) fn new(epoch: u64) -> Bus {
        Bus {
            sender: broadcast::channel(KEPT).0,
            kept: Arc::default(),
            delivered: Arc::default(),
            let_go: Arc::default(),
            epoch: format!("{epoch:x}").into(),
        }
    }

    /// Sends an event to everybody who listens.
    pub(crate) fn send(&self, event: &str, data: &Value) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last += 1;
        let frame = format!(
            "id: {}-{}\nevent: {event}\ndata: {data}\n\n",
            self.epoch, kept.last
        );
        let frame = Bytes::from(frame);
        if kept.frames.len() == KEPT {
            kept.frames.pop_front();
        }
        kept.frames.push_back(frame.clone());
        // under the lock, so that nobody subscribes between memory and broadcast; nobody listening is fine
        let _ = self.sender.send(frame);
    }

    /// A sign of life.
    pub(crate) fn comment(&self) {
        let _ = self.sender.send(Bytes::from_static(b": still here\n\n"));
    }

    /// Subscribes; `last` is the id of the last event that the client has seen.
    pub(crate) fn subscribe(&self, last: Option<&str>) -> Subscription {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.sender.subscribe();
        let hello = Bytes::from_static(b"retry: 2000\n: hello\n\n");
        let mut missed = vec![hello];
        match last.map(|last| self.behind(last, &kept)) {
            None => {}
            Some(Some(behind)) => {
                let frames = kept.frames.iter().skip(kept.frames.len() - behind);
                missed.extend(frames.cloned());
            }
            Some(None) => {
                let reset = format!(
                    "id: {}-{}\nevent: reset\ndata: {{}}\n\n",
                    self.epoch, kept.last
                );
                missed.push(Bytes::from(reset));
            }
        }
        Subscription { missed, next }
    }

    /// How many kept events came after this id; `None` where that is not known any more.
    fn behind(&self, last: &str, kept: &Kept) -> Option<usize> {
        let (epoch, number) = last.split_once('-')?;
        let number: u64 = number.parse().ok()?;
        let behind = kept.last.checked_sub(number)?;
        let behind = usize::try_from(behind).ok()?;
        (epoch == &*self.epoch && behind <= kept.frames.len()).then_some(behind)
    }

    /// An event was given to the connection of one client.
    pub(crate) fn deliver(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    /// A client was too slow.
    pub(crate) fn let_go(&self) {
        self.let_go.fetch_add(1, Ordering::Relaxed);
    }

    /// Clients that listen, events given to connections so far, and clients that were too slow.
    pub(crate) fn listeners(&self) -> (usize, u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (
            self.sender.receiver_count(),
            count(&self.delivered),
            count(&self.let_go),
        )
    }

    /// Events sent so far, to whoever listened.
    pub(crate) fn sent(&self) -> u64 {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last
    }

    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    #[cfg(test)]
    fn last_id(&self) -> String {
        format!("{}-{}", self.epoch, self.kept.lock().unwrap().last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(frames: &[Bytes]) -> Vec<String> {
        let text = |frame: &Bytes| String::from_utf8(frame.to_vec()).unwrap();
        frames.iter().map(text).collect()
    }

    #[test]
    fn who_comes_back_gets_what_it_missed_and_no_more() {
        let bus = Bus::new(7);
        for n in 0..3 {
            bus.send("head", &json!({ "number": n }));
        }
        let seen = bus.last_id();
        bus.send("head", &json!({"number": 3}));
        bus.send("head", &json!({"number": 4}));
        let missed = texts(&bus.subscribe(Some(&seen)).missed);
        assert_eq!(missed.len(), 3);
        assert!(missed[1].contains("\"number\":3") && missed[2].contains("\"number\":4"));
        assert_eq!(bus.subscribe(Some(&bus.last_id())).missed.len(), 1);
        assert_eq!(bus.subscribe(None).missed.len(), 1);
    }

    #[test]
    fn who_was_away_too_long_or_knew_another_server_starts_over() {
        let bus = Bus::new(7);
        bus.send("head", &json!({}));
        let old = bus.last_id();
        for _ in 0..=KEPT {
            bus.send("head", &json!({}));
        }
        for stale in [old.as_str(), "8-1", "7-99999999", "nonsense", "7-"] {
            let missed = texts(&bus.subscribe(Some(stale)).missed);
            assert_eq!(missed.len(), 2, "{stale}");
            assert!(missed[1].contains("event: reset"), "{stale}");
        }
    }

    #[tokio::test]
    async fn everybody_gets_the_same_bytes() {
        let bus = Bus::new(1);
        let mut all: Vec<_> = (0..1_000).map(|_| bus.subscribe(None).next).collect();
        bus.send("activity", &json!({"n": 1}));
        let first = all[0].recv().await.unwrap();
        for other in &mut all[1..] {
            // the same allocation, not a copy
            assert_eq!(other.recv().await.unwrap().as_ptr(), first.as_ptr());
        }
    }
}
