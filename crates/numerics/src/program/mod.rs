//! Operator programs as data: the instruction set, its encoding of 8 bytes an instruction, and the
//! program table (`spec/numerics.md`, section "Programs").
//!
//! A program computes one element of an operator's output from the element's flat index, the operator's
//! attribute words and the inputs. Its instructions are total: nothing but the bound on steps can fail once
//! the bytes are well formed. [`crate::reference`] runs them.

mod asm;
mod functions;
mod language;
mod map;
mod operators;
mod order;
mod reduce;
mod routines;
mod view;
mod weights;

pub use functions::{Function, function};

use std::sync::OnceLock;

use crate::NumericsError;

/// Words of a machine's state: word 0 is the program counter and reads as 0, the last 32 are the lanes.
pub const REGISTERS: usize = 64;
/// First lane; lanes are the registers that [`Opcode::Get`] and [`Opcode::Put`] index.
pub const FIRST_LANE: usize = 32;
/// The register that holds the element's flat index at the start; all others hold 0.
pub const INDEX_REGISTER: u8 = 1;
/// Most instructions of a program.
pub const MAX_INSTRUCTIONS: usize = 1024;
/// Bytes of an instruction: opcode, `d`, `a`, `b`, immediate (big-endian u32).
pub const INSTRUCTION_BYTES: usize = 8;
/// Most steps of one element: above what any operator takes within the limits on shapes.
pub const MAX_STEPS: u64 = 1 << 42;
/// Operators of this numerics version have ids below it; the table's tree has height `height(45)`.
pub const TABLE_LEN: u16 = 45;
/// Root of the program table; part of the numerics version.
pub const TABLE_ROOT: [u8; 32] = [
    0xf3, 0x2b, 0x4d, 0x82, 0xe2, 0x54, 0x6a, 0x92, 0xc8, 0x04, 0x23, 0x40, 0x08, 0x4c, 0x97, 0xa3,
    0x41, 0xeb, 0x2c, 0x52, 0xf1, 0x0e, 0x22, 0xa5, 0xd3, 0x12, 0x58, 0x97, 0x1b, 0x34, 0x43, 0xb2,
];

/// Which fields of an instruction mean something. The others are zero.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Form {
    d: bool,
    a: bool,
    b: bool,
    immediate: Immediate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Immediate {
    None,
    /// A number.
    Word,
    /// A third operand.
    Register,
    /// An instruction.
    Target,
}

