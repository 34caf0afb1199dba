//! Operands that make trouble, in the manner of TestFloat: three groups whose members are tried with one another.

/// Members of a group.
pub(crate) const GROUP: usize = 20;

/// splitmix64
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.word() % n
    }

    /// In `-n..=n`.
    fn around(&mut self, n: u32) -> i32 {
        self.below(2 * u64::from(n) + 1) as i32 - n as i32
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

/// What the operands of a call have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Theme {
    /// Uniform bits.
    Uniform,
    /// Every combination of telling exponents and significands.
    Special,
    /// Exponents close together.
    Close,
    /// The second nearly the first's opposite, the third nearly the product's.
    Cancelling,
    /// The second half a place of the first, or a little off; the third so of the product.
    Ties,
    /// Exponents whose sum or difference is at the end of the range.
    Boundary,
}

impl Theme {
    pub(crate) const ALL: [Theme; 6] = [
        Theme::Uniform,
        Theme::Special,
        Theme::Close,
        Theme::Cancelling,
        Theme::Ties,
        Theme::Boundary,
    ];
}

/// Three groups of floats in words, with anything above the 32 bits.
pub(crate) fn floats(rng: &mut Rng, theme: Theme) -> Vec<u64> {
    let base = [float(rng, 60, 190), float(rng, 60, 190)];
    let product = base[0] * base[1];
    let exponent = rng.below(256) as i32;
    let (significands, sign) = ([rng.word(), rng.word()], rng.word());
    let operand = |rng: &mut Rng, group: usize| -> u32 {
        match theme {
            Theme::Uniform => rng.word() as u32,
            Theme::Special => special(rng),
            Theme::Close => {
                let fraction = fraction(rng);
                pack(rng.word(), exponent + rng.around(3), fraction)
            }
            Theme::Cancelling => {
                let near = [base[0], -base[0], -product][group];
                // fma wants the second to be the factor of the product, add and sub the opposite of the first
                let near = if group == 1 && sign & 1 == 0 {
                    base[1]
                } else {
                    near
                };
                let places = if rng.below(4) == 0 {
                    1 << rng.below(23)
                } else {
                    3
                };
                offset(near, rng.around(places))
            }
            Theme::Ties => {
                let near = [base[0], base[0], product][group];
                let near = if group == 1 && sign & 1 == 0 {
                    base[1]
                } else {
                    near
                };
                if group == 0 || (group == 1 && sign & 1 == 0) {
                    return offset(near, rng.around(2));
                }
                let down = rng.of(&[23, 24, 25, 26, 47, 48, 49, 50]);
                let exponent = (near.to_bits() >> 23 & 0xff) as i32 - down;
                let fraction = rng.of(&[0, 0, 1, 0x40_0000, 0x7f_ffff, 0x3f_ffff, 0x40_0001]);
                pack(rng.word(), exponent, fraction)
            }
            Theme::Boundary => {
                // sums of exponents around the overflow, the least normal or the least positive; differences likewise
                let ends = [127 + 127 + 127, 127 + 1, 127 - 23, 127 - 149 + 126];
                let end = ends[significands[0] as usize % ends.len()];
                let wanted = match group {
                    0 => exponent,
                    1 if sign & 2 == 0 => end - exponent,
                    1 => exponent + 127 - end,
                    _ => rng.below(256) as i32,
                };
                let fraction = fraction(rng);
                pack(rng.word(), wanted + rng.around(2), fraction)
            }
        }
    };
    let mut words = Vec::with_capacity(3 * GROUP);
    for group in 0..3 {
        for _ in 0..GROUP {
            let low = operand(rng, group);
            words.push(rng.word() << 32 | u64::from(low));
        }
    }
    words
}

/// Words of every length, powers of two and ties among them.
pub(crate) fn integers(rng: &mut Rng) -> Vec<u64> {
    let one = |_| {
        let shift = rng.below(64);
        let word = match rng.below(5) {
            0 => rng.word() >> shift,
            1 => (1u64 << shift).wrapping_add(rng.around(2) as i64 as u64),
            2 => u64::MAX << shift,
            // a significand, half a place behind it, and about that
            _ => {
                let significand = rng.word() >> 40 | 1 << 23;
                let places = rng.below(41);
                (significand << places)
                    .wrapping_add((1 << places) >> 1)
                    .wrapping_add(rng.around(1) as i64 as u64)
            }
        };
        if rng.below(2) == 0 {
            word
        } else {
            word.wrapping_neg()
        }
    };
    (0..3 * GROUP).map(one).collect()
}

/// A float with an exponent field in a range.
fn float(rng: &mut Rng, low: u64, high: u64) -> f32 {
    let exponent = low + rng.below(high - low);
    let fraction = fraction(rng);
    f32::from_bits(pack(rng.word(), exponent as i32, fraction))
}

fn offset(x: f32, places: i32) -> u32 {
    x.to_bits().wrapping_add_signed(places)
}

/// The float of these fields; an exponent outside the range is taken to its end.
fn pack(sign: u64, exponent: i32, fraction: u32) -> u32 {
    (sign as u32) << 31 | (exponent.clamp(0, 255) as u32) << 23 | fraction
}

fn special(rng: &mut Rng) -> u32 {
    const EXPONENTS: [i32; 24] = [
        0, 0, 1, 2, 22, 23, 24, 25, 63, 64, 102, 103, 104, 126, 127, 128, 149, 150, 151, 190, 252,
        253, 254, 255,
    ];
    let exponent = rng.of(&EXPONENTS);
    let fraction = fraction(rng);
    pack(rng.word(), exponent, fraction)
}

/// 23 bits: few of them, runs, nearly none or all, or anything.
fn fraction(rng: &mut Rng) -> u32 {
    const ALL: u32 = 0x7f_ffff;
    let (one, run) = (1u32 << rng.below(23), (1u32 << rng.below(24)) - 1);
    let found = match rng.below(8) {
        0 => 0,
        1 => one,
        2 => run,
        3 => !run,
        4 => one | 1 << rng.below(23) | 1 << rng.below(23),
        5 => run ^ one,
        6 => ALL.wrapping_add_signed(rng.around(2)),
        _ => rng.word() as u32,
    };
    found & ALL
}

/// Words without end.
impl Iterator for Rng {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        Some(self.word())
    }
}

/// Floats whose roots lie all but halfway between two floats, a little above: those that a root cut to 44 bits takes for ties.
/// `(M + 1/2)^2 = M^2 + M + 1/4`, so they are the `M^2 + M + c`, c small, that have no more than 24 bits but zeros.
pub(crate) fn roots_above_ties() -> Vec<u64> {
    let mut found = Vec::new();
    for zeros in [23, 24] {
        for c in (2..64).step_by(2) {
            for low in [0, 1] {
                // a bit more of M at a time: 2 M + 1 is odd, so that one of two continues a solution
                let m = (1..zeros).fold(low, |m: u64, bit| {
                    let value = m * m + m + c;
                    if value >> bit & 1 == 0 {
                        m
                    } else {
                        m | 1 << bit
                    }
                });
                for m in [m, m | 1 << 23] {
                    let square = m * m + m + c;
                    if m >> 23 == 1 && square.trailing_zeros() >= zeros && square >> zeros < 1 << 24
                    {
                        found.push((square as f32).to_bits().into());
                    }
                }
            }
        }
    }
    found
}
