//! The engine's operators, filters and tests, each paying for what it does.
//!
//! The engine's fuel counts instructions and the bytes that they make, but not what an operator walks through. A
//! list that holds one list twice, which holds one twice, and so on, is small; to compare, show or hash it takes
//! time exponential in its depth, and sums of lists are lazy, which hides the same. So every instruction that may
//! look into a value or build a lazy one is replaced, one for one, by a call of a function of ours, which walks
//! through the operands within the fuel first.

use indexmap::IndexMap;
use minijinja::machinery::{CodeGenerator, Instruction, Instructions, parse};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State};

/// Nodes of a value that one unit of fuel pays for.
const NODES: u64 = 4;

/// Filters with the names of the functions that stand for them (no identifiers, so no template calls them) and
/// whether they look no deeper than into a list of their operand.
macro_rules! wrapped {
    ($kind:literal: $($name:literal $shallow:literal),* $(,)?) => {
        &[$(($name, concat!($kind, " ", $name), $shallow)),*]
    };
}

const FILTERS: &[(&str, &str, bool)] = wrapped!("filter":
    "abs" true, "attr" true, "batch" true, "bool" true, "capitalize" false, "count" true, "d" true,
    "default" true, "dictsort" false, "e" false, "escape" false, "first" true, "float" true, "format" false,
    "groupby" false, "indent" false, "int" true, "items" true, "join" false, "last" true, "length" true,
    "lines" false, "list" true, "lower" false, "map" false, "max" false, "min" false, "reject" false,
    "rejectattr" false, "replace" false, "reverse" true, "round" true, "safe" false, "select" false,
    "selectattr" false, "slice" true, "sort" false, "split" false, "string" false, "sum" true, "title" false,
    "tojson" true, "trim" false, "unique" false, "upper" false,
);

const TESTS: &[(&str, &str, bool)] = wrapped!("test":
    "boolean" true, "defined" true, "divisibleby" true, "endingwith" false, "eq" false, "equalto" false,
    "escaped" true, "even" true, "false" true, "filter" true, "float" true, "ge" false, "greaterthan" false,
    "gt" false, "in" false, "int" true, "integer" true, "iterable" true, "le" false, "lessthan" false,
    "lower" false, "lt" false, "mapping" true, "ne" false, "none" true, "number" true, "odd" true, "safe" true,
    "sameas" false, "sequence" true, "startingwith" false, "string" true, "test" true, "true" true,
    "undefined" true, "upper" false,
);

/// Compiles a template to instructions that are metered.
pub(super) fn compile<'s>(
    name: &'s str,
    source: &'s str,
    syntax: SyntaxConfig,
) -> Result<Instructions<'s>, Error> {
    let tree = parse(source, name, syntax)?;
    let mut generator = CodeGenerator::new(name, source);
    generator.compile_stmt(&tree);
    let (mut instructions, _) = generator.finish();
    let mut at = 0;
    while let Some(instruction) = instructions.get(at) {
        let function = |name| Some(Instruction::CallFunction(name, Some(2)));
        let metered = match *instruction {
            Instruction::Add => function("+"),
            Instruction::Mul => function("*"),
            Instruction::StringConcat => function("~"),
            Instruction::Eq => function("=="),
            Instruction::Ne => function("!="),
            Instruction::Lt => function("<"),
            Instruction::Lte => function("<="),
            Instruction::Gt => function(">"),
            Instruction::Gte => function(">="),
            Instruction::In => function("a in b"),
            Instruction::GetItem => function("a[b]"),
            Instruction::Slice => Some(Instruction::CallFunction("a[b:c:d]", Some(4))),
            Instruction::BuildMap(pairs) => match u16::try_from(2 * pairs) {
                Ok(count) => Some(Instruction::CallFunction("{}", Some(count))),
                Err(_) => return Err(refuse("a map of more than 32767 pairs")),
            },
            Instruction::ApplyFilter(name, count, _) => Some(call(FILTERS, name, count)),
            Instruction::PerformTest(name, count, _) => Some(call(TESTS, name, count)),
            // not one value from two: there is no function for them
            Instruction::CompareAndPreserve(_) => {
                return Err(refuse("chained comparisons are not supported"));
            }
            Instruction::CallMethod("changed", _) => {
                return Err(refuse("loop.changed is not supported"));
            }
            _ => None,
        };
        if let (Some(metered), Some(place)) = (metered, instructions.get_mut(at)) {
            *place = metered;
        }
        at += 1;
    }
    Ok(instructions)
}

