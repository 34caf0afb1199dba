//! `gavel provider calibrate`: what this machine takes for a task of a model, and what may be promised for it.

use std::time::{Duration, Instant};

use gavel_engine::{Engine, EngineOptions};
use gavel_model::Model;
use gavel_model::diffusion::Diffusion;
use gavel_model::llama::{self, CONFIG_ASSET, LanguageModel};
use gavel_node::board::MarketRules;
use gavel_node::{Board, EngineExecutor, Executor as _, Models};
use gavel_numerics::Tensor;
use gavel_numerics::kernels::SamplingParams;
use gavel_settlement::amount::exact;
use gavel_trace::Digest;
use serde_json::{Value, json};

use super::bench_trace::made_up_inputs_by;
use super::doctor::free_memory;
use super::{max_bytes, party};
use crate::args_setup::CalibrateArgs;
use crate::config;
use crate::failure::{Context as _, Exit, Failure};
use crate::files::{self, Servable};
use crate::network::block_on;
use crate::output::{DIM, Output, WARN, paint, time};
use crate::quote::{self, Cost, Spread};
use gavel_engine::resident::peak_bytes;

/// Deadline of tasks that say nothing else, where no network is asked.
const DEADLINE: u32 = 60;
/// Temperature of measured answers: a model that may say anything seldom ends early.
const TEMPERATURE: f32 = 1.0;

pub(crate) fn run(args: &CalibrateArgs, out: Output) -> Result<Exit, Failure> {
    let cost = Cost {
        per_hour: args.cost_per_hour,
        utilisation: args.utilisation,
        margin: args.margin,
    };
    let rules = rules(args);
    if let Err(why) = &rules {
        out.progress(format!("the network's rules are not known: {why}"));
    }
    let rules = rules.ok();
    let mut found = Vec::new();
    for name in &args.models {
        found.push(calibrated(name, args, cost, rules.as_ref(), out)?);
    }
    // one policy serves all models: the dearest price, the fewest tasks, the longest time
    let reserve = found.iter().map(|f| f.price).max().unwrap_or(0);
    let concurrency = found.iter().map(|f| f.concurrency).min().unwrap_or(1);
    let longest = found.iter().map(|f| f.longest).fold(0.0, f64::max);
    let least_exec = quote::needed_seconds(longest, concurrency);
    out.line("");
    out.facts(&[
        ("reserve", format!("{} tokens a task", exact(reserve))),
        (
            "concurrency",
            format!("{concurrency}; the runs of one provider follow each other"),
        ),
        (
            "least_exec",
            format!("{least_exec} s from claim to deadline"),
        ),
    ]);
    let written = match args.write {
        true => Some(write(reserve, concurrency, least_exec)?),
        false => None,
    };
    match &written {
        Some(path) => {
            out.facts(&[("written", path.clone())]);
            out.next("gavel provider run");
        }
        None => out.next("the same with --write puts these into the configuration"),
    }
    out.json(&json!({
        "models": found.iter().map(Calibrated::as_json).collect::<Vec<_>>(),
        "cost_per_hour": args.cost_per_hour.to_string(),
        "utilisation_percent": args.utilisation,
        "margin_percent": args.margin,
        "reserve": reserve.to_string(),
        "concurrency": concurrency,
        "least_exec_seconds": least_exec,
        "written": written,
    }))?;
    Ok(Exit::Done)
}

/// What a network allows, if there is one to ask.
fn rules(args: &CalibrateArgs) -> Result<MarketRules, String> {
    let asked = block_on(async {
        let network = party::network(&args.network).await?;
        let mirror = party::mirror(&network).await?;
        let board: &Board = mirror.board();
        let rules = board.newest_rules().map(|rules| rules.market.clone());
        rules.ok_or_else(|| Failure::new("the chain has none"))
    });
    asked.map_err(|failure| failure.text())
}

/// A model with its figures.
struct Calibrated {
    name: String,
    model_id: Digest,
    seconds: Spread,
    tokens: Option<Spread>,
    /// Seconds of the longest task that the model allows.
    longest: f64,
    /// Seconds that the price pays for: the median of such tasks.
    priced: f64,
    price: u128,
    concurrency: u32,
    deadline: u32,
    floor: Option<u64>,
    memory: Option<(u64, u64)>,
    threads: usize,
}

