//! Vectors of the conversions for quantised formats, N-23 to N-29. Every pair is written out from the rule.

use gavel_numerics::program::Opcode;
use gavel_numerics::{DType, NumericsError};
use serde_json::Value;

use super::case::{bits, instruction, instruction_with, row, tensor};

type Cases = Result<Vec<Value>, NumericsError>;

fn words(values: &[u64]) -> Value {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensor(DType::I64, &[values.len() as u64], &bytes)
}

fn floats(values: &[u32]) -> Value {
    bits(&[values.len() as u64], values)
}

/// N-23.
pub(crate) fn sign_extend() -> Cases {
    let all = [0, 1, 0x7f, 0x80, 0x1ff, 0x8000, 1 << 63, u64::MAX];
    let one = |bits: u32, found: [u64; 8]| {
        let name = format!("{bits} bits");
        instruction_with(
            &name,
            Opcode::SignExtend,
            bits,
            &[words(&all)],
            words(&found),
        )
    };
    let max = u64::MAX;
    let byte = [0, 1, 0x7f, max - 0x7f, max, 0, 0, max];
    Ok(vec![
        one(8, byte)?,
        one(72, byte)?,
        one(1, [0, max, max, 0, max, 0, 0, max])?,
        one(16, [0, 1, 0x7f, 0x80, 0x1ff, max - 0x7fff, 0, max])?,
        one(63, [0, 1, 0x7f, 0x80, 0x1ff, 0x8000, 0, max])?,
        one(0, all)?,
        one(64, all)?,
    ])
}

/// N-24.
pub(crate) fn signed() -> Cases {
    let table: [(i64, u32); 9] = [
        (0, 0),
        (-1, 0xbf80_0000),
        (7, 0x40e0_0000),
        (-16_777_217, 0xcb80_0000),
        (-16_777_219, 0xcb80_0002),
        (16_777_219, 0x4b80_0002),
        (i64::MIN, 0xdf00_0000),
        (i64::MIN + 1, 0xdf00_0000),
        (i64::MAX, 0x5f00_0000),
    ];
    let input = words(&table.map(|t| t.0.cast_unsigned()));
    let found = floats(&table.map(|t| t.1));
    Ok(vec![instruction(
        "two's complement",
        Opcode::SignedToF32,
        &[input],
        found,
    )?])
}

/// N-25.
pub(crate) fn from_f16() -> Cases {
    let table: [(u64, u32); 12] = [
        (0x0000, 0x0000_0000),
        (0x8000, 0x8000_0000),
        (0x3c00, 0x3f80_0000),
        (0xc000, 0xc000_0000),
        (0x7bff, 0x477f_e000),
        (0x0400, 0x3880_0000),
        (0x0001, 0x3380_0000),
        (0x83ff, 0xb87f_c000),
        (0x7c00, 0x7f80_0000),
        (0xfc00, 0xff80_0000),
        (0xfc01, 0x7fc0_0000),
        // what stands above the 16 bits is not read
        (0xffff_0000_0000_3555, 0x3eaa_a000),
    ];
    widening(Opcode::F16ToF32, &table)
}

/// N-26.
pub(crate) fn from_bf16() -> Cases {
    let table: [(u64, u32); 8] = [
        (0x0000, 0x0000_0000),
        (0x8000, 0x8000_0000),
        (0x3f80, 0x3f80_0000),
        (0x0001, 0x0001_0000),
        (0x7f7f, 0x7f7f_0000),
        (0xff80, 0xff80_0000),
        (0xff81, 0x7fc0_0000),
        (0xffff_0000_0001_4049, 0x4049_0000),
    ];
    widening(Opcode::Bf16ToF32, &table)
}

fn widening(opcode: Opcode, table: &[(u64, u32)]) -> Cases {
    let input: Vec<u64> = table.iter().map(|t| t.0).collect();
    let found: Vec<u32> = table.iter().map(|t| t.1).collect();
    Ok(vec![instruction(
        "exact",
        opcode,
        &[words(&input)],
        floats(&found),
    )?])
}

/// N-27.
pub(crate) fn to_f16() -> Cases {
    narrowing(
        Opcode::F32ToF16,
        &[
            (0x0000_0000, 0x0000),
            (0x8000_0000, 0x8000),
            (0x3f80_0000, 0x3c00),
            // ties: to even, below and above
            (0x3f80_1000, 0x3c00),
            (0x3f80_1001, 0x3c01),
            (0x3f80_3000, 0x3c02),
            (0x3f80_2fff, 0x3c01),
            // 65504, the last below the tie with 2^16, the tie
            (0x477f_e000, 0x7bff),
            (0x477f_efff, 0x7bff),
            (0x477f_f000, 0x7c00),
            (0xff7f_ffff, 0xfc00),
            (0x7f80_0000, 0x7c00),
            // subnormals: the least, half of it, a little more, three halves, and up to the least normal
            (0x3380_0000, 0x0001),
            (0x3300_0000, 0x0000),
            (0x3300_0001, 0x0001),
            (0xb3c0_0000, 0x8002),
            (0x387f_c000, 0x03ff),
            (0x387f_e000, 0x0400),
            (0x0000_0001, 0x0000),
            (0x7fc0_0000, 0x7e00),
        ],
    )
}

/// N-28.
pub(crate) fn to_bf16() -> Cases {
    narrowing(
        Opcode::F32ToBf16,
        &[
            (0x0000_0000, 0x0000),
            (0x8000_0000, 0x8000),
            (0x3f80_0000, 0x3f80),
            (0x3f80_8000, 0x3f80),
            (0x3f80_8001, 0x3f81),
            (0x3f81_8000, 0x3f82),
            (0x7f7f_7fff, 0x7f7f),
            (0x7f7f_8000, 0x7f80),
            (0xff80_0000, 0xff80),
            (0x0000_8000, 0x0000),
            (0x0000_8001, 0x0001),
            (0x8001_8000, 0x8002),
            (0x007f_8000, 0x0080),
            (0x7fc0_0000, 0x7fc0),
        ],
    )
}

fn narrowing(opcode: Opcode, table: &[(u32, u64)]) -> Cases {
    let input: Vec<u32> = table.iter().map(|t| t.0).collect();
    let found: Vec<u64> = table.iter().map(|t| t.1).collect();
    Ok(vec![instruction(
        "nearest, ties to even",
        opcode,
        &[floats(&input)],
        words(&found),
    )?])
}

/// N-29.
pub(crate) fn to_integers() -> Cases {
    let table: [(f32, i64); 16] = [
        (0.0, 0),
        (-0.0, 0),
        (0.5, 0),
        (1.5, 2),
        (-0.5, 0),
        (-2.5, -2),
        (-3.5, -4),
        (0.499_999_97, 0),
        (0.500_000_06, 1),
        (8_388_607.5, 8_388_608),
        (-16_777_215.0, -16_777_215),
        (9_223_371_487_098_961_920.0, 9_223_371_487_098_961_920),
        (9_223_372_036_854_775_808.0, i64::MAX),
        (-9_223_372_036_854_775_808.0, i64::MIN),
        (f32::NEG_INFINITY, i64::MIN),
        (f32::NAN, 0),
    ];
    let found = words(&table.map(|t| t.1.cast_unsigned()));
    let input = row(&table.map(|t| t.0));
    Ok(vec![instruction(
        "nearest, ties to even",
        Opcode::F32ToInt,
        &[input],
        found,
    )?])
}