macro_rules! opcodes {
    ($($(#[$doc:meta])* $name:ident = $code:literal ($($field:ident),*) $immediate:ident;)*) => {
        /// What an instruction does. `d`, `a`, `b`, `c` stand for the registers that it names, `imm` for its
        /// immediate. Integers are 64-bit words modulo 2^64; an f32 is the low 32 bits of a register, an
        /// f32 result has zeros above, and its NaN is `0x7fc00000`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Opcode {
            $($(#[$doc])* $name = $code,)*
        }

        impl Opcode {
            /// Every opcode.
            pub const ALL: &[Opcode] = &[$(Opcode::$name),*];

            /// The opcode with this byte.
            pub fn from_byte(byte: u8) -> Option<Opcode> {
                match byte {
                    $($code => Some(Opcode::$name),)*
                    _ => None,
                }
            }

            fn form(self) -> Form {
                let only = |immediate| Form { d: false, a: false, b: false, immediate };
                match self {
                    $(Opcode::$name => Form { $($field: true,)* ..only(Immediate::$immediate) },)*
                }
            }
        }
    };
}

opcodes! {
    /// The element is `a`: its low bytes by the output's element type, a NaN of f32 made `0x7fc00000`.
    End = 0x01 (a) None;
    /// Go to instruction `imm`.
    Jump = 0x02 () Target;
    /// Go to instruction `imm` if `a < b`.
    JumpLess = 0x03 (a, b) Target;

    /// `d = a + b + imm`
    Add = 0x10 (d, a, b) Word;
    /// `d = a - b`
    Sub = 0x11 (d, a, b) None;
    /// `d = a * b`
    Mul = 0x12 (d, a, b) None;
    /// `d = a / b`, rounded down; 0 where `b` is 0.
    Div = 0x13 (d, a, b) None;
    /// `d = a mod b`; 0 where `b` is 0.
    Mod = 0x14 (d, a, b) None;
    /// `d = a & b`
    And = 0x15 (d, a, b) None;
    /// `d = a | b`
    Or = 0x16 (d, a, b) None;
    /// `d = 1` if `a < b`, else 0.
    Less = 0x17 (d, a, b) None;
    /// `d = 1` if `a = b`, else 0.
    Equal = 0x18 (d, a, b) None;
    /// `d = b` if `a` is not 0, else `c`.
    Select = 0x19 (d, a, b) Register;
    /// `d` = the low `imm mod 64` bits of `a` in two's complement; 0 means all 64 (N-23)
    SignExtend = 0x1a (d, a) Word;

    /// `d = lane[(a + imm) mod 32]`
    Get = 0x20 (d, a) Word;
    /// `lane[(a + imm) mod 32] = b`
    Put = 0x21 (a, b) Word;

    /// `d = a + b` (N-1)
    FAdd = 0x30 (d, a, b) None;
    /// `d = a - b` (N-1)
    FSub = 0x31 (d, a, b) None;
    /// `d = a * b` (N-1)
    FMul = 0x32 (d, a, b) None;
    /// `d = a / b` (N-1)
    FDiv = 0x33 (d, a, b) None;
    /// `d = sqrt(a)` (N-1)
    FSqrt = 0x34 (d, a) None;
    /// `d = a * b + c`, rounded once (N-1)
    Fma = 0x35 (d, a, b) Register;
    /// `d = max(a, b)` (N-4)
    FMax = 0x36 (d, a, b) None;
    /// `d = min(a, b)` (N-5)
    FMin = 0x37 (d, a, b) None;
    /// `d = 1` if `a < b` (N-3), else 0.
    FLess = 0x38 (d, a, b) None;
    /// `d = f32(a)` (N-17)
    ToF32 = 0x39 (d, a) None;
    /// `d = f32(a)`, `a` in two's complement (N-24)
    SignedToF32 = 0x3a (d, a) None;
    /// `d` = the integer nearest to the f32 `a`, in two's complement (N-29)
    F32ToInt = 0x3b (d, a) None;
    /// `d` = the binary16 in the low 16 bits of `a` as f32 (N-25)
    F16ToF32 = 0x3c (d, a) None;
    /// `d` = the bfloat16 in the low 16 bits of `a` as f32 (N-26)
    Bf16ToF32 = 0x3d (d, a) None;
    /// `d` = the binary16 nearest to the f32 `a` (N-27)
    F32ToF16 = 0x3e (d, a) None;
    /// `d` = the bfloat16 nearest to the f32 `a` (N-28)
    F32ToBf16 = 0x3f (d, a) None;

    /// `d` = bits of element `a` of input `b`, zero-extended, a NaN of f32 made `0x7fc00000`; 0 where there is none.
    Load = 0x40 (d, a, b) None;
    /// `d` = extent of axis `a + imm` of input `b`; 1 where there is none.
    Dim = 0x41 (d, a, b) Word;
    /// `d` = number of axes of input `b`; 0 where there is none.
    Rank = 0x42 (d, b) None;
    /// `d` = extent of axis `a + imm` of the output; 1 where there is none.
    OutDim = 0x43 (d, a) Word;
    /// `d` = number of axes of the output.
    OutRank = 0x44 (d) None;
    /// `d` = attribute word `a + imm`; 0 where there is none.
    Attribute = 0x45 (d, a) Word;
    /// `d` = number of inputs.
    Inputs = 0x46 (d) None;
}

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub opcode: Opcode,
    /// Register that it writes.
    pub d: u8,
    /// First operand.
    pub a: u8,
    /// Second operand.
    pub b: u8,
    /// Immediate: a number, a third operand or an instruction, by the opcode.
    pub immediate: u32,
}

impl Instruction {
    /// Its bytes.
    pub fn encode(&self) -> [u8; INSTRUCTION_BYTES] {
        let [i0, i1, i2, i3] = self.immediate.to_be_bytes();
        [self.opcode as u8, self.d, self.a, self.b, i0, i1, i2, i3]
    }

    /// What it works on, given the registers: those that it reads, in the order of its fields, then a number that it carries.
    pub fn operands(&self, registers: &[u64; REGISTERS]) -> Vec<u64> {
        let form = self.opcode.form();
        let third = form.immediate == Immediate::Register;
        let named = [(form.a, self.a), (form.b, self.b), (third, self.c())];
        let read = named.iter().filter(|(used, _)| *used);
        let mut words: Vec<u64> = read
            .map(|(_, register)| registers[usize::from(*register) % REGISTERS])
            .collect();
        if form.immediate == Immediate::Word {
            words.push(self.immediate.into());
        }
        words
    }

    /// The third operand; well-formed instructions name one of the registers.
    pub(crate) fn c(&self) -> u8 {
        self.immediate as u8
    }

    fn decode(bytes: [u8; INSTRUCTION_BYTES]) -> Result<Instruction, String> {
        let [code, d, a, b, immediate @ ..] = bytes;
        let opcode =
            Opcode::from_byte(code).ok_or_else(|| format!("no opcode has the byte {code:#04x}"))?;
        Ok(Instruction {
            opcode,
            d,
            a,
            b,
            immediate: u32::from_be_bytes(immediate),
        })
    }

    /// Whether it may stand in a program of `len` instructions.
    fn check(&self, len: usize) -> Result<(), String> {
        let form = self.opcode.form();
        for (name, used, register) in [
            ("d", form.d, self.d),
            ("a", form.a, self.a),
            ("b", form.b, self.b),
        ] {
            if !used && register != 0 {
                return Err(format!("{:?} has no {name}, found {register}", self.opcode));
            }
            if usize::from(register) >= REGISTERS {
                return Err(format!("{name} is register {register} of {REGISTERS}"));
            }
        }
        if form.d && self.d == 0 {
            return Err("register 0 cannot be written".into());
        }
        let bound = match form.immediate {
            Immediate::None => 1,
            Immediate::Register => REGISTERS as u64,
            Immediate::Target => len as u64,
            Immediate::Word => 1 << 32,
        };
        if u64::from(self.immediate) >= bound {
            return Err(format!(
                "the immediate {} of {:?} must be below {bound}",
                self.immediate, self.opcode
            ));
        }
        Ok(())
    }
}

/// A well-formed program: every field in range, no way to run past its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    code: Vec<Instruction>,
}

impl Program {
    /// A program of these instructions.
    ///
    /// # Errors
    /// [`NumericsError::Malformed`]: none or too many of them, an unused field that is not zero, a register,
    /// lane or target out of range, a write to register 0, or a last instruction that is neither End nor Jump.
    pub fn new(code: Vec<Instruction>) -> Result<Program, NumericsError> {
        let malformed = |at: usize, reason: String| NumericsError::Malformed { at, reason };
        let len = code.len();
        if len == 0 || len > MAX_INSTRUCTIONS {
            let reason = format!("a program has 1 to {MAX_INSTRUCTIONS} instructions, found {len}");
            return Err(malformed(len, reason));
        }
        for (at, instruction) in code.iter().enumerate() {
            instruction
                .check(len)
                .map_err(|reason| malformed(at, reason))?;
        }
        if !matches!(code[len - 1].opcode, Opcode::End | Opcode::Jump) {
            return Err(malformed(
                len - 1,
                "the last instruction is End or Jump".into(),
            ));
        }
        Ok(Program { code })
    }

    /// The program with this encoding.
    ///
    /// # Errors
    /// As [`Program::new`]; bytes that are no whole number of instructions; an unknown opcode.
    pub fn decode(bytes: &[u8]) -> Result<Program, NumericsError> {
        let (instructions, rest) = bytes.as_chunks::<INSTRUCTION_BYTES>();
        // before anything is allocated
        if !rest.is_empty() || instructions.len() > MAX_INSTRUCTIONS {
            return Err(NumericsError::Malformed {
                at: instructions.len(),
                reason: format!(
                    "{} bytes are not 1 to {MAX_INSTRUCTIONS} instructions",
                    bytes.len()
                ),
            });
        }
        let code = instructions
            .iter()
            .enumerate()
            .map(|(at, &i)| {
                Instruction::decode(i).map_err(|reason| NumericsError::Malformed { at, reason })
            })
            .collect::<Result<_, _>>()?;
        Program::new(code)
    }

    /// Its encoding: what the program table commits to.
    pub fn encode(&self) -> Vec<u8> {
        self.code.iter().flat_map(Instruction::encode).collect()
    }

    /// Its instructions.
    pub fn code(&self) -> &[Instruction] {
        &self.code
    }
}

/// The program of the operator with this id; `None` if the numerics version has no such operator.
pub fn program(id: u16) -> Option<&'static Program> {
    static TABLE: OnceLock<Vec<Option<Program>>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let ids = 0..TABLE_LEN;
        // that every program of an operator is well formed is a test
        ids.map(|id| Program::new(operators::code(id)?).ok())
            .collect()
    });
    table.get(usize::from(id))?.as_ref()
}
