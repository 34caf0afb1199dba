//! Vectors of sampling, and of the operators that keep the state between steps.

use gavel_numerics::Op;
use gavel_numerics::scalar::{exp, gumbel, max};
use serde_json::Value;

use super::case::{floats, integers, operator, values};
use super::language::{ids, word};
use super::rules::l32;

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

/// The parameters of a run as the operators read them.
#[derive(Clone, Copy)]
struct Parameters {
    prompt: i64,
    max_new: i64,
    seed: u64,
    temperature: f32,
    top_k: i64,
    top_p: f32,
    min_p: f32,
    penalties: [f32; 3],
}

impl Parameters {
    const GREEDY: Parameters = Parameters {
        prompt: 3,
        max_new: 4,
        seed: 0x1234_5678_9abc_def0,
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        penalties: [1.0, 0.0, 0.0],
    };

    fn words(&self) -> Value {
        let bits = |x: f32| i64::from(x.to_bits());
        let [repetition, frequency, presence] = self.penalties.map(bits);
        let mut words = vec![
            self.prompt,
            self.max_new,
            self.seed.cast_signed(),
            bits(self.temperature),
            self.top_k,
        ];
        words.extend([
            bits(self.top_p),
            bits(self.min_p),
            repetition,
            frequency,
            presence,
        ]);
        words.resize(16, 0);
        integers(&[16], &words)
    }
}

/// Sampling and the state between steps.
pub(crate) fn cases() -> Vec<Value> {
    let mut cases = penalties();
    cases.extend(filter());
    cases.extend(sample());
    cases.extend(state());
    cases
}

fn penalties() -> Vec<Value> {
    let logits = [2.0, -2.0, 1.0, -0.0, 0.5, INF, NAN, -1.0f32];
    let tokens = [0, 1, 0, 4, 6, 5, -1, 3];
    let penal = Parameters {
        penalties: [1.25, 0.1, 0.3],
        ..Parameters::GREEDY
    };
    let neutral = Parameters::GREEDY;
    let mut cases = Vec::new();
    for (p, position) in [
        (penal, 0),
        (penal, 2),
        (penal, 7),
        (penal, 8),
        (penal, -1),
        (neutral, 7),
    ] {
        let seen = tokens
            .len()
            .min((position as u64).saturating_add(1).min(99) as usize);
        let [repetition, frequency, presence] = p.penalties;
        let y: Vec<f32> = (0..)
            .zip(logits)
            .map(|(i, x)| {
                let count = tokens[..seen].iter().filter(|&&t| t == i).count();
                if count == 0 {
                    return x;
                }
                let x = if x < 0.0 {
                    x * repetition
                } else {
                    x / repetition
                };
                (x - count as f32 * frequency) - presence
            })
            .collect();
        let dims = [1, logits.len() as u64];
        let inputs = [
            floats(&dims, &logits),
            ids(&tokens),
            word(position),
            p.words(),
        ];
        let name = format!("Penalties {:?} at {position}", p.penalties);
        cases.push(operator(&name, &Op::Penalties, &inputs, floats(&dims, &y)));
    }
    cases
}

fn filter() -> Vec<Value> {
    let logits: Vec<f32> = values(70, 74).iter().map(|x| x * 6.0).collect();
    let ties = [1.0, 3.0, 3.0, -INF, 2.0, 3.0, -0.0];
    let warm = Parameters {
        temperature: 0.8,
        ..Parameters::GREEDY
    };
    let odd = [1.0, NAN, INF, 0.0];
    [
        (
            "cold",
            &logits[..],
            Parameters {
                top_k: 1,
                ..Parameters::GREEDY
            },
        ),
        (
            "a temperature below zero",
            &ties,
            Parameters {
                temperature: -1.0,
                ..warm
            },
        ),
        (
            "a temperature that is no number",
            &ties,
            Parameters {
                temperature: NAN,
                ..warm
            },
        ),
        ("none", &logits, warm),
        ("top-k", &logits, Parameters { top_k: 5, ..warm }),
        (
            "top-k of everything",
            &ties,
            Parameters { top_k: -1, ..warm },
        ),
        ("top-k among ties", &ties, Parameters { top_k: 2, ..warm }),
        ("top-p", &logits, Parameters { top_p: 0.7, ..warm }),
        ("top-p of nothing", &ties, Parameters { top_p: 0.0, ..warm }),
        (
            "top-p that is no number",
            &ties,
            Parameters { top_p: NAN, ..warm },
        ),
        ("min-p", &logits, Parameters { min_p: 0.1, ..warm }),
        (
            "all",
            &logits,
            Parameters {
                top_k: 20,
                top_p: 0.8,
                min_p: 0.02,
                ..warm
            },
        ),
        (
            "what is no number",
            &odd,
            Parameters {
                top_k: 1,
                top_p: 0.5,
                min_p: 0.5,
                ..warm
            },
        ),
        (
            "what is infinite",
            &odd[2..],
            Parameters {
                top_k: 1,
                top_p: 0.5,
                min_p: 0.5,
                ..warm
            },
        ),
    ]
    .map(|(name, logits, p)| {
        let dims = [1, logits.len() as u64];
        let inputs = [floats(&dims, logits), p.words()];
        operator(
            &format!("Filter: {name}"),
            &Op::Filter,
            &inputs,
            floats(&dims, &filtered(logits, &p)),
        )
    })
    .into()
}

