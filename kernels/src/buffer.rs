//! Memory for the kernels: f32 that start on a cache line, so that full-width vectors never
//! straddle two lines.

use std::ops::{Deref, DerefMut};

const LINE_BYTES: usize = 64;
const LINE_FLOATS: usize = LINE_BYTES / size_of::<f32>();

/// A growing f32 array that begins on a cache line. Its content after growing is unspecified but
/// initialised.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut buffer = Self::default();
        buffer.resize(len);
        buffer
    }

    /// Makes the length `len`; allocates only to grow beyond all earlier lengths.
    pub(crate) fn resize(&mut self, len: usize) {
        if self.start + len > self.memory.len() {
            self.memory = vec![0.0; len + LINE_FLOATS];
            self.start = self
                .memory
                .as_ptr()
                .align_offset(LINE_BYTES)
                .min(LINE_FLOATS);
        }
        self.len = len;
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_begins_on_a_cache_line() {
        for len in [1, 7, 64, 1000] {
            let buffer = Buffer::zeros(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr().align_offset(LINE_BYTES), 0);
        }
    }

    #[test]
    fn a_buffer_shrinks_and_grows_within_its_memory() {
        let mut buffer = Buffer::zeros(100);
        let start = buffer.as_ptr();
        buffer.resize(10);
        buffer.resize(100);
        assert_eq!(buffer.as_ptr(), start);
    }
}
