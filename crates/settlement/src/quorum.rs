//! Several nodes of one chain: writes go to all of them, reads to one that answers, and what a decision about money rests on
//! is asked of all.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task;
use std::time::Duration;

use alloy::eips::BlockId;
use alloy::primitives::{Address, B256, Bytes};
use alloy::providers::{DynProvider, Provider as _, RootProvider};
use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{RequestPacket, ResponsePacket};
use alloy::rpc::types::TransactionRequest;
use alloy::transports::{BoxTransport, TransportError, TransportErrorKind, TransportFut};
use tower::Service as _;

use crate::network::Head;
use crate::transport::{SENDING, has_it, is_lost};

/// Longest that one node may take where several are asked.
const ANSWER_MOST: Duration = Duration::from_secs(10);

/// A node, by a name that can be shown: addresses may hold keys.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Scheme, host and port.
    pub name: String,
    transport: BoxTransport,
    provider: DynProvider,
}

impl Witness {
    /// A node behind a transport.
    pub fn new(name: impl Into<String>, transport: BoxTransport) -> Witness {
        let client = RpcClient::new(transport.clone(), false);
        Witness {
            name: name.into(),
            transport,
            provider: RootProvider::new(client).erased(),
        }
    }
}

/// Nodes that should tell the same.
#[derive(Debug)]
pub(crate) struct Quorum {
    witnesses: Vec<Witness>,
    /// Who answered last, and told nothing else than the majority.
    preferred: AtomicUsize,
    disagreements: AtomicU64,
}

/// Fewer than a majority of the nodes tell the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Disagreement {
    /// What was asked.
    pub what: String,
    /// Nodes and their answers; no answer is one of its own kind.
    pub answers: Vec<(String, String)>,
    /// How many have to agree.
    pub needed: usize,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the nodes do not agree about {}, {} of {} must:",
            self.what,
            self.needed,
            self.answers.len()
        )?;
        for (i, (name, answer)) in self.answers.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma} {name} says {answer}")?;
        }
        write!(f, "; nothing that costs stake is sent until they do")
    }
}

/// What a decision rests on: a question to a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The contract.
    pub to: Address,
    /// The call.
    pub data: Bytes,
    /// What is asked, for people.
    pub what: String,
}

/// What a majority answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the contract returns.
    pub data: Bytes,
    /// All nodes and their answers, as in a [`Disagreement`].
    pub said: Vec<(String, String)>,
    /// How many had to agree.
    pub needed: usize,
}

impl Quorum {
    pub(crate) fn new(witnesses: Vec<Witness>) -> Quorum {
        Quorum {
            witnesses,
            preferred: AtomicUsize::new(0),
            disagreements: AtomicU64::new(0),
        }
    }

    /// A majority.
    fn needed(&self) -> usize {
        self.witnesses.len() / 2 + 1
    }

    pub(crate) fn disagreements(&self) -> u64 {
        self.disagreements.load(Ordering::Relaxed)
    }

    /// What a majority of the nodes answers to these questions at a block that they agree on.
    pub(crate) async fn confirm(
        &self,
        head: Head,
        questions: &[Question],
    ) -> Result<Vec<Answer>, Disagreement> {
        let hash = |provider: DynProvider| async move {
            let block = provider.get_block_by_number(head.number.into()).await;
            match block {
                Ok(Some(block)) => Ok(block.header.hash),
                Ok(None) => Err("it has no such block".to_owned()),
                Err(error) => Err(told(&error)),
            }
        };
        let what = format!("block {}", head.number);
        let (agreed, said): (B256, _) = self.agreed(&what, hash).await?;
        if agreed != head.hash {
            return Err(self.count(Disagreement {
                what: format!(
                    "{what}, which is {} where it was decided and {agreed} for the majority",
                    head.hash
                ),
                answers: said,
                needed: self.needed(),
            }));
        }
        let mut answers = Vec::with_capacity(questions.len());
        for question in questions {
            let ask = |provider: DynProvider| async move {
                let request = TransactionRequest::default()
                    .to(question.to)
                    .input(question.data.clone().into());
                // by number: not every node takes hashes here, and the block was agreed on
                let at = BlockId::number(head.number);
                let answer = provider.call(request).block(at).await;
                answer.map_err(|error| told(&error))
            };
            let what = format!("{} at block {}", question.what, head.number);
            let (data, said) = self.agreed(&what, ask).await?;
            answers.push(Answer {
                data,
                said,
                needed: self.needed(),
            });
        }
        Ok(answers)
    }

    /// The median of the nodes' counts of an address's transactions, those that wait for a block included: of two the
    /// lower one, since a nonce that is used already does no harm, and one that is too high waits for ever.
    pub(crate) async fn count_of(&self, address: Address) -> Result<u64, TransportError> {
        let asked = self.witnesses.iter().map(|witness| {
            let provider = witness.provider.clone();
            async move {
                let count = async { provider.get_transaction_count(address).pending().await };
                let count = tokio::time::timeout(ANSWER_MOST, count).await;
                count.unwrap_or_else(|_| Err(TransportErrorKind::custom_str("no answer in time")))
            }
        });
        let mut counts = Vec::new();
        let mut last = Err(TransportErrorKind::custom_str("there is no node"));
        for answer in joined(asked.collect()).await {
            match answer {
                Ok(count) => counts.push(count),
                lost => last = lost,
            }
        }
        counts.sort_unstable();
        let median = counts.get(counts.len().saturating_sub(1) / 2);
        median.map_or(last, |median| Ok(*median))
    }