/// A call of what stands for a filter or test; of one that does not exist, an error when it runs.
fn call<'s>(
    table: &[(&str, &'static str, bool)],
    name: &'s str,
    count: Option<u16>,
) -> Instruction<'s> {
    let known = table.iter().find(|(known, ..)| *known == name);
    Instruction::CallFunction(known.map_or(name, |(_, function, _)| function), count)
}

/// Adds the functions that [`compile`] calls.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.set_formatter(|out, state, value| {
        walk(state, value)?;
        minijinja::escape_formatter(out, state, value)
    });
    environment.add_function("+", plus);
    environment.add_function("*", times);
    environment.add_function("~", |state: &State, a: Value, b: Value| {
        walk(state, &a)?;
        walk(state, &b)?;
        pay_bytes(
            state,
            a.as_str().map_or(0, str::len) + b.as_str().map_or(0, str::len),
        )?;
        Ok::<_, Error>(format!("{a}{b}"))
    });
    compared(environment, "==", |a, b| a == b);
    compared(environment, "!=", |a, b| a != b);
    compared(environment, "<", |a, b| a < b);
    compared(environment, "<=", |a, b| a <= b);
    compared(environment, ">", |a, b| a > b);
    compared(environment, ">=", |a, b| a >= b);
    environment.add_function("a in b", contains);
    environment.add_function("a[b]", |state: &State, a: Value, b: Value| {
        key(&b)?;
        pay_bytes(state, a.as_str().map_or(0, str::len))?;
        a.get_item(&b)
    });
    environment.add_function("a[b:c:d]", slice);
    environment.add_function("{}", |state: &State, items: Rest<Value>| {
        state.consume_fuel(items.len() as u64)?;
        let mut map = IndexMap::with_capacity(items.len() / 2);
        for pair in items.chunks_exact(2) {
            key(&pair[0])?;
            map.insert(pair[0].clone(), pair[1].clone());
        }
        Ok::<_, Error>(Value::from_object(map))
    });
    environment.add_function(
        "dict",
        |state: &State, value: Option<Value>, named: minijinja::value::Kwargs| {
            value.iter().try_for_each(|value| walk(state, value))?;
            minijinja::functions::dict(value, named)
        },
    );
    environment.remove_global("debug");
    // lazy, and unknown to the dialect
    environment.remove_filter("chain");
    environment.remove_filter("zip");
    for &(name, function, shallow) in FILTERS {
        environment.add_function(
            function,
            move |state: &mut State, operands: Rest<ValueOrKwargs>| {
                let operands = operands.into_values();
                if !shallow && !looks_at_top(name, &operands) {
                    operands
                        .iter()
                        .try_for_each(|operand| walk(state, operand))?;
                }
                let result = state.apply_filter(name, &operands)?;
                listed(state, result)
            },
        );
    }
    for &(name, function, shallow) in TESTS {
        environment.add_function(
            function,
            move |state: &mut State, operands: Rest<ValueOrKwargs>| {
                let operands = operands.into_values();
                if !shallow {
                    operands
                        .iter()
                        .try_for_each(|operand| walk(state, operand))?;
                }
                // the engine iterates over none as over an empty list; the dialect does not
                if name == "iterable" && operands.first().is_some_and(Value::is_none) {
                    return Ok(false);
                }
                state.perform_test(name, &operands)
            },
        );
    }
}

/// Whether a filter over a list compares only attributes with something that is no list.
fn looks_at_top(name: &str, operands: &[Value]) -> bool {
    match name {
        "map" => operands.get(1).is_some_and(|o| o.is_kwargs()),
        "select" | "reject" | "selectattr" | "rejectattr" => {
            operands[1.min(operands.len())..].iter().all(is_scalar)
        }
        _ => false,
    }
}

