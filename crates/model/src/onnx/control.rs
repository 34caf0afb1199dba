//! Branches and loops: both branches are computed and one is taken, a loop is written out turn by turn.

use gavel_numerics::DType;

use super::Value;
use super::lower::Lowering;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &["If", "Loop", "Scan"];

/// Values of a node of this kind.
pub(super) fn lower(
    l: &mut Lowering<'_, '_>,
    op: &str,
    outputs: usize,
) -> Result<Vec<Value>, ModelError> {
    match op {
        "If" => branch(l),
        "Loop" => repeat(l, outputs),
        _ => scan(l),
    }
}

/// A bool that is known.
fn known_flag(l: &Lowering<'_, '_>, value: &Value) -> Result<Option<bool>, ModelError> {
    if l.dtype(value) != DType::Bool {
        return Err(l.fail("its condition must be a bool"));
    }
    Ok(l.known(value)
        .map(|tensor| tensor.raw(0).unwrap_or_default() != 0))
}

fn scalar(l: &mut Lowering<'_, '_>, value: &Value) -> Result<Value, ModelError> {
    l.reshape_to(value, Vec::new())
}

fn branch(l: &mut Lowering<'_, '_>) -> Result<Vec<Value>, ModelError> {
    l.some_inputs(1..=1)?;
    let condition = l.value(0)?;
    let (yes, no) = (
        l.attributes.graph("then_branch")?,
        l.attributes.graph("else_branch")?,
    );
    let label = l.label.to_owned();
    if let Some(taken) = known_flag(l, &condition)? {
        let graph = if taken { yes } else { no };
        return l.importer.inner(graph, Vec::new(), &label);
    }
    let condition = scalar(l, &condition)?;
    let yes = l
        .importer
        .inner(yes, Vec::new(), &format!("{label}/then"))?;
    let no = l.importer.inner(no, Vec::new(), &format!("{label}/else"))?;
    if yes.len() != no.len() {
        return Err(l.fail("its branches give different numbers of outputs"));
    }
    yes.iter()
        .zip(&no)
        .map(|(yes, no)| chosen(l, &condition, yes, no))
        .collect()
}

/// One of two values of the same type.
fn chosen(
    l: &mut Lowering<'_, '_>,
    condition: &Value,
    yes: &Value,
    no: &Value,
) -> Result<Value, ModelError> {
    let (a, b) = (l.dims(yes), l.dims(no));
    if a != b || l.dtype(yes) != l.dtype(no) {
        return Err(l.fail(format!(
            "what it gives has the shape {a:?} or {b:?}: shapes that depend on data are not supported"
        )));
    }
    l.select(condition, yes, no)
}

/// Values of the turns of one output, along a new axis.
fn gathered(
    l: &mut Lowering<'_, '_>,
    turns: &[Vec<Value>],
    output: usize,
    axis: usize,
) -> Result<Value, ModelError> {
    let values: Option<Vec<Value>> = turns.iter().map(|turn| turn.get(output).cloned()).collect();
    match values {
        Some(values) if !values.is_empty() => l.stack(&values, axis),
        _ => Err(l.fail("a loop without a turn has outputs of no shape")),
    }
}

