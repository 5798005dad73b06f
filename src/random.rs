//! Named random streams: one seed for a run, one stream for each consumer.
//!
//! A consumer that draws more or fewer numbers never affects another, and a stream's whole state
//! goes into a checkpoint, so that a resumed run draws what the uninterrupted run would have drawn.

use std::convert::Infallible;
use std::fmt;

use rand::{Rng, RngExt as _, SeedableRng, TryRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
pub use rtg_kernels::hash::mix;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A random stream of a run, e.g. `Stream::new(seed, "sampler")`.
///
/// In a file it is a text with the generator's numbers: they have 128 bits, and a
/// [`serde_json::Value`] keeps 64. The numbers by themselves, as earlier files have them, are read
/// too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream(Pcg64);

impl Serialize for Stream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(&self.0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Stream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Numbers).map(Self)
    }
}

/// Reads a generator's numbers, in a text or not.
struct Numbers;

impl<'de> Visitor<'de> for Numbers {
    type Value = Pcg64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the numbers of a random stream")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Pcg64, E> {
        serde_json::from_str(text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pcg64, A::Error> {
        Pcg64::deserialize(MapAccessDeserializer::new(map))
    }
}

impl Stream {
    /// The stream called `name` of the run with this seed.
    pub fn new(seed: u64, name: &str) -> Self {
        Self(Pcg64::seed_from_u64(derive(seed, name)))
    }

    /// Fills with draws from N(0, 1).
    pub fn fill_normal(&mut self, values: &mut [f32]) {
        for value in values {
            *value = StandardNormal.sample(&mut self.0);
        }
    }

    /// Fills with draws from U(-1, 1).
    pub fn fill_uniform(&mut self, values: &mut [f32]) {
        for value in values {
            *value = self.0.random_range(-1.0..1.0);
        }
    }

    /// A draw from U\[0, 1).
    pub fn uniform(&mut self) -> f32 {
        self.0.random()
    }

    /// An index below `count`, each as likely as any other. Panics if `count` is 0.
    pub fn index(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

/// A 64-bit key that depends on every bit of the seed and of the name (FNV-1a over the name, then
/// the finaliser of `SplitMix64` over both).
pub fn derive(seed: u64, name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(mix(seed).wrapping_add(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_other_names_or_seeds_differ() {
        let draw = |seed, name| Stream::new(seed, name).next_u64();
        assert_eq!(draw(7, "sampler"), draw(7, "sampler"));
        assert_ne!(draw(7, "sampler"), draw(7, "dropout"));
        assert_ne!(draw(7, "sampler"), draw(8, "sampler"));
    }

    #[test]
    fn a_stored_stream_resumes_where_it_stopped() {
        let mut stream = Stream::new(1, "sampler");
        stream.next_u64();
        let numbers = serde_json::to_string(&stream.0).unwrap();
        let value = serde_json::to_value(&stream).unwrap();
        let mut restored: Stream = serde_json::from_value(value).unwrap();
        let mut former: Stream = serde_json::from_str(&numbers).unwrap();
        let next = stream.next_u64();
        assert_eq!((next, next), (restored.next_u64(), former.next_u64()));
        assert!(serde_json::from_str::<Stream>("\"{}\"").is_err());
    }
}
