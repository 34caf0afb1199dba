//! From a PNG to a model's input, by exact operations only, so that whoever turns a picture into an input gets
//! the same bytes. What a model wants is in its `preprocess` asset (`spec/model.md`, section "Preprocessing").

use gavel_numerics::{DType, Tensor, TensorType};

use crate::{Model, ModelError};

/// Largest picture, in pixels along one side.
pub const MAX_SIDE: u32 = 8192;
/// Most bytes a decoded picture may take.
const MAX_DECODED_BYTES: usize = 1 << 28;

/// How pixels become values: `value = fma(pixel, scale, offset)` with `pixel` in 0..=255, per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// One value, or one per channel.
    pub scale: Vec<f32>,
    /// One value, or one per channel.
    pub offset: Vec<f32>,
    /// `pixel := 255 - pixel` first.
    pub invert: bool,
}

impl Default for Preprocess {
    fn default() -> Self {
        Preprocess {
            scale: vec![1.0 / 255.0],
            offset: vec![0.0],
            invert: false,
        }
    }
}

impl Preprocess {
    /// What the model's `preprocess` asset says; `scale=1/255`, `offset=0` where it says nothing.
    ///
    /// # Errors
    /// A line that is not `key=value`, an unknown key, a value that is no number or truth value.
    pub fn of(model: &Model) -> Result<Preprocess, ModelError> {
        let mut out = Preprocess::default();
        let Some(asset) = model.assets().get("preprocess") else {
            return Ok(out);
        };
        let fail = |line: &str| {
            ModelError::File(format!(
                "preprocess asset: {line:?} is not scale=NUMBERS, offset=NUMBERS or invert=true|false"
            ))
        };
        let text = std::str::from_utf8(asset)
            .map_err(|_| ModelError::File("preprocess asset is not UTF-8".into()))?;
        for line in text.lines().filter(|l| !l.is_empty()) {
            let (key, value) = line.split_once('=').ok_or_else(|| fail(line))?;
            let numbers = || {
                let parsed = value
                    .split(',')
                    .map(|v| v.trim().parse::<f32>().ok().filter(|v| v.is_finite()));
                parsed.collect::<Option<Vec<_>>>().ok_or_else(|| fail(line))
            };
            match key {
                "scale" => out.scale = numbers()?,
                "offset" => out.offset = numbers()?,
                "invert" => {
                    out.invert = match value.trim() {
                        "1" | "true" => true,
                        "0" | "false" => false,
                        _ => return Err(fail(line)),
                    };
                }
                _ => return Err(fail(line)),
            }
        }
        Ok(out)
    }
}

/// The model's single picture input for a PNG file.
///
/// # Errors
/// A model without a picture input, a PNG that is malformed or larger than [`MAX_SIDE`].
pub fn png_to_input(model: &Model, png: &[u8]) -> Result<Tensor, ModelError> {
    let fail = |reason: String| ModelError::Picture(reason);
    let [(name, ty)] = model.graph().inputs.as_slice() else {
        return Err(fail(format!(
            "the model has {} inputs; a picture needs a model with one",
            model.graph().inputs.len()
        )));
    };
    let (channels, height, width) = match (ty.dtype, ty.dims.as_slice()) {
        (DType::F32, &[1, c @ (1 | 3), h, w])
            if h <= MAX_SIDE.into() && w <= MAX_SIDE.into() && h * w > 0 =>
        {
            (c as usize, h as usize, w as usize)
        }
        _ => {
            return Err(fail(format!(
                "input {name} is {ty}; a picture needs F32[1x1xHxW] or F32[1x3xHxW]"
            )));
        }
    };
    let preprocess = Preprocess::of(model)?;
    let per_channel = |values: &[f32], c: usize| match values {
        [one] => Ok(*one),
        many => many
            .get(c)
            .copied()
            .filter(|_| many.len() == channels)
            .ok_or_else(|| {
                fail(format!(
                    "preprocess asset has {} values for {channels} channels",
                    many.len()
                ))
            }),
    };
    let picture = decode(png)?;
    let mut values = Vec::with_capacity(channels * height * width);
    for c in 0..channels {
        let (scale, offset) = (
            per_channel(&preprocess.scale, c)?,
            per_channel(&preprocess.offset, c)?,
        );
        for pixel in resize(
            &picture.plane(c, channels),
            [picture.height, picture.width],
            [height, width],
        ) {
            let pixel = if preprocess.invert {
                255 - pixel
            } else {
                pixel
            };
            values.push(f32::from(pixel).mul_add(scale, offset));
        }
    }
    Tensor::f32(TensorType::clone(ty).dims, values).map_err(|e| fail(e.to_string()))
}