fn repeat(l: &mut Lowering<'_, '_>, outputs: usize) -> Result<Vec<Value>, ModelError> {
    let body = l.attributes.graph("body")?;
    let most = match l.optional(0) {
        Some(_) => Some(l.constant_ints(0, "the number of turns")?),
        None => None,
    };
    let most = most.and_then(|most| most.first().copied());
    let mut state: Vec<Value> = (2..l.inputs.len())
        .map(|i| l.value(i))
        .collect::<Result<_, _>>()?;
    let carried = state.len();
    // none while it goes on for certain
    let mut active: Option<Value> = None;
    let mut goes_on = true;
    if let Some(condition) = l.optional(1) {
        match known_flag(l, &condition)? {
            Some(flag) => goes_on = flag,
            None => active = Some(scalar(l, &condition)?),
        }
    }
    let mut turns: Vec<Vec<Value>> = Vec::new();
    let mut turn = 0i64;
    while goes_on && most.is_none_or(|most| turn < most) {
        let label = format!("{}/{turn}", l.label);
        let number = l.integers(&[], vec![turn])?;
        let going = match &active {
            Some(active) => active.clone(),
            None => l.condition(&[], &[true])?,
        };
        let given = [vec![number, going], state.clone()].concat();
        let mut found = l.importer.inner(body, given, &label)?;
        if found.len() < 1 + carried {
            return Err(l.fail(format!(
                "its body gives {} values, at least {} were expected",
                found.len(),
                1 + carried
            )));
        }
        let scanned = found.split_off(1 + carried);
        if active.is_some() && !scanned.is_empty() {
            return Err(l.fail(
                "how many turns it takes depends on data: outputs of that many are not supported",
            ));
        }
        let next = found.split_off(1);
        let condition = found.remove(0);
        state = match &active {
            None => next,
            Some(active) => {
                let mut kept = Vec::with_capacity(carried);
                for (new, old) in next.iter().zip(&state) {
                    kept.push(chosen(l, active, new, old)?);
                }
                kept
            }
        };
        turns.push(scanned);
        match known_flag(l, &condition)? {
            Some(flag) => goes_on = flag,
            None if most.is_none() => {
                return Err(l.fail("how often it turns depends on data, and no bound is given"));
            }
            None => {
                let condition = scalar(l, &condition)?;
                active = Some(match active {
                    None => condition,
                    Some(active) => {
                        l.map(&[active, condition], DType::Bool, |p, x| p.and(x[0], x[1]))?
                    }
                });
            }
        }
        turn += 1;
    }
    for output in 0..outputs.saturating_sub(carried) {
        let value = gathered(l, &turns, output, 0)?;
        state.push(value);
    }
    Ok(state)
}

fn scan(l: &mut Lowering<'_, '_>) -> Result<Vec<Value>, ModelError> {
    if l.importer.names.opset < 9 {
        return Err(l.fail("before opset 9 it runs over batches: not supported"));
    }
    let body = l.attributes.graph("body")?;
    let scanned = usize::try_from(l.attributes.int("num_scan_inputs", 0)?).unwrap_or(usize::MAX);
    let given: Vec<Value> = (0..l.inputs.len())
        .map(|i| l.value(i))
        .collect::<Result<_, _>>()?;
    let carried = given
        .len()
        .checked_sub(scanned)
        .filter(|_| scanned > 0)
        .ok_or_else(|| l.fail("num_scan_inputs does not fit its inputs"))?;
    let directions = l.attributes.ints("scan_input_directions")?.unwrap_or(&[]);
    let axes = l.attributes.ints("scan_input_axes")?.unwrap_or(&[]);
    let mut inputs = Vec::with_capacity(scanned);
    let mut length = None;
    for (i, value) in given[carried..].iter().enumerate() {
        let dims = l.dims(value);
        let axis = l.axis(axes.get(i).copied().unwrap_or(0), dims.len())? as usize;
        if length.is_some_and(|length| length != dims[axis]) {
            return Err(l.fail("the axes that it runs along differ in extent"));
        }
        length = Some(dims[axis]);
        let backwards = directions.get(i) == Some(&1);
        inputs.push((value.clone(), axis, backwards));
    }
    let length = length.unwrap_or(0);
    let mut state = given[..carried].to_vec();
    let mut turns = Vec::new();
    for turn in 0..length {
        let mut own = state;
        for (value, axis, backwards) in &inputs {
            let at = if *backwards { length - 1 - turn } else { turn };
            own.push(l.at(value, *axis, at)?);
        }
        let label = format!("{}/{turn}", l.label);
        let mut found = l.importer.inner(body, own, &label)?;
        if found.len() < carried {
            return Err(l.fail("its body gives fewer values than it takes"));
        }
        turns.push(found.split_off(carried));
        state = found;
    }
    let axes = l.attributes.ints("scan_output_axes")?.unwrap_or(&[]);
    let directions = l.attributes.ints("scan_output_directions")?.unwrap_or(&[]);
    for output in 0..turns.first().map_or(0, Vec::len) {
        let rank = l.dims(&turns[0][output]).len() + 1;
        let axis = l.axis(axes.get(output).copied().unwrap_or(0), rank)? as usize;
        let value = gathered(l, &turns, output, axis)?;
        state.push(match directions.get(output) {
            Some(1) => l.turned(&value, axis)?,
            _ => value,
        });
    }
    Ok(state)
}
