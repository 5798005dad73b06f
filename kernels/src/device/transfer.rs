//! Numbers as the words of 4 bytes that a [`Backend`] moves, and back.

use super::backend::{Address, Backend, Error};
use crate::simd::pairs;

/// A new place with these words.
pub(crate) fn put(backend: &mut dyn Backend, words: &[u32]) -> Result<Address, Error> {
    let address = backend.allocate(words.len())?;
    backend.upload(address, words)?;
    Ok(address)
}

/// The numbers at a place.
pub(crate) fn get(
    backend: &mut dyn Backend,
    from: Address,
    numbers: &mut [f32],
) -> Result<(), Error> {
    let mut words = vec![0; numbers.len()];
    backend.download(from, &mut words)?;
    for (number, word) in numbers.iter_mut().zip(words) {
        *number = f32::from_bits(word);
    }
    Ok(())
}

/// `count` f64 at a place.
pub(crate) fn doubles(
    backend: &mut dyn Backend,
    from: Address,
    count: usize,
) -> Result<Vec<f64>, Error> {
    let mut words = vec![0; 2 * count];
    backend.download(from, &mut words)?;
    let double = |pair: &[u32]| f64::from_bits(u64::from(pair[1]) << 32 | u64::from(pair[0]));
    Ok(words.chunks(2).map(double).collect())
}

/// The bits of each number.
pub(crate) fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// Numbers rounded to bfloat16, two a word.
pub(crate) fn rounded(numbers: &[f32]) -> Vec<u32> {
    let half = |number: &f32| pairs::rounded(*number).to_bits() >> 16;
    let word = |two: &[f32]| half(&two[0]) | two.get(1).map_or(0, half) << 16;
    numbers.chunks(2).map(word).collect()
}

/// The lower and the upper half of each, as they are stored on every machine that CUDA runs on.
pub(crate) fn halves(numbers: &[u64]) -> Vec<u32> {
    let both = |number: &u64| [*number as u32, (*number >> 32) as u32];
    numbers.iter().flat_map(both).collect()
}

/// Bytes of whole words, as they are in memory.
pub(crate) fn words(bytes: &[u8]) -> Vec<u32> {
    let word = |four: &[u8]| u32::from_ne_bytes([four[0], four[1], four[2], four[3]]);
    bytes.chunks_exact(4).map(word).collect()
}
