//! A gateway over a network that is made up: it answers every task with the same words.
#![allow(dead_code, reason = "each file of tests uses a part")]

pub(crate) mod openapi;
mod schema;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use gavel_gateway::{
    Access, Answer, ApiKey, Desk, Gateway, Identity, Journal, KeyFile, Network, NetworkError,
    Nonces, Options, Prices, Served, TaskView, Wanted, router,
};
use gavel_model::diffusion::Diffusion;
use gavel_model::gguf::Gguf;
use gavel_model::llama::{ImportOptions, from_gguf, roles::TOKENS, tokens_of};
use gavel_model::{Hashing, Model, shipped};
use gavel_node::board::TaskState;
use gavel_node::{
    Address, B256, LanguageText, Models, Outputs, RECEIPT_FORMAT, ReceiptFile, SignedReceipt,
    input_digest,
};
use gavel_numerics::Tensor;
use gavel_settlement::WalletVerdict;
use gavel_settlement::account::dev_key;
use gavel_text::Special;
use gavel_trace::{Digest, HexBytes};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

/// What the made-up providers say.
pub(crate) const WORDS: &str = " there was a queen\u{2019}s cat. It ran.";
/// Tokens of the model's context.
pub(crate) const CONTEXT: u32 = 96;
/// The gateway as its clients sign it.
pub(crate) const IDENTITY: Identity = Identity {
    chain_id: 31337,
    market: Address::repeat_byte(0x11),
    gateway: Address::repeat_byte(0x22),
};
/// An account that is a contract.
pub(crate) const WALLET: Address = Address::repeat_byte(0x33);
/// What it signs with.
pub(crate) const WALLET_SIGNATURE: &[u8] = b"a proof of its own";
pub(crate) const PRICES: Prices = Prices {
    min: 1,
    max: 10,
    levy: 2,
};

/// What becomes of tasks that are posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Committed,
    Settled,
    Open,
    Expired,
    Refused,
    Unreachable,
    /// It is posted, and nobody is told.
    Doubtful,
    /// It comes later, if [`Fake::arrive`] is called, and nobody is told.
    Lost,
    /// The last task is found to be it, once.
    Resumed,
}

struct Task {
    wanted: Wanted,
    digest: Digest,
    fate: Fate,
}

pub(crate) struct Fake {
    models: Models,
    tasks: Mutex<Vec<Task>>,
    pub(crate) fate: Mutex<Fate>,
    /// Posts that go well before the fate is theirs.
    first: Mutex<usize>,
    lost: Mutex<Vec<Wanted>>,
    /// Whether contracts cannot be asked.
    pub(crate) is_cut_off: AtomicBool,
    head: watch::Sender<u64>,
}

impl Fake {
    pub(crate) fn new() -> Arc<Fake> {
        let mut models = Models::new();
        models.add(language());
        models.add(shipped::load("diffusion").unwrap());
        Arc::new(Fake {
            models,
            tasks: Mutex::default(),
            fate: Mutex::new(Fate::Committed),
            first: Mutex::default(),
            lost: Mutex::default(),
            is_cut_off: AtomicBool::new(false),
            head: watch::Sender::new(1),
        })
    }

    pub(crate) fn become_of_new(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
    }

    /// So many are posted, and what becomes of those after them is this.
    pub(crate) fn become_of_new_after(&self, first: usize, fate: Fate) {
        *self.first.lock().unwrap() = first;
        self.become_of_new(fate);
    }

    /// Changes what has become of all tasks.
    pub(crate) fn become_of_all(&self, fate: Fate) {
        self.tasks
            .lock()
            .unwrap()
            .iter_mut()
            .for_each(|task| task.fate = fate);
        self.head.send_modify(|head| *head += 1);
    }

    /// Changes what has become of one task.
    pub(crate) fn become_of(&self, id: u64, fate: Fate) {
        self.tasks.lock().unwrap()[id as usize - 1].fate = fate;
        self.head.send_modify(|head| *head += 1);
    }