fn filtered(logits: &[f32], p: &Parameters) -> Vec<f32> {
    let hot = 0.0 < p.temperature;
    if !hot {
        return logits.into();
    }
    let z: Vec<f32> = logits.iter().map(|x| x / p.temperature).collect();
    let largest = z.iter().fold(-INF, |m, &z| max(m, z));
    let weights: Vec<f32> = z.iter().map(|z| exp(z - largest)).collect();
    let sum = l32(&weights);
    let shares: Vec<f32> = weights.iter().map(|e| e / sum).collect();
    (0..z.len())
        .map(|i| {
            let greater = z.iter().filter(|&&other| z[i] < other).count() as u64;
            let likelier: Vec<f32> = shares
                .iter()
                .map(|&s| if shares[i] < s { s } else { 0.0 })
                .collect();
            let top_k = p.top_k == 0 || greater < p.top_k.cast_unsigned();
            let filters = p.top_p < 1.0;
            let top_p = !filters || l32(&likelier) < p.top_p;
            let unlikely = shares[i] < p.min_p * (1.0 / sum);
            if top_k && top_p && !unlikely {
                z[i]
            } else {
                -INF
            }
        })
        .collect()
}

fn sample() -> Vec<Value> {
    let logits: Vec<f32> = values(90, 75).iter().map(|x| x * 3.0).collect();
    let warm = Parameters {
        temperature: 1.0,
        ..Parameters::GREEDY
    };
    let mut cases = Vec::new();
    let mut case = |name: String, y: &[f32], position: i64, p: &Parameters| {
        let noisy: Vec<f32> = (0..)
            .zip(y)
            .map(|(i, y)| match 0.0 < p.temperature {
                true => y + gumbel(p.seed, position.cast_unsigned(), i),
                false => *y,
            })
            .collect();
        // N-13
        let mut found = 0;
        for (i, y) in noisy.iter().enumerate() {
            let best = noisy[found];
            if !best.is_nan() && (best < *y || y.is_nan()) {
                found = i;
            }
        }
        let inputs = [floats(&[1, y.len() as u64], y), word(position), p.words()];
        cases.push(operator(
            &format!("Sample: {name}"),
            &Op::Sample,
            &inputs,
            ids(&[found as i32]),
        ));
    };
    case("cold".to_owned(), &logits, 5, &Parameters::GREEDY);
    for position in 0..12 {
        case(format!("warm at {position}"), &logits, position, &warm);
    }
    case(
        "another seed".to_owned(),
        &logits,
        -1,
        &Parameters {
            seed: u64::MAX,
            ..warm
        },
    );
    case(
        "one token is left".to_owned(),
        &[-INF, -INF, 0.5, -INF],
        4,
        &warm,
    );
    case("none is left".to_owned(), &[-INF; 3], 4, &warm);
    case("a NaN".to_owned(), &[1.0, NAN, NAN], 4, &warm);
    case("ties".to_owned(), &[1.0, 2.0, 2.0], 4, &Parameters::GREEDY);
    cases
}

fn state() -> Vec<Value> {
    let tokens = [11, 12, 13, 14, -1, -1];
    let end = [7, 14];
    let p = Parameters::GREEDY;
    let mut cases = Vec::new();
    for position in [0, 1, 2, 4, 5, -1] {
        let next = position + 1;
        let mut found = tokens;
        if let Some(token) = found.get_mut(next as usize).filter(|_| next >= p.prompt) {
            *token = 99;
        }
        let inputs = [ids(&tokens), ids(&[99]), word(position), p.words()];
        cases.push(operator(
            &format!("AppendToken at {position}"),
            &Op::AppendToken,
            &inputs,
            ids(&found),
        ));
    }
    let long = Parameters { max_new: 100, ..p };
    let endless = Parameters { prompt: 100, ..p };
    let spent = Parameters { max_new: 0, ..p };
    for (name, stop, position, end, p, found) in [
        ("in the prompt", 0, 1, &end[..], p, 0),
        ("an end token", 0, 2, &end, p, 1),
        ("an end token in the prompt", 0, 0, &[12][..], p, 0),
        ("another token", 0, 3, &end, p, 0),
        ("no end tokens", 0, 2, &[], p, 0),
        (
            "enough tokens",
            0,
            2,
            &[],
            Parameters { max_new: 1, ..p },
            1,
        ),
        ("no token asked for", 0, 2, &[], spent, 1),
        ("a full context", 0, 4, &end, long, 1),
        ("a full context in the prompt", 0, 4, &end, endless, 1),
        ("a position beyond", 0, -2, &end, long, 1),
        ("stopped before", 1, 0, &end, p, 2),
        ("beyond the end", 2, 4, &end, p, 2),
    ] {
        let inputs = [
            word(stop),
            ids(&tokens),
            word(position),
            p.words(),
            ids(end),
        ];
        cases.push(operator(
            &format!("Stop: {name}"),
            &Op::Stop,
            &inputs,
            word(found),
        ));
    }
    for (position, next) in [(0, 1), (-1, 0), (i64::MAX, i64::MIN)] {
        cases.push(operator(
            &format!("Advance from {position}"),
            &Op::Advance,
            &[word(position)],
            word(next),
        ));
    }
    cases
}