    /// Asks all; the answer of a majority, and who says what.
    async fn agreed<T, F>(
        &self,
        what: &str,
        ask: impl Fn(DynProvider) -> F,
    ) -> Result<(T, Vec<(String, String)>), Disagreement>
    where
        T: PartialEq + fmt::Display + Clone,
        F: Future<Output = Result<T, String>>,
    {
        let asked = self.witnesses.iter().map(|witness| {
            let answer = ask(witness.provider.clone());
            async move {
                let answer = tokio::time::timeout(ANSWER_MOST, answer).await;
                answer.unwrap_or_else(|_| Err("nothing in time".to_owned()))
            }
        });
        let answers = joined(asked.collect()).await;
        let votes = |of: &T| answers.iter().filter(|a| a.as_ref() == Ok(of)).count();
        let found = answers.iter().flatten().find(|a| votes(a) >= self.needed());
        let said = answers.iter().map(|answer| match answer {
            Ok(answer) => shortened(&answer.to_string()),
            Err(error) => format!("nothing ({})", shortened(error)),
        });
        let names = self.witnesses.iter().map(|w| w.name.clone());
        let said = names.zip(said).collect();
        let Some(found) = found else {
            return Err(self.count(Disagreement {
                what: what.to_owned(),
                answers: said,
                needed: self.needed(),
            }));
        };
        // who lags or lies is not asked first any more
        let agrees = |answer: &Result<T, String>| answer.as_ref() == Ok(found);
        let preferred = answers.get(self.preferred.load(Ordering::Relaxed));
        if !preferred.is_some_and(agrees)
            && let Some(other) = answers.iter().position(agrees)
        {
            self.preferred.store(other, Ordering::Relaxed);
        }
        Ok((found.clone(), said))
    }

    pub(crate) fn count(&self, disagreement: Disagreement) -> Disagreement {
        self.disagreements.fetch_add(1, Ordering::Relaxed);
        disagreement
    }

    /// The first answer of a node that answers; it is asked first the next time.
    async fn read(&self, packet: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let (first, count) = (self.preferred.load(Ordering::Relaxed), self.witnesses.len());
        let mut last = Err(TransportErrorKind::custom_str("there is no node"));
        for i in 0..count {
            let at = (first + i) % count;
            let Some(witness) = self.witnesses.get(at) else {
                continue;
            };
            last = asked(witness, packet.clone()).await;
            if !is_lost(&last) {
                self.preferred.store(at, Ordering::Relaxed);
                return last;
            }
        }
        last
    }

    /// Tells all; the best of their answers. What one has taken is on its way.
    async fn write(&self, packet: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let told = self.witnesses.iter();
        let told = told.map(|witness| asked(witness, packet.clone()));
        let answers = joined(told.collect()).await;
        let is_taken = |answer: &Result<ResponsePacket, TransportError>| {
            answer.as_ref().is_ok_and(|packet| {
                let mut errors = packet.iter_errors();
                errors.all(|error| has_it(&error.message))
            })
        };
        // a refusal of few is no refusal where others did not answer: they may have taken it
        let refused = answers.iter().filter(|a| !is_taken(a) && !is_lost(a));
        let is_refused = refused.count() >= self.needed();
        let wanted = |answer: &Result<ResponsePacket, TransportError>| match is_refused {
            true => !is_lost(answer),
            false => is_lost(answer),
        };
        let (mut taken, rest): (Vec<_>, Vec<_>) = answers.into_iter().partition(is_taken);
        match taken.pop() {
            Some(taken) => Ok(taken?),
            None => rest.into_iter().find(wanted).unwrap_or_else(|| {
                Err(TransportErrorKind::custom_str(
                    "fewer than a majority of the nodes answered",
                ))
            }),
        }
    }
}

async fn asked(witness: &Witness, packet: RequestPacket) -> Result<ResponsePacket, TransportError> {
    let mut transport = witness.transport.clone();
    let answer = async {
        std::future::poll_fn(|context| transport.poll_ready(context)).await?;
        transport.call(packet).await
    };
    match tokio::time::timeout(ANSWER_MOST, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(TransportErrorKind::custom_str("no answer in time")),
    }
}

/// All at once, in order.
async fn joined<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut is_pending = false;
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    task::Poll::Ready(done) => *output = Some(done),
                    task::Poll::Pending => is_pending = true,
                }
            }
        }
        match is_pending {
            true => task::Poll::Pending,
            false => task::Poll::Ready(()),
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// An error without the address that the HTTP client puts into it.
fn told(error: &TransportError) -> String {
    let text = error.to_string();
    let told = text.split(" for url").next().unwrap_or_default();
    told.to_owned()
}

/// Enough of an answer to tell it from another: the beginning, and a digest of what is longer.
fn shortened(answer: &str) -> String {
    match answer.get(..80) {
        Some(start) if answer.len() > 80 => {
            let digest = alloy::primitives::keccak256(answer);
            format!("{start}… ({} characters, keccak {digest})", answer.len())
        }
        _ => answer.to_owned(),
    }
}

/// The transport over all of them.
#[derive(Clone, Debug)]
pub(crate) struct ToAll(pub(crate) Arc<Quorum>);

impl tower::Service<RequestPacket> for ToAll {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), TransportError>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> TransportFut<'static> {
        let quorum = Arc::clone(&self.0);
        Box::pin(async move {
            match packet.requests().iter().any(|r| r.method() == SENDING) {
                true => quorum.write(packet).await,
                false => quorum.read(packet).await,
            }
        })
    }
}