    /// What was lost is in the chain now.
    pub(crate) fn arrive(&self) {
        for wanted in self.lost.lock().unwrap().drain(..) {
            self.put(wanted, Fate::Committed);
        }
    }

    fn put(&self, wanted: Wanted, fate: Fate) -> u64 {
        let digest = input_digest(&self.model(&wanted.model).unwrap(), &wanted.inputs).unwrap();
        let mut tasks = self.tasks.lock().unwrap();
        tasks.push(Task {
            wanted,
            digest,
            fate,
        });
        tasks.len() as u64
    }

    pub(crate) fn posted(&self) -> usize {
        self.tasks.lock().unwrap().len()
    }

    fn served(&self) -> Vec<Served> {
        let ids: Vec<_> = self.models.ids().copied().collect();
        let model = |id| Arc::clone(self.models.get(id).unwrap());
        let of = |model: Arc<Model>| {
            let name = match Diffusion::of(&model) {
                Some(_) => "diffusion",
                None => "llm@96",
            };
            Served::model(name, model, None).unwrap()
        };
        ids.iter().map(model).map(of).collect()
    }
}

fn language() -> Model {
    let file = Gguf::parse(shipped::language_file("llm").unwrap()).unwrap();
    let mut options = ImportOptions::default();
    options.context = Some(CONTEXT);
    let read = Hashing::quiet(|hashing| from_gguf(&file, &options, hashing));
    read.unwrap().model
}

/// What a run would have given if the model had said [`WORDS`].
fn outputs(model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut outputs = inputs.to_vec();
    if Diffusion::of(model).is_some() {
        return outputs;
    }
    let text = LanguageText::of(model).unwrap();
    let (prompt, _) = tokens_of(inputs).unwrap();
    let most = gavel_model::llama::params_of(inputs)
        .unwrap()
        .max_new_tokens as usize;
    let mut said = text.tokenizer().encode(WORDS, Special::AsText).unwrap();
    said.extend(text.tokenizer().eos());
    said.truncate(most);
    let slot = &inputs[TOKENS];
    let mut raw: Vec<u64> = (0..slot.len()).map(|i| slot.raw(i).unwrap()).collect();
    for (place, token) in raw[prompt.len()..].iter_mut().zip(said) {
        *place = token.into();
    }
    outputs[TOKENS] = Tensor::from_raw(slot.ty().clone(), &raw).unwrap();
    outputs
}

#[async_trait]
impl Network for Fake {
    async fn post(&self, wanted: &Wanted) -> Result<u64, NetworkError> {
        let mut fate = *self.fate.lock().unwrap();
        let mut first = self.first.lock().unwrap();
        if *first > 0 {
            (*first, fate) = (*first - 1, Fate::Committed);
        }
        let doubtful = || Err(NetworkError::Doubtful("no receipt".to_owned()));
        match fate {
            Fate::Refused => return Err(NetworkError::Refused("no tokens".to_owned())),
            Fate::Unreachable => return Err(NetworkError::Unreachable("no chain".to_owned())),
            Fate::Lost => {
                self.lost.lock().unwrap().push(wanted.clone());
                return doubtful();
            }
            Fate::Resumed => {
                self.become_of_new(Fate::Committed);
                return Ok(self.posted() as u64);
            }
            _ => {}
        }
        let task = self.put(wanted.clone(), fate);
        match fate {
            Fate::Doubtful => doubtful(),
            _ => Ok(task),
        }
    }

    async fn heard(&self) {}

