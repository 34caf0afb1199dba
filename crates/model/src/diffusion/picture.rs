//! From values to pixels, by exact operations only, and to a PNG.

use gavel_numerics::Tensor;

use super::Pixels;
use crate::ModelError;

/// A PNG's longer side has at least so many pixels.
const MIN_SIDE: usize = 256;

/// Pixels of 8 bits, row by row, the channels of a pixel together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// `height * width * channels` bytes.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Of values `[1, channels, height, width]`; `None` of other extents.
    pub(super) fn new(values: &Tensor, pixels: Pixels) -> Option<Picture> {
        let &[1, channels @ (1 | 3), height, width] = values.dims() else {
            return None;
        };
        let (channels, plane) = (channels as usize, (height * width) as usize);
        let values = values.as_f32()?;
        let byte = |i: usize| {
            let value = values[(i % channels) * plane + i / channels];
            // a NaN is black
            value.mul_add(pixels.scale, pixels.offset).round_ties_even() as u8
        };
        Some(Picture {
            width: width as usize,
            height: height as usize,
            channels,
            pixels: (0..values.len()).map(byte).collect(),
        })
    }

    /// Red, green and blue of a pixel.
    pub fn colour(&self, row: usize, column: usize) -> [u8; 3] {
        let at = (row * self.width + column) * self.channels;
        let value = |c: usize| self.pixels.get(at + c.min(self.channels - 1)).copied();
        [0, 1, 2].map(|c| value(c).unwrap_or(0))
    }

    /// A PNG, each pixel a square of the size that makes the longer side 256 at least.
    ///
    /// # Errors
    /// Extents that no PNG has.
    pub fn png(&self) -> Result<Vec<u8>, ModelError> {
        let fail = |e: png::EncodingError| ModelError::Picture(e.to_string());
        let times = MIN_SIDE.div_ceil(self.width.max(self.height).max(1));
        let mut large = Vec::with_capacity(self.pixels.len() * times * times);
        for row in self.pixels.chunks_exact(self.width * self.channels) {
            let pixels = row.chunks_exact(self.channels);
            let wide: Vec<u8> = pixels.flat_map(|p| p.repeat(times)).collect();
            large.extend(wide.repeat(times));
        }
        let extent = |n: usize| u32::try_from(n * times).unwrap_or(u32::MAX);
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, extent(self.width), extent(self.height));
        encoder.set_color(match self.channels {
            1 => png::ColorType::Grayscale,
            _ => png::ColorType::Rgb,
        });
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header().map_err(fail)?;
        writer.write_image_data(&large).map_err(fail)?;
        writer.finish().map_err(fail)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_pixels_and_pixels_a_png_of_squares() {
        let pixels = Pixels {
            scale: 100.0,
            offset: 0.5,
        };
        let values = vec![0.0, 1.0, 3.0, -1.0, f32::NAN, 0.02];
        let values = Tensor::f32([1, 3, 1, 2], values).unwrap();
        let picture = Picture::new(&values, pixels).unwrap();
        // 0.5 and 2.5 are rounded to even
        assert_eq!(picture.pixels, [0, 255, 0, 100, 0, 2]);
        assert_eq!(picture.colour(0, 1), [100, 0, 2]);
        let png = picture.png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(png))
            .read_info()
            .unwrap();
        let mut decoded = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut decoded).unwrap();
        assert_eq!((info.width, info.height), (256, 128));
        assert_eq!(decoded[..3], [0, 255, 0]);
        assert_eq!(decoded[decoded.len() - 3..], [100, 0, 2]);
        for dims in [vec![1, 2, 1, 3], vec![6], vec![2, 3, 1, 1]] {
            let other = Tensor::f32(dims, vec![0.0; 6]).unwrap();
            assert_eq!(Picture::new(&other, pixels), None);
        }
    }
}
