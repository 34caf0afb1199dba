//! One leader at a time.

use std::time::{Duration, Instant};

use gavel_state::{StateError, Store};
use tokio::time::{sleep, timeout};

/// Between two tries to become the leader.
const PAUSE: Duration = Duration::from_millis(500);

/// Resolves when this process leads: nobody else does, or whoever did has not held on for longer than it had said.
///
/// # Errors
/// The database fails.
pub async fn become_leader(store: &dyn Store, seconds: u32) -> Result<(), StateError> {
    while !store.hold(seconds).await? {
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Holds on, and resolves when that came to an end: another process has taken over, or could by now.
pub async fn keep_leading(store: &dyn Store, seconds: u32) -> StateError {
    let span = Duration::from_secs(seconds.into());
    let mut held = Instant::now();
    loop {
        sleep(span / 3).await;
        let asked = Instant::now();
        match timeout(span, store.hold(seconds)).await {
            Ok(Ok(_)) => held = asked,
            Ok(Err(error @ StateError::NotWriter { .. })) => return error,
            // what is wrong now may be right before the time is over
            Ok(Err(_)) | Err(_) if held.elapsed() < span => {}
            Ok(Err(error)) => return error,
            Err(_) => {
                return StateError::NotWriter {
                    place: store.place().to_owned(),
                    reason: format!("the server has not answered for {seconds} s"),
                };
            }
        }
    }
}