    fn task(&self, id: u64) -> Option<TaskView> {
        let tasks = self.tasks.lock().unwrap();
        let task = tasks.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
        Some(TaskView {
            state: match task.fate {
                Fate::Committed => TaskState::Committed,
                Fate::Settled => TaskState::Settled,
                Fate::Expired => TaskState::Expired,
                _ => TaskState::Open,
            },
            attempt: 0,
            model: task.wanted.model,
            provider: Some(Address::repeat_byte(7)),
            price: 3,
            levy: PRICES.levy,
            has_result: matches!(task.fate, Fate::Committed | Fate::Settled),
            challenge_until: Some(1_800_000_000),
        })
    }

    fn posted(&self, input_digest: &Digest, seed: u64) -> Vec<u64> {
        let tasks = self.tasks.lock().unwrap();
        let is = |task: &Task| task.digest == *input_digest && task.wanted.seed == seed;
        (1..)
            .zip(tasks.iter())
            .filter(|(_, task)| is(task))
            .map(|(id, _)| id)
            .collect()
    }

    async fn answer(&self, id: u64) -> Result<Option<Answer>, NetworkError> {
        if !self.task(id).is_some_and(|task| task.has_result) {
            return Ok(None);
        }
        let tasks = self.tasks.lock().unwrap();
        let task = &tasks[id as usize - 1];
        let model = self.model(&task.wanted.model).unwrap();
        let receipt = SignedReceipt {
            chain_id: 1,
            market: HexBytes(vec![1; 20]),
            task_id: id,
            attempt: 0,
            class_id: model.model_id(),
            model_id: model.model_id(),
            input_digest: task.digest,
            output_digest: Digest([2; 32]),
            trace_root: Digest([3; 32]),
            steps: 1,
            provider: HexBytes(vec![7; 20]),
            signature: HexBytes(vec![0; 65]),
        };
        let tensors = outputs(&model, &task.wanted.inputs);
        let outputs = Outputs {
            tensors,
            rest: Vec::new(),
        };
        Ok(Some(Answer { outputs, receipt }))
    }

    async fn receipt_file(&self, id: u64) -> Result<Option<ReceiptFile>, NetworkError> {
        let answer = self.answer(id).await?;
        let inputs = &self.tasks.lock().unwrap()[id as usize - 1].wanted.inputs;
        Ok(answer.map(|answer| {
            let file = ReceiptFile::new(answer.receipt, inputs, &answer.outputs);
            assert_eq!(file.format, RECEIPT_FORMAT);
            file
        }))
    }

    fn block(&self) -> u64 {
        *self.head.borrow()
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    fn model(&self, id: &Digest) -> Option<Arc<Model>> {
        self.models.get(id).cloned()
    }

    fn prices(&self) -> Prices {
        PRICES
    }

    fn identity(&self) -> Identity {
        IDENTITY
    }

    async fn wallet_says(
        &self,
        wallet: Address,
        _: B256,
        signature: &[u8],
    ) -> Result<WalletVerdict, NetworkError> {
        if self.is_cut_off.load(Ordering::SeqCst) {
            return Err(NetworkError::Unreachable("no chain".to_owned()));
        }
        Ok(match wallet == WALLET {
            true if signature == WALLET_SIGNATURE => WalletVerdict::Accepted,
            true => WalletVerdict::Refused,
            false => WalletVerdict::NoWallet,
        })
    }
}

/// A gateway in a folder, with the keys "ann" (a budget of 100), "bob" and "slow" (two requests a minute), and the accounts
/// "dora" (a budget of 100), "wallet" (a contract) and "rare" (one request a minute).
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) fake: Arc<Fake>,
    pub(crate) router: axum::Router,
    pub(crate) keys: Vec<String>,
}

pub(crate) fn options() -> Options {
    Options {
        wait: Duration::from_secs(60),
        max_body: 64 << 10,
        // deadlines outlast a slow machine
        horizon: Duration::from_secs(3600),
        ..Options::default()
    }
}

