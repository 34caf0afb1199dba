//! A connection that loses answers: the request had its effect, and the asker does not hear of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::task;
use std::time::Duration;

use gavel_settlement::alloy::rpc::client::RpcClient;
use gavel_settlement::alloy::rpc::json_rpc::{RequestPacket, ResponsePacket};
use gavel_settlement::alloy::transports::{TransportError, TransportErrorKind, TransportFut};
use gavel_settlement::transport::InProcess;
use gavel_settlement::{Endpoint, Patience, SharedChain};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

/// Stream of the seed that losses are drawn from.
const STREAM: u64 = 3;

#[derive(Clone, Debug)]
struct Lossy {
    inner: InProcess,
    lost_ppm: u32,
    dice: Arc<Mutex<ChaCha12Rng>>,
}

/// An endpoint of the embedded chain that loses this share of the answers, in parts per million. What it loses
/// follows from the seed and the order of the requests.
pub(crate) fn endpoint(chain: SharedChain, lost_ppm: u32, seed: u64) -> Endpoint {
    let mut dice = ChaCha12Rng::seed_from_u64(seed);
    dice.set_stream(STREAM);
    let lossy = Lossy {
        inner: InProcess::new(chain),
        lost_ppm,
        dice: Arc::new(Mutex::new(dice)),
    };
    // virtual time does not pass while somebody waits for an answer, so nobody waits long
    Endpoint::over(RpcClient::new(lossy, true)).with_patience(Patience {
        pause: Duration::ZERO,
        pause_max: Duration::ZERO,
        ..Patience::default()
    })
}

impl tower::Service<RequestPacket> for Lossy {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(
        &mut self,
        context: &mut task::Context<'_>,
    ) -> task::Poll<Result<(), TransportError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, packet: RequestPacket) -> TransportFut<'static> {
        // the chain has executed it when this returns
        let answer = self.inner.call(packet);
        let lost = {
            let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
            dice.random_ratio(self.lost_ppm.min(1_000_000), 1_000_000)
        };
        if lost {
            let error = TransportErrorKind::custom_str("the answer was lost");
            return Box::pin(std::future::ready(Err(error)));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_settlement::alloy::providers::Provider as _;
    use gavel_settlement::chain::Genesis;

    #[tokio::test]
    async fn losses_follow_from_the_seed_and_have_their_share() {
        let lost = async |seed| {
            let chain = SharedChain::in_memory(Genesis::default());
            let endpoint = endpoint(chain, 250_000, seed);
            let mut lost = Vec::new();
            for _ in 0..200 {
                lost.push(endpoint.provider().get_block_number().await.is_err());
            }
            lost
        };
        let once = lost(1).await;
        assert_eq!(once, lost(1).await);
        assert_ne!(once, lost(2).await);
        let share = once.iter().filter(|lost| **lost).count();
        assert!((25..75).contains(&share), "{share} of 200");
    }
}
