//! Recurrent layers, written out step by step: the inputs' share of all steps is one product, each step adds its state's.

use gavel_numerics::DType;
use gavel_numerics::element::{Builder, Extra, Value as Word};

use super::Value;
use super::functions as f;
use super::lower::Lowering;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &["GRU", "LSTM", "RNN"];

/// An activation with its parameters.
#[derive(Clone)]
struct Activation {
    name: String,
    alpha: Option<f32>,
    beta: Option<f32>,
}

impl Activation {
    fn apply(&self, l: &Lowering<'_, '_>, p: &mut Builder, x: Word) -> Result<Word, ModelError> {
        let (zero, one) = (p.float(0.0), p.float(1.0));
        let alpha = |p: &mut Builder, default: f32| p.float(self.alpha.unwrap_or(default));
        let beta = |p: &mut Builder, default: f32| p.float(self.beta.unwrap_or(default));
        Ok(match self.name.to_ascii_lowercase().as_str() {
            "sigmoid" => p.function(Extra::Sigmoid, x),
            "tanh" => p.function(Extra::Tanh, x),
            "relu" => p.fmax(x, zero),
            "affine" => {
                let (a, b) = (alpha(p, 1.0), beta(p, 0.0));
                let scaled = p.fmul(a, x);
                p.fadd(scaled, b)
            }
            "leakyrelu" => {
                let a = alpha(p, 0.01);
                let (scaled, negative) = (p.fmul(a, x), p.fless(x, zero));
                p.select(negative, scaled, x)
            }
            "thresholdedrelu" => {
                let a = alpha(p, 1.0);
                let above = p.fless(a, x);
                p.select(above, x, zero)
            }
            "scaledtanh" => {
                let (a, b) = (alpha(p, 1.0), beta(p, 1.0));
                let scaled = p.fmul(b, x);
                let tanh = p.function(Extra::Tanh, scaled);
                p.fmul(a, tanh)
            }
            "hardsigmoid" => {
                let (a, b) = (alpha(p, 0.2), beta(p, 0.5));
                let scaled = p.fmul(a, x);
                let line = p.fadd(scaled, b);
                let below = p.fmin(line, one);
                p.fmax(below, zero)
            }
            "elu" => {
                let a = alpha(p, 1.0);
                let power = f::exp(p, x);
                let less = p.fsub(power, one);
                let (scaled, negative) = (p.fmul(a, less), p.fless(x, zero));
                p.select(negative, scaled, x)
            }
            "softsign" => {
                let magnitude = f::abs(p, x);
                let below = p.fadd(magnitude, one);
                p.fdiv(x, below)
            }
            "softplus" => f::softplus(p, x),
            _ => return Err(l.fail(format!("activation {:?} is not known", self.name))),
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Rnn,
    Gru,
    Lstm,
}

impl Kind {
    fn gates(self) -> u64 {
        match self {
            Kind::Rnn => 1,
            Kind::Gru => 3,
            Kind::Lstm => 4,
        }
    }

    fn activations(self) -> &'static [&'static str] {
        match self {
            Kind::Rnn => &["Tanh"],
            Kind::Gru => &["Sigmoid", "Tanh"],
            Kind::Lstm => &["Sigmoid", "Tanh", "Tanh"],
        }
    }
}

/// What all directions share.
struct Layer {
    kind: Kind,
    steps: u64,
    batch: u64,
    hidden: u64,
    clip: Option<f32>,
    /// LSTM: the forget gate is one minus the input gate. GRU: the reset is applied behind the product.
    variant: bool,
    /// Lengths of the sequences, i64 `[batch, 1]`, where they are not all the whole.
    lengths: Option<Value>,
}

/// Weights and state of one direction.
struct Direction {
    backwards: bool,
    /// `[steps * batch, gates * hidden]`: the inputs' share of the gates, biases added.
    share: Value,
    /// `[hidden, gates * hidden]`
    recurrence: Value,
    /// GRU: the new gate's bias of the state, where it is not added to the inputs' share.
    state_bias: Option<Value>,
    /// LSTM: weights from the cell to the input, output and forget gates.
    peepholes: Option<[Value; 3]>,
    h: Value,
    c: Option<Value>,
    activations: Vec<Activation>,
}

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Vec<Value>, ModelError> {
    let kind = match op {
        "RNN" => Kind::Rnn,
        "GRU" => Kind::Gru,
        _ => Kind::Lstm,
    };
    let batch_first = l.attributes.flag("layout", false)?;
    let mut x = l.value(0)?;
    if l.dims(&x).len() != 3 {
        return Err(l.fail("X must have 3 axes"));
    }
    if batch_first {
        x = l.permuted(&x, &[1, 0, 2])?;
    }
    let [steps, batch, width] = <[u64; 3]>::try_from(l.dims(&x)).unwrap_or_default();
    let recurrence = l.value(2)?;
    let dims = l.dims(&recurrence);
    let [directions, rows, hidden] =
        <[u64; 3]>::try_from(dims).map_err(|_| l.fail("R must have 3 axes"))?;
    if let Some(declared) = l.attributes.optional_int("hidden_size")?
        && u64::try_from(declared) != Ok(hidden)
    {
        return Err(l.fail(format!("hidden_size {declared} is not R's {hidden}")));
    }
    let way = l.attributes.text("direction")?;
    let way = way.unwrap_or_else(|| "forward".into());
    let backwards: &[bool] = match way.as_str() {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return Err(l.fail(format!("direction {other:?} is not known"))),
    };
    if backwards.len() as u64 != directions || rows != kind.gates() * hidden || steps == 0 {
        return Err(l.fail(format!(
            "R {:?} does not fit {way} and {steps} steps",
            [directions, rows, hidden]
        )));
    }
    let variant = match kind {
        Kind::Rnn => false,
        Kind::Gru => l.attributes.flag("linear_before_reset", false)?,
        Kind::Lstm => l.attributes.flag("input_forget", false)?,
    };
    let layer = Layer {
        kind,
        steps,
        batch,
        hidden,
        clip: l.attributes.optional_float("clip")?,
        variant,
        lengths: lengths(l, steps, batch, backwards)?,
    };
    let flat = l.reshape_to(&x, vec![steps * batch, width])?;
    let activations = activations(l, kind, backwards.len())?;
    let (mut rows, mut states, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    for (d, &backwards) in backwards.iter().enumerate() {
        let own = activations[d].clone();
        let direction = direction(l, &layer, &flat, d as u64, backwards, batch_first, own)?;
        let (outputs, h, c) = run(l, &layer, direction)?;
        let outputs = l.stack(&outputs, 0)?;
        rows.push(l.unsqueeze(&outputs, 1)?);
        states.push(l.unsqueeze(&h, 0)?);
        if let Some(c) = c {
            cells.push(l.unsqueeze(&c, 0)?);
        }
    }
    // [steps, directions, batch, hidden] and [directions, batch, hidden]
    let mut found = vec![l.concat(&rows, 1)?, l.concat(&states, 0)?];
    if kind == Kind::Lstm {
        found.push(l.concat(&cells, 0)?);
    }
    if batch_first {
        found[0] = l.permuted(&found[0].clone(), &[2, 0, 1, 3])?;
        for state in &mut found[1..] {
            *state = l.permuted(&state.clone(), &[1, 0, 2])?;
        }
    }
    Ok(found)
}

/// The lengths where they matter.
fn lengths(
    l: &mut Lowering<'_, '_>,
    steps: u64,
    batch: u64,
    backwards: &[bool],
) -> Result<Option<Value>, ModelError> {
    let Some(lengths) = l.optional(4) else {
        return Ok(None);
    };
    let lengths = l.cast(&lengths, DType::I64)?;
    if let Some(known) = l.known(&lengths)
        && known
            .as_i64()
            .is_some_and(|all| all.iter().all(|&n| n == steps as i64))
    {
        return Ok(None);
    }
    if backwards.contains(&true) {
        return Err(l.fail("sequences of different lengths are not supported backwards"));
    }
    l.reshape_to(&lengths, vec![batch, 1]).map(Some)
}

fn activations(
    l: &Lowering<'_, '_>,
    kind: Kind,
    directions: usize,
) -> Result<Vec<Vec<Activation>>, ModelError> {
    let names = l.attributes.texts("activations")?;
    let names = names.unwrap_or_else(|| {
        let names = kind.activations().iter().map(|&name| name.to_owned());
        let names: Vec<String> = names.collect();
        vec![names; directions].concat()
    });
    let alphas = l.attributes.floats("activation_alpha")?.unwrap_or(&[]);
    let betas = l.attributes.floats("activation_beta")?.unwrap_or(&[]);
    let each = kind.activations().len();
    if names.len() != each * directions {
        return Err(l.fail(format!(
            "{} activations for {directions} directions of {each}",
            names.len()
        )));
    }
    // parameters stand in order for the activations that have them
    let (mut alphas, mut betas) = (alphas.iter(), betas.iter());
    let mut all = names.into_iter().map(|name| {
        let lower = name.to_ascii_lowercase();
        let (has_alpha, has_beta) = match lower.as_str() {
            "affine" | "scaledtanh" | "hardsigmoid" => (true, true),
            "leakyrelu" | "thresholdedrelu" | "elu" => (true, false),
            _ => (false, false),
        };
        Activation {
            name,
            alpha: has_alpha.then(|| alphas.next().copied()).flatten(),
            beta: has_beta.then(|| betas.next().copied()).flatten(),
        }
    });
    Ok((0..directions)
        .map(|_| all.by_ref().take(each).collect())
        .collect())
}

fn direction(
    l: &mut Lowering<'_, '_>,
    layer: &Layer,
    flat: &Value,
    d: u64,
    backwards: bool,
    batch_first: bool,
    activations: Vec<Activation>,
) -> Result<Direction, ModelError> {
    let &Layer {
        kind,
        batch,
        hidden,
        variant,
        ..
    } = layer;
    let rows = kind.gates() * hidden;
    let (w, r) = (l.value(1)?, l.value(2)?);
    let (w, r) = (l.at(&w, 0, d)?, l.at(&r, 0, d)?);
    let (w, recurrence) = (l.transposed(&w)?, l.transposed(&r)?);
    let mut share = l.matmul(flat, &w)?;
    let mut state_bias = None;
    if let Some(bias) = l.optional(3) {
        let bias = l.at(&bias, 0, d)?;
        let (of_input, of_state) = (
            l.part(&bias, 0, 0, rows)?,
            l.part(&bias, 0, rows as i64, rows)?,
        );
        let of_state = if kind == Kind::Gru && variant {
            // the new gate's is added before the reset
            let first = 2 * hidden;
            state_bias = Some(l.part(&of_state, 0, first as i64, hidden)?);
            let shared = l.part(&of_state, 0, 0, first)?;
            let rest = l.zeros(DType::F32, &[hidden])?;
            l.concat(&[shared, rest], 0)?
        } else {
            of_state
        };
        let both = l.add(&of_input, &of_state)?;
        share = l.add(&share, &both)?;
    }
    let state = |l: &mut Lowering<'_, '_>, i: usize| match l.optional(i) {
        None => l.zeros(DType::F32, &[batch, hidden]),
        Some(state) => l.at(&state, usize::from(batch_first), d),
    };
    let h = state(l, 5)?;
    let c = match kind {
        Kind::Lstm => Some(state(l, 6)?),
        _ => None,
    };
    let peepholes = match (kind, l.optional(7)) {
        (Kind::Lstm, Some(all)) => {
            let all = l.at(&all, 0, d)?;
            let mut part = |i: u64| l.part(&all, 0, (i * hidden) as i64, hidden);
            Some([part(0)?, part(1)?, part(2)?])
        }
        _ => None,
    };
    Ok(Direction {
        backwards,
        share,
        recurrence,
        state_bias,
        peepholes,
        h,
        c,
        activations,
    })
}

/// The outputs of each step in the order of the input, and the last state and cell.
fn run(
    l: &mut Lowering<'_, '_>,
    layer: &Layer,
    mut d: Direction,
) -> Result<(Vec<Value>, Value, Option<Value>), ModelError> {
    let mut outputs = Vec::with_capacity(layer.steps as usize);
    for step in 0..layer.steps {
        let at = if d.backwards {
            layer.steps - 1 - step
        } else {
            step
        };
        let share = l.part(&d.share, 0, (at * layer.batch) as i64, layer.batch)?;
        let (h, c) = match layer.kind {
            Kind::Rnn => (rnn(l, layer, &d, &share)?, None),
            Kind::Gru => (gru(l, layer, &d, &share)?, None),
            Kind::Lstm => {
                let (h, c) = lstm(l, layer, &d, &share)?;
                (h, Some(c))
            }
        };
        let Some(lengths) = &layer.lengths else {
            outputs.push(h.clone());
            (d.h, d.c) = (h, c);
            continue;
        };
        // behind a sequence's end the state stays and the output is 0
        let inside = l.map(std::slice::from_ref(lengths), DType::Bool, |p, x| {
            let at = p.wide(at);
            p.less(at, x[0])
        })?;
        let zero = l.numbers(&[], vec![0.0])?;
        outputs.push(l.select(&inside, &h, &zero)?);
        d.h = l.select(&inside, &h, &d.h)?;
        if let (Some(c), Some(old)) = (c, d.c.clone()) {
            d.c = Some(l.select(&inside, &c, &old)?);
        }
    }
    if d.backwards {
        outputs.reverse();
    }
    Ok((outputs, d.h, d.c))
}

/// Columns of gate `gate`.
fn gate(
    l: &mut Lowering<'_, '_>,
    layer: &Layer,
    all: &Value,
    gate: u64,
) -> Result<Value, ModelError> {
    l.part(all, 1, (gate * layer.hidden) as i64, layer.hidden)
}

/// A program on values whose activations may be refused.
fn cell(
    l: &mut Lowering<'_, '_>,
    values: &[Value],
    program: impl FnOnce(&Lowering<'_, '_>, &mut Builder, &[Word]) -> Result<Word, ModelError>,
) -> Result<Value, ModelError> {
    let mut p = Builder::new();
    let inputs: Vec<Word> = (0..values.len()).map(|i| p.load(i as u8)).collect();
    let element = program(l, &mut p, &inputs)?;
    let code = p.finish(element).map_err(|e| l.fail(e.to_string()))?;
    let dtype = DType::F32;
    l.node(gavel_numerics::Op::Map { dtype, code }, values)
}

fn clipped(layer: &Layer, p: &mut Builder, x: Word) -> Word {
    match layer.clip {
        None => x,
        Some(clip) => {
            let (low, high) = (p.float(-clip), p.float(clip));
            let raised = p.fmax(x, low);
            p.fmin(raised, high)
        }
    }
}

fn rnn(
    l: &mut Lowering<'_, '_>,
    layer: &Layer,
    d: &Direction,
    share: &Value,
) -> Result<Value, ModelError> {
    let own = l.matmul(&d.h, &d.recurrence)?;
    cell(l, &[share.clone(), own], |l, p, x| {
        let sum = p.fadd(x[0], x[1]);
        let sum = clipped(layer, p, sum);
        d.activations[0].apply(l, p, sum)
    })
}

/// Gates: update, reset, new.
fn gru(
    l: &mut Lowering<'_, '_>,
    layer: &Layer,
    d: &Direction,
    share: &Value,
) -> Result<Value, ModelError> {
    let hidden = layer.hidden;
    let of_gates = l.part(&d.recurrence, 1, 0, 2 * hidden)?;
    let of_new = l.part(&d.recurrence, 1, 2 * hidden as i64, hidden)?;
    let own = l.matmul(&d.h, &of_gates)?;
    let mut gates = Vec::new();
    for i in 0..2 {
        let (a, b) = (gate(l, layer, share, i)?, gate(l, layer, &own, i)?);
        gates.push(cell(l, &[a, b], |l, p, x| {
            let sum = p.fadd(x[0], x[1]);
            let sum = clipped(layer, p, sum);
            d.activations[0].apply(l, p, sum)
        })?);
    }
    let (update, reset) = (gates[0].clone(), gates[1].clone());
    let of_state = if layer.variant {
        let product = l.matmul(&d.h, &of_new)?;
        let product = match &d.state_bias {
            Some(bias) => l.add(&product, bias)?,
            None => product,
        };
        l.mul(&reset, &product)?
    } else {
        let kept = l.mul(&reset, &d.h)?;
        l.matmul(&kept, &of_new)?
    };
    let share = gate(l, layer, share, 2)?;
    cell(l, &[share, of_state, update, d.h.clone()], |l, p, x| {
        let sum = p.fadd(x[0], x[1]);
        let sum = clipped(layer, p, sum);
        let new = d.activations[1].apply(l, p, sum)?;
        // (1 - z) * new + z * h
        let one = p.float(1.0);
        let rest = p.fsub(one, x[2]);
        let (fresh, old) = (p.fmul(rest, new), p.fmul(x[2], x[3]));
        Ok(p.fadd(fresh, old))
    })
}

/// Gates: input, output, forget, cell.
fn lstm(
    l: &mut Lowering<'_, '_>,
    layer: &Layer,
    d: &Direction,
    share: &Value,
) -> Result<(Value, Value), ModelError> {
    let Some(c) = d.c.clone() else {
        return Err(l.fail("it has no cell"));
    };
    let own = l.matmul(&d.h, &d.recurrence)?;
    let sums = l.add(share, &own)?;
    let mut gates = Vec::new();
    for i in 0..4 {
        gates.push(gate(l, layer, &sums, i)?);
    }
    let [input, output, forget, fresh] =
        <[Value; 4]>::try_from(gates).map_err(|_| l.fail("it has four gates"))?;
    // the peepholes and the old cell come behind, where they are there
    let with = |gate: Value, at: usize| match &d.peepholes {
        Some(peepholes) => vec![gate, peepholes[at].clone(), c.clone()],
        None => vec![gate],
    };
    let squashed = |l: &Lowering<'_, '_>, p: &mut Builder, x: &[Word]| {
        let sum = match x {
            [x, weight, cell] => {
                let seen = p.fmul(*weight, *cell);
                p.fadd(*x, seen)
            }
            x => x[0],
        };
        let sum = clipped(layer, p, sum);
        d.activations[0].apply(l, p, sum)
    };
    let input = cell(l, &with(input, 0), squashed)?;
    let forget = if layer.variant {
        cell(l, std::slice::from_ref(&input), |_, p, x| {
            let one = p.float(1.0);
            Ok(p.fsub(one, x[0]))
        })?
    } else {
        cell(l, &with(forget, 2), squashed)?
    };
    let new = cell(l, &[forget, c.clone(), input, fresh], |l, p, x| {
        let fresh = clipped(layer, p, x[3]);
        let fresh = d.activations[1].apply(l, p, fresh)?;
        let (kept, taken) = (p.fmul(x[0], x[1]), p.fmul(x[2], fresh));
        Ok(p.fadd(kept, taken))
    })?;
    let mut values = vec![new.clone(), output];
    if let Some(peepholes) = &d.peepholes {
        values.push(peepholes[1].clone());
    }
    let h = cell(l, &values, |l, p, x| {
        let sum = match x {
            [new, output, weight] => {
                let seen = p.fmul(*weight, *new);
                p.fadd(*output, seen)
            }
            x => x[1],
        };
        let sum = clipped(layer, p, sum);
        let gate = d.activations[0].apply(l, p, sum)?;
        let shown = d.activations[2].apply(l, p, x[0])?;
        Ok(p.fmul(gate, shown))
    })?;
    Ok((h, new))
}