impl World {
    pub(crate) fn new(options: Options) -> World {
        let folder = tempfile::tempdir().unwrap();
        let mut file = KeyFile::default();
        let key = |(name, budget, rate): (&str, Option<&str>, u32)| ApiKey {
            name: name.to_owned(),
            sha256: None,
            account: None,
            budget: budget.map(str::to_owned),
            requests_per_minute: rate,
            max_concurrent: 8,
        };
        let all = [
            ("ann", Some("100"), 1000),
            ("bob", None, 1_000_000),
            ("slow", None, 2),
        ];
        let keys = all
            .into_iter()
            .map(|of| file.add(key(of)).unwrap())
            .collect();
        let accounts = [
            ("dora", Some("100"), 1000, dev_key("dora", 0).address()),
            ("wallet", None, 1000, WALLET),
            ("rare", None, 1, dev_key("rare", 0).address()),
        ];
        for (name, budget, rate, account) in accounts {
            file.add_account(key((name, budget, rate)), account)
                .unwrap();
        }
        file.save(&folder.path().join("keys.json")).unwrap();
        let fake = Fake::new();
        let router = start(folder.path(), &fake, options);
        World {
            folder,
            fake,
            router,
            keys,
        }
    }

    /// The same files and chain, another process.
    pub(crate) fn restart(&mut self) {
        // the journal is closed first
        self.router = axum::Router::new();
        self.router = start(self.folder.path(), &self.fake, options());
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Said {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let said = Said {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        };
        // whatever a test is about, what it was told is in the document
        let path = uri.path();
        openapi::check(
            method.as_str(),
            path,
            said.status,
            &said.headers,
            &said.text,
        );
        said
    }

    pub(crate) fn request(
        &self,
        key: usize,
        method: &str,
        path: &str,
    ) -> axum::http::request::Builder {
        let bearer = format!("Bearer {}", self.keys[key]);
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, bearer)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Said {
        let request = self
            .request(1, "POST", path)
            .body(Body::from(body.to_string()));
        self.send(request.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Said {
        self.send(self.request(1, "GET", path).body(Body::empty()).unwrap())
            .await
    }
}

fn start(folder: &Path, fake: &Arc<Fake>, options: Options) -> axum::Router {
    let journal = Journal::open(&folder.join("journal")).unwrap();
    start_with(journal, folder, fake, options)
}

/// A gateway that remembers in this journal.
pub(crate) fn start_with(
    journal: Journal,
    folder: &Path,
    fake: &Arc<Fake>,
    options: Options,
) -> axum::Router {
    let network: Arc<dyn Network> = Arc::clone(fake) as Arc<dyn Network>;
    let desk = Desk::new(network, journal).unwrap();
    start_desk(desk, folder, fake, options)
}

/// A gateway with this desk.
pub(crate) fn start_desk(
    desk: Desk,
    folder: &Path,
    fake: &Arc<Fake>,
    options: Options,
) -> axum::Router {
    let network: Arc<dyn Network> = Arc::clone(fake) as Arc<dyn Network>;
    let nonces = Nonces::open(&folder.join("nonces")).unwrap();
    let access = Access::keys(&folder.join("keys.json"), nonces).unwrap();
    router(Arc::new(Gateway::new(
        network,
        Arc::new(desk),
        fake.served(),
        access,
        options,
    )))
}

/// An answer.
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }

    /// Status, code and param of an error.
    pub(crate) fn error(&self) -> (u16, String, Option<String>) {
        let error = &self.json()["error"];
        assert!(
            error["message"].is_string() && error["type"].is_string(),
            "{error}"
        );
        let text = |name: &str| error[name].as_str().map(str::to_owned);
        (self.status.as_u16(), text("code").unwrap(), text("param"))
    }

    /// The data of a stream's events.
    pub(crate) fn events(&self) -> Vec<String> {
        let data = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        data.map(str::to_owned).collect()
    }
}

/// A question to the language model.
pub(crate) fn question() -> Value {
    json!({"model": "llm@96", "messages": [{"role": "user", "content": "A cat?"}], "seed": 7})
}
