//! Vectors of the machine that runs operator programs: integer instructions and what is refused.

use gavel_numerics::NumericsError;
use gavel_numerics::program::{MAX_INSTRUCTIONS, Opcode};
use serde_json::Value;

use super::case::{instruction, integers, malformed};

/// Words that overflow, divide by nothing, or differ in their high half only.
const WORDS: [u64; 8] = [
    0,
    1,
    7,
    1 << 32,
    (1 << 32) | 7,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

fn column(words: impl Iterator<Item = u64>) -> Value {
    let words: Vec<i64> = words.map(u64::cast_signed).collect();
    integers(&[words.len() as u64], &words)
}

/// Every pair of words through the integer instructions, and programs that are none.
pub(crate) fn machine() -> Result<Vec<Value>, NumericsError> {
    let pairs = || WORDS.into_iter().flat_map(|a| WORDS.map(|b| (a, b)));
    let operands = [column(pairs().map(|p| p.0)), column(pairs().map(|p| p.1))];
    type Rule = fn(u64, u64) -> u64;
    let rules: [(Opcode, Rule); 9] = [
        (Opcode::Add, |a, b| a.wrapping_add(b)),
        (Opcode::Sub, |a, b| a.wrapping_sub(b)),
        (Opcode::Mul, |a, b| a.wrapping_mul(b)),
        (Opcode::Div, |a, b| a.checked_div(b).unwrap_or(0)),
        (Opcode::Mod, |a, b| a.checked_rem(b).unwrap_or(0)),
        (Opcode::And, |a, b| a & b),
        (Opcode::Or, |a, b| a | b),
        (Opcode::Less, |a, b| u64::from(a < b)),
        (Opcode::Equal, |a, b| u64::from(a == b)),
    ];
    let mut cases = Vec::new();
    for (opcode, rule) in rules {
        let found = column(pairs().map(|(a, b)| rule(a, b)));
        cases.push(instruction(
            &format!("{opcode:?}"),
            opcode,
            &operands,
            found,
        )?);
    }
    let three = [&WORDS, &[1; 8], &[2; 8]].map(|words| column(words.iter().copied()));
    let found = column(WORDS.into_iter().map(|a| if a == 0 { 2 } else { 1 }));
    cases.push(instruction("Select", Opcode::Select, &three, found)?);
    let end = [0x01, 0, 1, 0, 0, 0, 0, 0];
    let add = [0x10, 2, 1, 1, 0, 0, 0, 0];
    let after_end = |first: [u8; 8]| [first, end].concat();
    cases.extend([
        malformed("no instruction", &[]),
        malformed("half an instruction", &end[..4]),
        malformed("too long", &end.repeat(MAX_INSTRUCTIONS + 1)),
        malformed("an unknown opcode", &after_end([0; 8])),
        malformed("an unused field", &after_end([0x01, 1, 1, 0, 0, 0, 0, 0])),
        malformed(
            "an unused immediate",
            &after_end([0x11, 2, 1, 1, 0, 0, 0, 1]),
        ),
        malformed(
            "a write to register 0",
            &after_end([0x10, 0, 1, 1, 0, 0, 0, 0]),
        ),
        malformed("register 64", &after_end([0x10, 64, 1, 1, 0, 0, 0, 0])),
        malformed(
            "a third operand of 64",
            &after_end([0x35, 2, 1, 1, 0, 0, 0, 64]),
        ),
        malformed(
            "a target beyond the end",
            &after_end([0x02, 0, 0, 0, 0, 0, 0, 2]),
        ),
        malformed("an end that falls off", &[end, add].concat()),
    ]);
    Ok(cases)
}
