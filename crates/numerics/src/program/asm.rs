//! Assembler of the operator programs: registers by scope, loops, conditions.

use super::{INDEX_REGISTER, Instruction, Opcode};

/// A register's number.
pub(super) type Reg = u8;
/// Always 0; as an input's number, the first input.
pub(super) const ZERO: Reg = 0;
/// The element's flat index.
pub(super) const INDEX: Reg = INDEX_REGISTER;

/// A program being written. Methods that give a [`Reg`] put their result into a fresh register.
pub(super) struct Asm {
    code: Vec<Instruction>,
    next: Reg,
}

macro_rules! binary {
    ($($name:ident $opcode:ident;)*) => {
        $(pub(super) fn $name(&mut self, a: Reg, b: Reg) -> Reg {
            let d = self.fresh();
            self.to(d, Opcode::$opcode, a, b);
            d
        })*
    };
}

impl Asm {
    pub(super) fn new() -> Asm {
        Asm {
            code: Vec::new(),
            next: INDEX + 1,
        }
    }

    /// The program whose element is `value`.
    pub(super) fn end(mut self, value: Reg) -> Vec<Instruction> {
        self.emit(Opcode::End, 0, value, 0, 0);
        self.code
    }

    fn emit(&mut self, opcode: Opcode, d: Reg, a: Reg, b: Reg, immediate: u32) {
        self.code.push(Instruction {
            opcode,
            d,
            a,
            b,
            immediate,
        });
    }

    fn here(&self) -> u32 {
        self.code.len() as u32
    }

    fn fresh(&mut self) -> Reg {
        let d = self.next;
        self.next += 1;
        d
    }

    /// Frees the registers that `body` takes.
    pub(super) fn scope(&mut self, body: impl FnOnce(&mut Asm)) {
        let next = self.next;
        body(self);
        self.next = next;
    }

    /// Where fresh registers come from.
    pub(super) fn mark(&self) -> Reg {
        self.next
    }

    /// `body` with fresh registers from `mark`: what lies beyond is not read any more.
    pub(super) fn reuse_from(&mut self, mark: Reg, body: impl FnOnce(&mut Asm)) {
        let next = std::mem::replace(&mut self.next, mark);
        body(self);
        self.next = next;
    }

    /// A fresh register with what `body` computes; the registers it takes besides are freed.
    pub(super) fn value(&mut self, body: impl FnOnce(&mut Asm) -> Reg) -> Reg {
        let d = self.fresh();
        self.scope(|p| {
            let found = body(p);
            p.assign(d, found);
        });
        d
    }

    binary! {
        add Add;
        sub Sub;
        mul Mul;
        div Div;
        rem Mod;
        and And;
        or Or;
        less Less;
        equal Equal;
        fadd FAdd;
        fsub FSub;
        fmul FMul;
        fdiv FDiv;
        fmax FMax;
        fmin FMin;
        fless FLess;
        load Load;
    }

    /// `d = a opcode b`
    pub(super) fn to(&mut self, d: Reg, opcode: Opcode, a: Reg, b: Reg) {
        self.emit(opcode, d, a, b, 0);
    }

    /// `d = d opcode b`
    pub(super) fn update(&mut self, d: Reg, opcode: Opcode, b: Reg) {
        self.emit(opcode, d, d, b, 0);
    }

    /// `d = a`
    pub(super) fn assign(&mut self, d: Reg, a: Reg) {
        self.emit(Opcode::Add, d, a, ZERO, 0);
    }

    /// `d = a + n`
    pub(super) fn assign_plus(&mut self, d: Reg, a: Reg, n: u32) {
        self.emit(Opcode::Add, d, a, ZERO, n);
    }

    pub(super) fn copy(&mut self, a: Reg) -> Reg {
        self.plus(a, 0)
    }

    pub(super) fn plus(&mut self, a: Reg, n: u32) -> Reg {
        let d = self.fresh();
        self.assign_plus(d, a, n);
        d
    }

    /// A constant.
    pub(super) fn set(&mut self, n: u32) -> Reg {
        self.plus(ZERO, n)
    }

    /// A constant of f32.
    pub(super) fn float(&mut self, x: f32) -> Reg {
        self.set(x.to_bits())
    }

    /// A constant of 64 bits.
    pub(super) fn wide(&mut self, n: u64) -> Reg {
        let d = self.set((n >> 32) as u32);
        self.scope(|p| {
            let half = p.set(1 << 16);
            p.update(d, Opcode::Mul, half);
            p.update(d, Opcode::Mul, half);
        });
        self.assign_plus(d, d, n as u32);
        d
    }

    /// `body` with a constant of f32.
    pub(super) fn with_float(&mut self, x: f32, body: impl FnOnce(&mut Asm, Reg)) {
        self.scope(|p| {
            let x = p.float(x);
            body(p, x);
        });
    }

    /// `condition ? then : otherwise`
    pub(super) fn select(&mut self, condition: Reg, then: Reg, otherwise: Reg) -> Reg {
        let d = self.fresh();
        self.select_to(d, condition, then, otherwise);
        d
    }

    pub(super) fn select_to(&mut self, d: Reg, condition: Reg, then: Reg, otherwise: Reg) {
        self.emit(Opcode::Select, d, condition, then, otherwise.into());
    }