fn calibrated(
    name: &str,
    args: &CalibrateArgs,
    cost: Cost,
    rules: Option<&MarketRules>,
    out: Output,
) -> Result<Calibrated, Failure> {
    // of a family, the largest binding: what is promised holds for all
    let model = match files::servable(name)? {
        Servable::Model(model) => *model,
        Servable::Family(family) => {
            let last = family.model_ids().len().saturating_sub(1);
            family.binding(last as u32).at(name)?
        }
    };
    let mut options = EngineOptions::default();
    if let Some(threads) = args.engine.threads {
        options.threads = threads.into();
    }
    let engine = Engine::new(options).at("GAVEL_ISA")?;
    let threads = engine.threads();
    let tasks = Tasks::of(&model, name, max_bytes(args.engine))?;
    let mut models = Models::new();
    let model_id = models.add(model);
    // as a provider runs it: with its trace, and what a dispute may ask for kept
    let executor = EngineExecutor::new(engine, models).at(name)?;
    out.progress(format!("measuring {} tasks of {name}", args.runs));
    let before = peak_bytes();
    let (mut seconds, mut rates, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    // the first is not counted: it packs weights and warms caches
    for i in 0..=args.runs {
        let inputs = tasks.inputs(i.into())?;
        let start = Instant::now();
        let run = executor.run(&model_id, &inputs).at(name)?;
        let took = start.elapsed().as_secs_f64();
        if i == 0 {
            continue;
        }
        let steps = run.trace.steps();
        seconds.push(took);
        whole.push(tasks.longest(took, steps));
        if let Kind::Language { prompt, .. } = &tasks.kind {
            let answered = (steps as usize + 1).saturating_sub(*prompt).max(1);
            rates.push(answered as f64 / took.max(1e-9));
        }
    }
    let runs = u64::from(args.runs) + 1;
    let grown = before
        .zip(peak_bytes())
        .map(|(before, after)| after.saturating_sub(before) / runs);
    let memory = free_memory().zip(grown.map(|each| each.max(1 << 20)));
    let spread = |all| Spread::of(all).ok_or_else(|| Failure::new("nothing was measured"));
    let (seconds, whole) = (spread(seconds)?, spread(whole)?);
    let longest = whole.most;
    let floor = rules.map(|rules| tasks.work.div_ceil(rules.min_throughput.max(1)));
    // what `gavel task post` asks for where its user says nothing
    let deadline = rules.zip(floor).map_or(DEADLINE, |(rules, floor)| {
        let floor = u32::try_from(floor).unwrap_or(u32::MAX);
        floor.max(rules.exec_max / 10).max(1)
    });
    // of a task of full length: a bid is made before the length of an answer is known
    let price = quote::lowest_price(whole.median, cost);
    let found = Calibrated {
        name: name.to_owned(),
        model_id,
        tokens: Spread::of(rates),
        longest,
        priced: whole.median,
        price,
        concurrency: quote::concurrency(longest, deadline, memory),
        deadline,
        floor,
        memory,
        threads,
        seconds,
    };
    found.show(out);
    Ok(found)
}

impl Calibrated {
    fn show(&self, out: Output) {
        let seconds = |s: f64| time(Duration::try_from_secs_f64(s).unwrap_or_default());
        let spread = |s: &Spread, unit: &dyn Fn(f64) -> String| {
            let range = format!("{} to {}, {} runs", unit(s.least), unit(s.most), s.runs);
            format!("{} {}", unit(s.median), paint(DIM, range))
        };
        out.heading(&self.name);
        out.facts(&[
            ("model_id", self.model_id.to_string()),
            ("a task", spread(&self.seconds, &seconds)),
        ]);
        if let Some(tokens) = &self.tokens {
            out.facts(&[("answers", spread(tokens, &|n| format!("{n:.1} tokens/s")))]);
        }
        let threads = self.threads;
        out.facts(&[
            ("longest task", seconds(self.longest)),
            ("lowest price", format!("{} tokens", exact(self.price))),
            (
                "at once",
                format!(
                    "{} within {} s{}",
                    self.concurrency,
                    self.deadline,
                    paint(
                        DIM,
                        format!(
                            "  on {threads} thread{}",
                            if threads == 1 { "" } else { "s" }
                        )
                    )
                ),
            ),
        ]);
        let Some(floor) = self.floor else {
            return;
        };
        let left = 100.0 * quote::floor_reserve(self.longest, floor);
        let text = match left >= 0.0 {
            true => format!("{floor} s, met with {left:.1} % to spare"),
            false => paint(
                WARN,
                format!("{floor} s, not met: least_exec keeps such tasks away"),
            ),
        };
        out.facts(&[("floor", text)]);
    }

    fn as_json(&self) -> Value {
        let spread = |s: &Spread| json!({"runs": s.runs, "median": s.median, "least": s.least, "most": s.most});
        json!({
            "model": self.name,
            "model_id": self.model_id,
            "seconds": spread(&self.seconds),
            "tokens_per_second": self.tokens.as_ref().map(spread),
            "longest_seconds": self.longest,
            "priced_seconds": self.priced,
            "lowest_price": self.price.to_string(),
            "concurrency": self.concurrency,
            "deadline_seconds": self.deadline,
            "exec_floor_seconds": self.floor,
            "exec_floor_met": self.floor.map(|floor| quote::floor_reserve(self.longest, floor) >= 0.0),
            "exec_floor_reserve": self.floor.map(|floor| quote::floor_reserve(self.longest, floor)),
            "free_memory_bytes": self.memory.map(|(free, _)| free),
            "task_memory_bytes": self.memory.map(|(_, each)| each),
            "threads": self.threads,
        })
    }
}

/// Tasks of a model, each another one: an executor does not run the same twice.
struct Tasks {
    model: Model,
    kind: Kind,
    work: u64,
    most_bytes: u64,
}

enum Kind {
    Network,
    Language {
        prompt: usize,
        context: usize,
        vocabulary: u64,
    },
    Drawing(Diffusion),
}

impl Tasks {
    fn of(model: &Model, name: &str, most_bytes: u64) -> Result<Tasks, Failure> {
        let header = model.header();
        let speaks = header.max_steps > 1 && model.assets().contains_key(CONFIG_ASSET);
        let language = match speaks {
            true => LanguageModel::from_model(model.clone()).ok(),
            false => None,
        };
        let kind = match (language, Diffusion::of(model)) {
            (Some(language), _) => {
                let context = language.config.context as usize;
                Kind::Language {
                    // a question, and room for an answer behind it
                    prompt: (context / 4).max(1),
                    context,
                    vocabulary: language.config.vocabulary.into(),
                }
            }
            (None, Some(drawing)) => Kind::Drawing(drawing),
            (None, None) if header.max_steps == 1 => Kind::Network,
            (None, None) => {
                return Err(Failure::new(format!(
                    "{name} has {} steps and is no kind of model that tasks can be made up for",
                    header.max_steps
                )));
            }
        };
        Ok(Tasks {
            model: model.clone(),
            kind,
            work: header.work.saturating_mul(header.max_steps.into()),
            most_bytes,
        })
    }

    fn inputs(&self, index: u64) -> Result<Vec<Tensor>, Failure> {
        match &self.kind {
            Kind::Network => made_up_inputs_by(index, &self.model, self.most_bytes),
            Kind::Drawing(drawing) => drawing.task_inputs("", index).at("a task without words"),
            Kind::Language {
                prompt,
                context,
                vocabulary,
            } => {
                let token = |at: u64| {
                    let drawn = (index << 32 | at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
                    (drawn % (*vocabulary).max(1)) as i32
                };
                let tokens: Vec<i32> = (0..*prompt as u64).map(token).collect();
                let params = SamplingParams {
                    max_new_tokens: (context - prompt) as u64,
                    seed: index,
                    temperature: TEMPERATURE,
                    ..SamplingParams::default()
                };
                llama::task_inputs(&self.model, &tokens, params).at("a prompt")
            }
        }
    }

    /// Seconds of the longest task, by one that took so many steps.
    fn longest(&self, took: f64, steps: u32) -> f64 {
        match &self.kind {
            Kind::Language { context, .. } => took * *context as f64 / f64::from(steps.max(1)),
            _ => took,
        }
    }
}

/// Writes what this command owns of the configuration, and gives the file's place.
fn write(reserve: u128, concurrency: u32, least_exec: u32) -> Result<String, Failure> {
    let (path, _) = config::named().ok_or_else(|| {
        Failure::usage("there is no configuration file").expected("--config FILE")
    })?;
    let place = path.display().to_string();
    let text = match path.exists() {
        true => std::fs::read_to_string(&path).at(&place)?,
        false => {
            return Err(Failure::new(format!("{place}: there is no such file"))
                .ends(Exit::Config)
                .hint("gavel provider init, or gavel config init"));
        }
    };
    let keys = [
        ("reserve", toml::Value::String(exact(reserve))),
        ("concurrency", toml::Value::Integer(concurrency.into())),
        ("least_exec", toml::Value::Integer(least_exec.into())),
    ];
    let edited = config::edit::with_keys(&text, "provider", &keys).ok_or_else(|| {
        let lines = keys.iter().map(|(key, value)| format!("{key} = {value}"));
        Failure::new(format!(
            "{place} is written in a way that is not changed safely"
        ))
        .ends(Exit::Config)
        .expected(format!(
            "by hand, under [provider]: {}",
            lines.collect::<Vec<_>>().join(", ")
        ))
    })?;
    // whole or not at all
    let new = path.with_extension("toml.new");
    files::write(&new, edited.as_bytes())?;
    let mode = std::fs::metadata(&path).at(&place)?.permissions();
    std::fs::set_permissions(&new, mode).at(&place)?;
    std::fs::rename(&new, &path).at(&place)?;
    Ok(place)
}
