//! Roles as a process: one mirror, its roles in turn, until told to stop.

use std::time::Duration;

use tokio::time::sleep;

use crate::{Act, Mirror, NodeError, Role};

/// Longest pause between two looks at a chain that cannot be reached.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What a runner has to tell.
#[derive(Debug)]
pub enum RunnerEvent<'a> {
    /// A role acted.
    Acted {
        /// Who.
        name: &'a str,
        /// What it did.
        act: &'a Act,
    },
    /// A role could not do its work; it will be asked again.
    Failed {
        /// Who.
        name: &'a str,
        /// Why.
        error: &'a NodeError,
    },
    /// The chain cannot be read; it will be asked again.
    Unreachable {
        /// Why.
        error: &'a NodeError,
    },
}

/// Ticks roles over one mirror. It may be killed at any point and started again.
pub struct Runner {
    mirror: Mirror,
    roles: Vec<Box<dyn Role>>,
    pause: Duration,
}

impl Runner {
    /// Roles that look at the chain every `pause` while there is nothing to do.
    pub fn new(mirror: Mirror, roles: Vec<Box<dyn Role>>, pause: Duration) -> Runner {
        Runner {
            mirror,
            roles,
            pause,
        }
    }

    /// Runs until `stop` resolves or `done` says so, which is asked after every round that could read the chain. An error
    /// that stays the same is told once.
    pub async fn run(
        &mut self,
        stop: impl Future<Output = ()>,
        done: impl Fn(&crate::Board) -> bool,
        mut tell: impl FnMut(RunnerEvent<'_>),
    ) {
        let mut stop = std::pin::pin!(stop);
        let mut told: Vec<String> = vec![String::new(); self.roles.len() + 1];
        let mut pause = self.pause;
        loop {
            let acted = tokio::select! {
                biased;
                () = &mut stop => return,
                acted = self.round(&mut told, &mut tell) => acted,
            };
            if acted.is_ok() && done(self.mirror.board()) {
                return;
            }
            pause = match acted {
                Ok(true) => continue,
                Ok(false) => self.pause,
                Err(()) => (2 * pause).min(PAUSE_MAX),
            };
            tokio::select! {
                () = &mut stop => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// One tick of every role; whether anybody acted. `Err`: the chain cannot be read.
    async fn round(
        &mut self,
        told: &mut [String],
        tell: &mut impl FnMut(RunnerEvent<'_>),
    ) -> Result<bool, ()> {
        let mut acted = false;
        for (i, role) in self.roles.iter_mut().enumerate() {
            let board = match self.mirror.refresh().await {
                Ok(board) => board,
                Err(error) => {
                    if let Some(last) = told.last_mut() {
                        once(last, &error, || {
                            tell(RunnerEvent::Unreachable { error: &error });
                        });
                    }
                    return Err(());
                }
            };
            let result = role.tick(board).await;
            let Some(last) = told.get_mut(i) else {
                continue;
            };
            match result {
                Ok(Some(act)) => {
                    acted = true;
                    last.clear();
                    let name = role.name();
                    tell(RunnerEvent::Acted { name, act: &act });
                }
                Ok(None) => last.clear(),
                Err(error) => once(last, &error, || {
                    let name = role.name();
                    tell(RunnerEvent::Failed {
                        name,
                        error: &error,
                    });
                }),
            }
        }
        if let Some(last) = told.last_mut() {
            last.clear();
        }
        Ok(acted)
    }
}

/// Tells an error that differs from the one told last.
fn once(last: &mut String, error: &NodeError, tell: impl FnOnce()) {
    let text = error.to_string();
    if *last != text {
        tell();
        *last = text;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use gavel_settlement::chain::Genesis;
    use gavel_settlement::{Deployment, Network, SharedChain};
    use tokio::sync::Notify;

    use super::*;
    use crate::{Address, Board};

    struct Idle;

    #[async_trait::async_trait]
    impl Role for Idle {
        fn name(&self) -> &str {
            "idle"
        }

        fn address(&self) -> Address {
            Address::ZERO
        }

        async fn tick(&mut self, _: &Board) -> Result<Option<Act>, NodeError> {
            Ok(None)
        }
    }

    #[tokio::test]
    async fn a_round_that_could_not_read_the_chain_is_no_look_at_it() {
        // a chain without the contracts, whose beacon cannot be asked
        let chain = SharedChain::in_memory(Genesis::default());
        let none = Address::ZERO;
        let deployment = Deployment {
            chain_id: 1,
            deploy_block: 0,
            numerics_version: 1,
            token: none,
            timelock: none,
            parameters: none,
            beacon: none,
            vault: none,
            pool: none,
            market: none,
            court: none,
            audits: none,
            appeal_levels: none,
            demands: none,
            traps: none,
        };
        let mirror = Mirror::new(Network::in_process(chain, deployment));
        let (unread, looks) = (Notify::new(), Cell::new(0));
        let mut runner = Runner::new(mirror, vec![Box::new(Idle)], Duration::ZERO);
        let done = |_: &Board| {
            looks.set(looks.get() + 1);
            true
        };
        runner
            .run(unread.notified(), done, |event| {
                assert!(matches!(event, RunnerEvent::Unreachable { .. }));
                unread.notify_one();
            })
            .await;
        assert_eq!(looks.get(), 0);
    }
}