    pub(super) fn fma(&mut self, a: Reg, b: Reg, c: Reg) -> Reg {
        let d = self.fresh();
        self.fma_to(d, a, b, c);
        d
    }

    pub(super) fn fma_to(&mut self, d: Reg, a: Reg, b: Reg, c: Reg) {
        self.emit(Opcode::Fma, d, a, b, c.into());
    }

    pub(super) fn fsqrt(&mut self, a: Reg) -> Reg {
        let d = self.fresh();
        self.to(d, Opcode::FSqrt, a, ZERO);
        d
    }

    /// The integer `a` as f32.
    pub(super) fn converted(&mut self, a: Reg) -> Reg {
        let d = self.fresh();
        self.to(d, Opcode::ToF32, a, ZERO);
        d
    }

    /// `a / n`, rounded down.
    pub(super) fn div_by(&mut self, a: Reg, n: u32) -> Reg {
        let d = self.set(n);
        self.to(d, Opcode::Div, a, d);
        d
    }

    /// `a mod n`
    pub(super) fn rem_by(&mut self, a: Reg, n: u32) -> Reg {
        let d = self.set(n);
        self.to(d, Opcode::Mod, a, d);
        d
    }

    /// `d = opcode d`
    pub(super) fn convert(&mut self, d: Reg, opcode: Opcode) {
        self.emit(opcode, d, d, ZERO, 0);
    }

    /// The low `bits` bits of `d` in two's complement.
    pub(super) fn sign_extend(&mut self, d: Reg, bits: u32) {
        self.emit(Opcode::SignExtend, d, d, ZERO, bits);
    }

    /// `-0 - d`: the sign changed of all but NaN.
    pub(super) fn negate(&mut self, d: Reg) {
        self.scope(|p| {
            let minus_zero = p.float(-0.0);
            p.to(d, Opcode::FSub, minus_zero, d);
        });
    }

    /// Lane `(a + n) mod 32`.
    pub(super) fn get(&mut self, a: Reg, n: u32) -> Reg {
        let d = self.fresh();
        self.emit(Opcode::Get, d, a, ZERO, n);
        d
    }

    /// Lane `a mod 32` becomes `b`.
    pub(super) fn put(&mut self, a: Reg, b: Reg) {
        self.emit(Opcode::Put, 0, a, b, 0);
    }

    /// Extent of axis `axis + n` of `input`.
    pub(super) fn dim(&mut self, input: Reg, axis: Reg, n: u32) -> Reg {
        let d = self.fresh();
        self.emit(Opcode::Dim, d, axis, input, n);
        d
    }

    pub(super) fn rank(&mut self, input: Reg) -> Reg {
        let d = self.fresh();
        self.emit(Opcode::Rank, d, ZERO, input, 0);
        d
    }

    /// Extent of axis `axis + n` of the output.
    pub(super) fn out_dim(&mut self, axis: Reg, n: u32) -> Reg {
        let d = self.fresh();
        self.emit(Opcode::OutDim, d, axis, ZERO, n);
        d
    }

    pub(super) fn out_rank(&mut self) -> Reg {
        let d = self.fresh();
        self.emit(Opcode::OutRank, d, ZERO, ZERO, 0);
        d
    }

    /// Attribute word `at + n`.
    pub(super) fn attribute(&mut self, at: Reg, n: u32) -> Reg {
        let d = self.fresh();
        self.emit(Opcode::Attribute, d, at, ZERO, n);
        d
    }

    pub(super) fn inputs(&mut self) -> Reg {
        let d = self.fresh();
        self.emit(Opcode::Inputs, d, ZERO, ZERO, 0);
        d
    }

    /// `body` again and again while `a < b`.
    pub(super) fn repeat_while_less(&mut self, a: Reg, b: Reg, body: impl FnOnce(&mut Asm)) {
        let entry = self.code.len();
        self.emit(Opcode::Jump, 0, ZERO, ZERO, 0);
        let top = self.here();
        self.scope(body);
        let test = self.here();
        self.emit(Opcode::JumpLess, 0, a, b, top);
        self.code[entry].immediate = test;
    }

    /// `body` for `i`, from what it is, while `i < end`.
    pub(super) fn for_each(&mut self, i: Reg, end: Reg, body: impl FnOnce(&mut Asm)) {
        self.repeat_while_less(i, end, |p| {
            p.scope(body);
            p.assign_plus(i, i, 1);
        });
    }

    /// `body` if `a < b`.
    pub(super) fn if_less(&mut self, a: Reg, b: Reg, body: impl FnOnce(&mut Asm)) {
        let then = self.here() + 2;
        self.emit(Opcode::JumpLess, 0, a, b, then);
        let skip = self.code.len();
        self.emit(Opcode::Jump, 0, ZERO, ZERO, 0);
        self.scope(body);
        self.code[skip].immediate = self.here();
    }

    /// `body` if `a = b`.
    pub(super) fn if_equal(&mut self, a: Reg, b: Reg, body: impl FnOnce(&mut Asm)) {
        self.scope(|p| {
            let same = p.equal(a, b);
            p.if_less(ZERO, same, body);
        });
    }
}
