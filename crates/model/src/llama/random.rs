//! Models with random weights, for tests and measurements: any extents, any formats, no file.

use std::collections::BTreeMap;

use gavel_numerics::convert::{f32_to_bf16, f32_to_f16};
use gavel_numerics::{NumericsError, Tensor, TensorType, WeightFormat};

use super::{
    Architecture, DEFAULT_SEGMENTS, Formats, LanguageModel, LlamaConfig, Rope, RopeScaling,
    WeightKind,
};
use crate::{Hashing, ModelError};

/// A small configuration of a family: rows are whole blocks of every format, queries share heads of keys, and the
/// last token of the vocabulary ends a run.
pub fn tiny(architecture: Architecture) -> LlamaConfig {
    let qwen = matches!(architecture, Architecture::Qwen2 | Architecture::Qwen3);
    LlamaConfig {
        architecture,
        context: 48,
        vocabulary: 96,
        width: 256,
        hidden: 512,
        layers: 3,
        heads: 8,
        kv_heads: 2,
        head_dim: 32,
        epsilon: 1e-5,
        window: match architecture {
            Architecture::Mistral => 12,
            _ => 0,
        },
        bias: architecture == Architecture::Qwen2,
        head_norms: architecture == Architecture::Qwen3,
        tied: qwen,
        rope: Rope {
            halves: qwen,
            rotary: 32,
            base: 10_000.0,
            scaling: RopeScaling::None,
        },
        bos: Some(0),
        end: vec![95],
    }
}

/// A model of random weights: a matrix's products have about the size of what they read.
///
/// # Errors
/// A configuration that does not fit together, or a row that is no whole number of its format's blocks.
pub fn random(
    config: &LlamaConfig,
    formats: &Formats,
    seed: u64,
) -> Result<LanguageModel, ModelError> {
    let mut noise = Noise(seed);
    Hashing::quiet(|hashing| {
        let assets = BTreeMap::new();
        LanguageModel::new(
            config.clone(),
            formats,
            assets,
            DEFAULT_SEGMENTS,
            hashing,
            |spec| {
                let made = match spec.kind {
                    WeightKind::Matrix(format) => matrix(&mut noise, format, &spec.ty),
                    _ if spec.name.ends_with(".bias") => vector(&mut noise, &spec.ty, 0.0),
                    _ => vector(&mut noise, &spec.ty, 1.0),
                };
                made.map_err(|source| ModelError::Shape {
                    node: spec.name.clone(),
                    source,
                })
            },
        )
    })
}

/// The generator of the numbers: SplitMix64.
struct Noise(u64);

impl Noise {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Evenly from -1 to 1.
    fn unit(&mut self) -> f32 {
        (self.word() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.word().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

fn vector(noise: &mut Noise, ty: &TensorType, middle: f32) -> Result<Tensor, NumericsError> {
    let values = (0..ty.elements()?).map(|_| middle + noise.unit() / 4.0);
    Tensor::f32(ty.dims.clone(), values.collect())
}

fn matrix(
    noise: &mut Noise,
    format: WeightFormat,
    ty: &TensorType,
) -> Result<Tensor, NumericsError> {
    let row = ty.dims.last().map_or(0, |&extent| extent as usize);
    let values = match format {
        WeightFormat::F32 => row,
        _ => format.row_values(row).unwrap_or(0),
    };
    // products of k terms grow with the root of k
    let deviation = 1.0 / (values.max(1) as f32).sqrt();
    // the even distribution from -1 to 1 has this one's inverse
    let amplitude = deviation * 3f32.sqrt();
    if format == WeightFormat::F32 {
        let all = (0..ty.elements()?).map(|_| amplitude * noise.unit());
        return Tensor::f32(ty.dims.clone(), all.collect());
    }
    let mut bytes = vec![0; ty.byte_len()?];
    for block in bytes.chunks_mut(format.block_bytes()) {
        let mut scale = |spread: f32| {
            let varied = 1.0 + noise.unit() / 2.0;
            f32_to_f16(deviation / spread * varied).to_le_bytes()
        };
        match format {
            WeightFormat::F32 => {}
            WeightFormat::F16 => {
                block.copy_from_slice(&f32_to_f16(amplitude * noise.unit()).to_le_bytes());
            }
            WeightFormat::Bf16 => {
                block.copy_from_slice(&f32_to_bf16(amplitude * noise.unit()).to_le_bytes());
            }
            // the spread of even bytes and of even nibbles
            WeightFormat::Q8_0 => {
                let d = scale(74.0);
                noise.fill(block);
                block[..2].copy_from_slice(&d);
            }
            WeightFormat::Q4_0 => {
                let d = scale(4.6);
                noise.fill(block);
                block[..2].copy_from_slice(&d);
            }
            // nibbles times scales up to 63
            WeightFormat::Q4_K => {
                let (d, min) = (scale(4.6 * 37.0), scale(4.6 * 37.0 / 7.5));
                noise.fill(block);
                block[..2].copy_from_slice(&d);
                block[2..4].copy_from_slice(&min);
                // equal scales and minima, so that values lie around zero: 6 bits of each are in two places
                for j in 0..4 {
                    block[8 + j] = block[4 + j];
                    block[12 + j] = block[12 + j] & 0x0f | block[12 + j] << 4;
                }
            }
            // six bits times scales of a byte
            WeightFormat::Q6_K => {
                let d = scale(18.5 * 74.0);
                noise.fill(block);
                block[208..].copy_from_slice(&d);
            }
        }
    }
    Tensor::u8(ty.dims.clone(), bytes)
}
