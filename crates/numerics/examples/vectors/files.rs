//! The vectors by rule.

use std::path::PathBuf;

use gavel_numerics::{NumericsError, Op, scalar};

use super::{case, conversions, general, language, machine, operators, rules, sampling};

/// Where the vectors live.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/numerics")
}

/// Rule ids (and `operators`, `machine`) with the texts of their files.
pub(crate) fn files() -> Result<Vec<(&'static str, String)>, NumericsError> {
    let all = [
        (
            "N-1",
            "rounding, subnormals, one rounding of fma",
            rules::arithmetic()?,
        ),
        ("N-2", "the NaN that can be seen", rules::one_nan()?),
        ("N-3", "less", rules::less()?),
        ("N-4", "max", rules::max()?),
        ("N-5", "min", rules::min()?),
        ("N-6", "Relu", rules::relu()?),
        ("N-7", "Clip", rules::clip()?),
        ("N-8", "order C256", rules::sums_of_products()?),
        ("N-9", "the bias comes last", rules::bias()?),
        ("N-10", "padding taps are executed", rules::padding()?),
        ("N-11", "order L32", rules::sums()?),
        ("N-12", "maximum along an axis", operators::maximum()),
        ("N-13", "ArgMax", operators::arg_max()),
        ("N-14", "empty axes are refused", operators::empty_axes()),
        ("N-15", "average pooling", operators::average()),
        ("N-16", "maximum pooling", operators::max_pool()),
        ("N-17", "integers to f32", rules::conversion()?),
        ("N-18", "data movement", operators::movement()),
        ("N-20", "exp", rules::elementary(&Op::Exp, scalar::exp)?),
        (
            "N-21",
            "sigmoid",
            rules::elementary(&Op::Sigmoid, scalar::sigmoid)?,
        ),
        ("N-22", "tanh", rules::elementary(&Op::Tanh, scalar::tanh)?),
        ("N-23", "sign extension", conversions::sign_extend()?),
        ("N-24", "signed integers to f32", conversions::signed()?),
        ("N-25", "binary16 to f32", conversions::from_f16()?),
        ("N-26", "bfloat16 to f32", conversions::from_bf16()?),
        ("N-27", "f32 to binary16", conversions::to_f16()?),
        ("N-28", "f32 to bfloat16", conversions::to_bf16()?),
        ("N-29", "f32 to integers", conversions::to_integers()?),
        ("N-30", "log", language::logarithm()?),
        ("N-31", "Gumbel noise", language::gumbel_noise()?),
        (
            "formats",
            "rows of weights: their values, products with them",
            language::formats(),
        ),
        (
            "language",
            "the other operators of language models",
            [language::layers(), sampling::cases()].concat(),
        ),
        (
            "operators",
            "operators that no rule is about",
            operators::others(),
        ),
        (
            "general",
            "element programs, views, reductions, gathered rows",
            general::cases()?,
        ),
        (
            "machine",
            "integer instructions; code that is no program",
            machine::machine()?,
        ),
    ];
    let texts = all.map(|(rule, about, cases)| (rule, case::file(about, &cases)));
    Ok(texts.into())
}