/// 8-bit pixels, interleaved.
struct Picture {
    height: usize,
    width: usize,
    samples: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// One plane: a channel, or the luma of a colour picture for a grey model.
    fn plane(&self, channel: usize, wanted: usize) -> Vec<u8> {
        let colours = if self.samples >= 3 { 3 } else { 1 };
        self.pixels
            .chunks_exact(self.samples)
            .map(|p| match (colours, wanted) {
                // ITU-R BT.601 weights in 1/256
                (3, 1) => {
                    ((77 * u32::from(p[0]) + 150 * u32::from(p[1]) + 29 * u32::from(p[2]) + 128)
                        >> 8) as u8
                }
                (3, _) => p[channel],
                _ => p[0],
            })
            .collect()
    }
}

fn decode(png: &[u8]) -> Result<Picture, ModelError> {
    let fail = |reason: String| ModelError::Picture(reason);
    let mut decoder = png::Decoder::new_with_limits(
        std::io::Cursor::new(png),
        png::Limits {
            bytes: MAX_DECODED_BYTES,
        },
    );
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder
        .read_info()
        .map_err(|e| fail(format!("not a PNG: {e}")))?;
    let (width, height) = reader.info().size();
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(fail(format!(
            "{width}x{height} pixels are above the limit of {MAX_SIDE}x{MAX_SIDE}"
        )));
    }
    let bytes = reader
        .output_buffer_size()
        .filter(|&b| b <= MAX_DECODED_BYTES)
        .ok_or_else(|| fail("its size is absurd".into()))?;
    // a compressed file expands at most about a thousandfold: a header that promises more lies
    if bytes / 1100 > png.len() + 1024 {
        return Err(fail(format!(
            "it promises {bytes} bytes of pixels in a file of {}",
            png.len()
        )));
    }
    let mut pixels = vec![0; bytes];
    let frame = reader
        .next_frame(&mut pixels)
        .map_err(|e| fail(e.to_string()))?;
    pixels.truncate(frame.buffer_size());
    let samples = frame.color_type.samples();
    if frame.bit_depth != png::BitDepth::Eight
        || pixels.len() != samples * width as usize * height as usize
    {
        return Err(fail(format!(
            "{:?} with {:?} is not supported",
            frame.color_type, frame.bit_depth
        )));
    }
    Ok(Picture {
        height: height as usize,
        width: width as usize,
        samples,
        pixels,
    })
}

/// Area average in integers: an output pixel is the rounded mean of the input pixels that its square
/// touches, rows and columns `[i * from / to, ceil((i + 1) * from / to))`.
fn resize(plane: &[u8], from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    if from == to {
        return plane.to_vec();
    }
    let touched = |i: usize, axis: usize| {
        (
            i * from[axis] / to[axis],
            ((i + 1) * from[axis]).div_ceil(to[axis]),
        )
    };
    let mut out = Vec::with_capacity(to[0] * to[1]);
    for y in 0..to[0] {
        let (y0, y1) = touched(y, 0);
        for x in 0..to[1] {
            let (x0, x1) = touched(x, 1);
            let sum: u64 = (y0..y1)
                .map(|row| {
                    plane[row * from[1] + x0..row * from[1] + x1]
                        .iter()
                        .map(|&p| u64::from(p))
                        .sum::<u64>()
                })
                .sum();
            let count = ((y1 - y0) * (x1 - x0)) as u64;
            out.push(((2 * sum + count) / (2 * count)) as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resize_averages_whole_squares_and_repeats_pixels() {
        assert_eq!(resize(&[0, 255, 255, 0], [2, 2], [1, 1]), [128]);
        assert_eq!(resize(&[7], [1, 1], [2, 2]), [7; 4]);
        assert_eq!(resize(&[1, 2, 3], [1, 3], [1, 3]), [1, 2, 3]);
    }

    #[test]
    fn a_header_that_promises_gigabytes_is_refused_before_allocation() {
        // a valid header of 8000 x 8000 grey pixels and no data
        let mut png = vec![0x89, b'P', b'N', b'G', 13, 10, 26, 10, 0, 0, 0, 13];
        let mut chunk = b"IHDR".to_vec();
        chunk.extend(8000u32.to_be_bytes());
        chunk.extend(8000u32.to_be_bytes());
        chunk.extend([8, 0, 0, 0, 0]);
        let mut crc = 0xffff_ffffu32;
        for byte in &chunk {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 {
                    (crc >> 1) ^ 0xedb8_8320
                } else {
                    crc >> 1
                };
            }
        }
        png.extend(chunk);
        png.extend((!crc).to_be_bytes());
        assert!(decode(&png).is_err());
        assert!(decode(b"not a png").is_err());
    }
}
