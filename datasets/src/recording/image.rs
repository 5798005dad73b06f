//! JPEG images: the only file that knows which library decodes them.
//!
//! The library is `zune-jpeg` (pure Rust). JPEG leaves the last bit of the inverse transform and
//! the interpolation of colours to the decoder. On the six images of the fixture `picture` 99.5 %
//! of the numbers are those of Pillow 13, which Minari uses; the mean difference is 0.006 and the
//! largest 2 of 255 levels. A test bounds the mean difference to a known image. The stored bytes
//! are never decoded and encoded again: conversions copy them.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::product;
use crate::Error;

/// The pixels of a JPEG file, which must have `shape`: height, width, and 3 colours unless grey.
pub(crate) fn decode(bytes: &[u8], shape: &[usize]) -> Result<Vec<u8>, Error> {
    let (height, width, colours) = match *shape {
        [height, width] | [height, width, 1] => (height, width, ColorSpace::Luma),
        [height, width, 3] => (height, width, ColorSpace::RGB),
        _ => return Err(Error::Unsupported(format!("an image of shape {shape:?}"))),
    };
    let damaged = |what: &str| Error::Damaged(format!("a JPEG image {what}"));
    let options = DecoderOptions::default()
        .set_max_width(width)
        .set_max_height(height)
        .jpeg_set_out_colorspace(colours);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let failed = |error| damaged(&format!("cannot be decoded, {error}"));
    decoder.decode_headers().map_err(failed)?;
    if decoder.dimensions() != Some((width, height)) {
        let (wide, high) = decoder.dimensions().unwrap_or_default();
        return Err(damaged(&format!(
            "has the size {wide} x {high}, expected {width} x {height}"
        )));
    }
    let pixels = decoder.decode().map_err(failed)?;
    if Some(pixels.len()) != product(shape) {
        return Err(damaged("has another number of colours than its space"));
    }
    Ok(pixels)
}
