//! Which vector instructions the kernels use: detection, forcing, and the proof that they exist.

use std::fmt;
use std::str::FromStr;

#[cfg(target_arch = "x86_64")]
use super::avx2::{self, Avx2};
#[cfg(target_arch = "x86_64")]
use super::avx512::{self, Avx512};
use super::linear::narrow::NarrowKernel;
#[cfg(target_arch = "x86_64")]
use super::linear::{
    avx2::{self as narrow_avx2, NarrowAvx2},
    avx512::{self as narrow_avx512, NarrowAvx512},
};
use super::scalar::Scalar;
use super::simd::Kernel;

/// Name of the environment variable read by [`Isa::from_env`].
pub const ISA_ENV: &str = "GAVEL_ISA";

/// An instruction set by name. Naming one says nothing about the machine; see [`Isa::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IsaKind {
    /// Portable code: every target.
    Scalar,
    /// x86-64 with AVX2 and FMA: 8 lanes.
    Avx2,
    /// x86-64 with AVX-512F: 16 lanes.
    Avx512,
}

impl IsaKind {
    /// Every instruction set, narrowest first.
    pub const ALL: [IsaKind; 3] = [IsaKind::Scalar, IsaKind::Avx2, IsaKind::Avx512];

    /// The name used by `GAVEL_ISA`.
    pub fn name(self) -> &'static str {
        match self {
            IsaKind::Scalar => "scalar",
            IsaKind::Avx2 => "avx2",
            IsaKind::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for IsaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for IsaKind {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Self, IsaError> {
        IsaKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| IsaError::UnknownName {
                name: name.to_owned(),
            })
    }
}

/// Why an instruction set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// The name is not one of `scalar`, `avx2`, `avx512`.
    #[error("unknown instruction set {name:?}: expected scalar, avx2 or avx512")]
    UnknownName {
        /// The name as given.
        name: String,
    },
    /// This CPU (or this build's target) lacks the instructions.
    #[error("instruction set {kind} was asked for, but this CPU does not have it")]
    Unavailable {
        /// The instruction set asked for.
        kind: IsaKind,
    },
}

/// A usable instruction set. Holding one proves that the CPU executes it; results do not depend on
/// which one it is.
#[derive(Clone, Copy)]
pub struct Isa(Token);

#[derive(Clone, Copy)]
enum Token {
    Scalar(Scalar),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Isa {
    /// The instruction set `kind`, if this CPU has it.
    pub fn new(kind: IsaKind) -> Result<Isa, IsaError> {
        let token = match kind {
            IsaKind::Scalar => Some(Token::Scalar(Scalar)),
            #[cfg(target_arch = "x86_64")]
            IsaKind::Avx2 => Avx2::detect().map(Token::Avx2),
            #[cfg(target_arch = "x86_64")]
            IsaKind::Avx512 => Avx512::detect().map(Token::Avx512),
            #[cfg(not(target_arch = "x86_64"))]
            _ => None,
        };
        token.map(Isa).ok_or(IsaError::Unavailable { kind })
    }

    /// The portable path, present everywhere.
    pub fn scalar() -> Isa {
        Isa(Token::Scalar(Scalar))
    }

    /// Every instruction set of this CPU, narrowest first; the first is always scalar.
    pub fn available() -> Vec<Isa> {
        IsaKind::ALL
            .into_iter()
            .filter_map(|kind| Isa::new(kind).ok())
            .collect()
    }

    /// The widest instruction set of this CPU.
    pub fn best() -> Isa {
        Isa::available().pop().unwrap_or_else(Isa::scalar)
    }

    /// The instruction set forced by `GAVEL_ISA`, or the widest one when the variable is unset or empty.
    pub fn from_env() -> Result<Isa, IsaError> {
        match std::env::var(ISA_ENV) {
            Ok(name) if !name.is_empty() => Isa::new(name.parse()?),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(Isa::best()),
            Err(std::env::VarError::NotUnicode(raw)) => Err(IsaError::UnknownName {
                name: raw.to_string_lossy().into_owned(),
            }),
        }
    }

    /// Its name.
    pub fn kind(self) -> IsaKind {
        match self.0 {
            Token::Scalar(_) => IsaKind::Scalar,
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(_) => IsaKind::Avx2,
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(_) => IsaKind::Avx512,
        }
    }

    /// Runs `kernel` compiled for this instruction set.
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Out {
        match self.0 {
            Token::Scalar(token) => kernel.run(token),
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(token) => avx2::run(token, kernel),
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(token) => avx512::run(token, kernel),
        }
    }
}

impl Isa {
    /// Runs `kernel` with this instruction set's words over narrow integers; where the CPU lacks some, with those of a
    /// lesser one.
    pub(super) fn run_narrow<K: NarrowKernel>(self, kernel: K) {
        #[cfg(target_arch = "x86_64")]
        {
            if let Token::Avx512(_) = self.0 {
                if let Some(token) = NarrowAvx512::<true>::detect() {
                    return narrow_avx512::run_vnni(token, kernel);
                }
                if let Some(token) = NarrowAvx512::<false>::detect() {
                    return narrow_avx512::run(token, kernel);
                }
            }
            if !matches!(self.0, Token::Scalar(_))
                && let Some(token) = NarrowAvx2::detect()
            {
                return narrow_avx2::run(token, kernel);
            }
        }
        kernel.run(Scalar);
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Isa({})", self.kind())
    }
}

impl PartialEq for Isa {
    fn eq(&self, other: &Isa) -> bool {
        self.kind() == other.kind()
    }
}

impl Eq for Isa {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_unknown_names_are_refused() {
        for kind in IsaKind::ALL {
            assert_eq!(kind.name().parse::<IsaKind>(), Ok(kind));
        }
        let err = "sse9".parse::<IsaKind>().unwrap_err();
        assert_eq!(
            err.to_string(),
            "unknown instruction set \"sse9\": expected scalar, avx2 or avx512"
        );
    }

    #[test]
    fn scalar_is_always_there_and_absent_sets_are_named() {
        assert_eq!(Isa::available()[0], Isa::scalar());
        for kind in IsaKind::ALL {
            match Isa::new(kind) {
                Ok(isa) => assert_eq!(isa.kind(), kind),
                Err(err) => assert_eq!(err, IsaError::Unavailable { kind }),
            }
        }
    }
}