fn refuse(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

fn is_scalar(value: &Value) -> bool {
    !matches!(
        value.kind(),
        ValueKind::Seq
            | ValueKind::Map
            | ValueKind::Iterable
            | ValueKind::Plain
            | ValueKind::Invalid
    )
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

fn pay_bytes(state: &State<'_, '_>, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(bytes as u64 / 64)
}

/// What a map or list may be asked for: anything deeper would be hashed.
fn key(value: &Value) -> Result<(), Error> {
    if is_scalar(value) {
        Ok(())
    } else {
        Err(refuse("a key is a string or a number"))
    }
}

/// Pays for every node and byte within a value, each as often as it is reached.
pub(super) fn walk(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    if is_scalar(value) {
        return Ok(());
    }
    let mut open = vec![value.clone()];
    let mut nodes = 0u64;
    while let Some(value) = open.pop() {
        pay_bytes(state, value.as_str().map_or(0, str::len))?;
        let is_map = value.kind() == ValueKind::Map;
        if !is_map && !is_list(&value) {
            continue;
        }
        for item in value.try_iter()?.checked() {
            let item = item?;
            nodes += 1;
            if nodes.is_multiple_of(NODES) {
                state.consume_fuel(1)?;
            }
            open.push(if is_map { value.get_item(&item)? } else { item });
        }
    }
    Ok(())
}

/// The items of a list, paid for.
fn items(state: &State<'_, '_>, value: &Value) -> Result<Vec<Value>, Error> {
    let mut items = Vec::new();
    for item in value.try_iter()?.checked() {
        items.push(item?);
        if (items.len() as u64).is_multiple_of(NODES) {
            state.consume_fuel(1)?;
        }
    }
    Ok(items)
}

/// A lazy list as a list, so that none is lazy over another.
pub(super) fn listed(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::Iterable {
        return Ok(Value::from(items(state, &value)?));
    }
    Ok(value)
}

fn integers(a: &Value, b: &Value) -> Option<(i128, i128)> {
    let integer = |v: &Value| {
        i128::try_from(v.clone())
            .ok()
            .filter(|_| v.is_integer() || v.kind() == ValueKind::Bool)
    };
    integer(a).zip(integer(b))
}

fn arithmetic(
    sign: &str,
    a: &Value,
    b: &Value,
    exact: fn(i128, i128) -> Option<i128>,
    rounded: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    if let Some((a, b)) = integers(a, b) {
        let value = exact(a, b).and_then(|value| i64::try_from(value).ok());
        return value
            .map(Value::from)
            .ok_or_else(|| refuse("integer overflow"));
    }
    match (f64::try_from(a.clone()), f64::try_from(b.clone())) {
        (Ok(x), Ok(y)) if a.is_number() && b.is_number() => Ok(Value::from(rounded(x, y))),
        _ => Err(refuse(format!(
            "cannot use {sign} on {} and {}",
            a.kind(),
            b.kind()
        ))),
    }
}

fn plus(state: &State<'_, '_>, a: Value, b: Value) -> Result<Value, Error> {
    if let (Some(x), Some(y)) = (a.as_str(), b.as_str()) {
        pay_bytes(state, x.len() + y.len())?;
        return Ok(Value::from([x, y].concat()));
    }
    if is_list(&a) && is_list(&b) {
        let mut list = items(state, &a)?;
        list.extend(items(state, &b)?);
        return Ok(Value::from(list));
    }
    arithmetic("+", &a, &b, i128::checked_add, |x, y| x + y)
}

fn times(state: &State<'_, '_>, a: Value, b: Value) -> Result<Value, Error> {
    for (what, count) in [(&a, &b), (&b, &a)] {
        let Some(count) = i64::try_from(count.clone())
            .ok()
            .map(|n| usize::try_from(n).unwrap_or(0))
        else {
            continue;
        };
        if let Some(text) = what.as_str() {
            state.consume_fuel((text.len() as u64).saturating_mul(count as u64) / 64)?;
            return Ok(Value::from(text.repeat(count)));
        }
        if is_list(what) {
            let list = items(state, what)?;
            state.consume_fuel((list.len() as u64).saturating_mul(count as u64))?;
            return Ok(Value::from(vec![list; count].concat()));
        }
    }
    arithmetic("*", &a, &b, i128::checked_mul, |x, y| x * y)
}

/// Pays for a comparison of two values.
fn pay_comparison(state: &State<'_, '_>, a: &Value, b: &Value) -> Result<(), Error> {
    if let (Some(x), Some(y)) = (a.as_str(), b.as_str()) {
        return pay_bytes(state, x.len().min(y.len()));
    }
    // one that is no list ends the comparison at the top
    if is_scalar(a) || is_scalar(b) {
        return Ok(());
    }
    walk(state, a)?;
    walk(state, b)
}

fn compared(
    environment: &mut Environment<'_>,
    name: &'static str,
    holds: fn(&Value, &Value) -> bool,
) {
    environment.add_function(name, move |state: &State, a: Value, b: Value| {
        pay_comparison(state, &a, &b)?;
        Ok::<_, Error>(holds(&a, &b))
    });
}

fn contains(state: &State<'_, '_>, a: Value, b: Value) -> Result<bool, Error> {
    if b.is_undefined() {
        return Ok(false);
    }
    if let Some(text) = b.as_str() {
        key(&a)?;
        pay_bytes(state, text.len())?;
        return Ok(text.contains(&*a.to_string()));
    }
    if b.kind() == ValueKind::Map {
        key(&a)?;
        return Ok(!b.get_item(&a)?.is_undefined());
    }
    if !is_list(&b) {
        return Err(refuse(format!("cannot look for something in {}", b.kind())));
    }
    for item in items(state, &b)? {
        pay_comparison(state, &item, &a)?;
        if item == a {
            return Ok(true);
        }
    }
    Ok(false)
}

fn slice(
    state: &State<'_, '_>,
    value: Value,
    start: Value,
    stop: Value,
    step: Value,
) -> Result<Value, Error> {
    let bound = |v: Value| {
        if v.is_none() {
            Ok(None)
        } else {
            i64::try_from(v).map(Some)
        }
    };
    let (start, stop, step) = (bound(start)?, bound(stop)?, bound(step)?.unwrap_or(1));
    if step == 0 {
        return Err(refuse("a slice's step is not 0"));
    }
    if let Some(text) = value.as_str() {
        pay_bytes(state, text.len())?;
        let chars: Vec<char> = text.chars().collect();
        return Ok(Value::from(
            sliced(&chars, start, stop, step)
                .into_iter()
                .collect::<String>(),
        ));
    }
    if value.is_none() || value.is_undefined() {
        return Ok(Value::from(Vec::<Value>::new()));
    }
    if !is_list(&value) {
        return Err(refuse(format!("cannot slice {}", value.kind())));
    }
    Ok(Value::from(sliced(
        &items(state, &value)?,
        start,
        stop,
        step,
    )))
}

/// As Python slices; `step` is not 0.
fn sliced<T: Clone>(list: &[T], start: Option<i64>, stop: Option<i64>, step: i64) -> Vec<T> {
    let length = list.len() as i64;
    // the places that a bound is moved to when it lies outside
    let (low, high) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let place = |bound: Option<i64>, default: i64| {
        bound.map_or(default, |b| {
            (if b < 0 { b.saturating_add(length) } else { b }).clamp(low, high)
        })
    };
    let (mut at, end) = if step > 0 {
        (place(start, low), place(stop, high))
    } else {
        (place(start, high), place(stop, low))
    };
    let mut out = Vec::new();
    while if step > 0 { at < end } else { at > end } {
        out.push(list[at as usize].clone());
        at = at.saturating_add(step);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::sliced;

    #[test]
    fn slices_as_python_does() {
        let list = [0, 1, 2, 3, 4];
        for (start, stop, step, want) in [
            (None, None, 1, &[0, 1, 2, 3, 4][..]),
            (Some(1), None, 1, &[1, 2, 3, 4]),
            (Some(-2), None, 1, &[3, 4]),
            (None, Some(-1), 1, &[0, 1, 2, 3]),
            (Some(-9), Some(9), 2, &[0, 2, 4]),
            (None, None, -1, &[4, 3, 2, 1, 0]),
            (Some(3), Some(0), -2, &[3, 1]),
            (Some(9), Some(-9), -3, &[4, 1]),
            (Some(3), Some(1), 1, &[]),
            (Some(i64::MIN), Some(i64::MAX), i64::MAX, &[0]),
            (Some(i64::MAX), Some(i64::MIN), i64::MIN, &[4]),
        ] {
            assert_eq!(
                sliced(&list, start, stop, step),
                want,
                "{start:?}:{stop:?}:{step}"
            );
        }
        assert!(sliced(&[0; 0], None, None, -1).is_empty());
    }
}
