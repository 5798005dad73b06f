//! `NumPy`'s default random generator, so that seeds have the same meaning as in Gymnasium.
//!
//! `numpy.random.default_rng(seed)` is a PCG64 whose 256 bits of state come from the seed through a
//! `SeedSequence`: the seed's 32-bit words are hashed into a pool of four, mixed until every word
//! of the pool depends on every word of the seed, and stretched to the words requested (M. E.
//! O'Neill's `seed_seq_fe`). A spawn key appended to the seed selects a stream that is independent
//! of the seed's own.

use rand::{Rng, TryRng};
use rand_pcg::Pcg64;
use std::convert::Infallible;

mod ziggurat;

/// The spawn key of the stream that belongs to an episode's random actions.
const ACTIONS: u32 = 1;

/// `numpy.random.Generator(PCG64(SeedSequence(seed)))`.
///
/// It is also a generator of the crate `rand`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumpyRng {
    pcg: Pcg64,
    /// The upper half of the last draw, which `NumPy` keeps for the next 32-bit number.
    spare: Option<u32>,
}

impl NumpyRng {
    /// `numpy.random.default_rng(seed)`.
    pub fn from_seed(seed: u64) -> Self {
        Self::from_words(&words(seed))
    }

    /// `default_rng(SeedSequence(seed, spawn_key=(key,)))`: for each key a separate stream,
    /// independent of that of [`NumpyRng::from_seed`].
    pub fn spawned(seed: u64, key: u32) -> Self {
        let mut entropy = words(seed);
        entropy.resize(POOL, 0);
        entropy.push(key);
        Self::from_words(&entropy)
    }

    /// The stream of random actions for the episode that starts with this seed. The environment
    /// draws its start state from the seed's own stream, so the actions must not.
    pub fn for_actions(seed: u64) -> Self {
        Self::spawned(seed, ACTIONS)
    }

    fn from_words(entropy: &[u32]) -> Self {
        let [a, b, c, d] = stretch(pool(entropy));
        Self {
            pcg: Pcg64::new(join(a, b), join(c, d)),
            spare: None,
        }
    }

    /// Uniform in `[0, 1)` with 53 random bits: `Generator.random()`.
    pub fn random(&mut self) -> f64 {
        unit(self)
    }

    /// Uniform in `[low, high)`: `Generator.uniform(low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random()
    }

    /// Normal with mean 0 and standard deviation 1: `Generator.standard_normal()`.
    pub fn standard_normal(&mut self) -> f64 {
        ziggurat::standard_normal(self)
    }

    /// Uniform among the integers `low .. high`: `Generator.integers(low, high)`. An empty range
    /// returns `low`.
    ///
    /// Lemire's method: the upper half of a random word times the number of choices, where the
    /// products whose lower half would favour a choice are drawn again.
    pub fn integers(&mut self, low: i64, high: i64) -> i64 {
        const SHORT: u64 = u32::MAX as u64;
        let last = high.max(low.saturating_add(1)).wrapping_sub(low) as u64 - 1;
        let drawn = match last {
            0 => 0,
            SHORT => u64::from(self.next_u32()),
            last if last < SHORT => self.short_lemire(last as u32),
            last => self.long_lemire(last),
        };
        low.wrapping_add(drawn as i64)
    }

    /// One of `0 ..= last` from 32-bit words.
    fn short_lemire(&mut self, last: u32) -> u64 {
        let choices = u64::from(last) + 1;
        let refused = u64::from(u32::MAX - last) % choices;
        loop {
            let product = u64::from(self.next_u32()) * choices;
            if product & u64::from(u32::MAX) >= refused {
                return product >> 32;
            }
        }
    }

    /// One of `0 ..= last` from 64-bit words; `last` is below the largest word.
    fn long_lemire(&mut self, last: u64) -> u64 {
        let choices = u128::from(last) + 1;
        let refused = u128::from(u64::MAX - last) % choices;
        loop {
            let product = u128::from(self.next_u64()) * choices;
            if product & u128::from(u64::MAX) >= refused {
                return (product >> 64) as u64;
            }
        }
    }
}

/// A uniform number in `[0, 1)` with 53 random bits from any generator.
pub(crate) fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

impl TryRng for NumpyRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        if let Some(high) = self.spare.take() {
            return Ok(high);
        }
        let both = self.pcg.next_u64();
        self.spare = Some((both >> 32) as u32);
        Ok(both as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.pcg.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.pcg.fill_bytes(bytes);
        Ok(())
    }
}

/// Words in the pool of a `SeedSequence`.
const POOL: usize = 4;

/// The 32-bit words of a seed, low first, without leading zeros.
fn words(seed: u64) -> Vec<u32> {
    let (low, high) = (seed as u32, (seed >> 32) as u32);
    if high == 0 {
        vec![low]
    } else {
        vec![low, high]
    }
}

fn join(high: u64, low: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

/// A multiplicative hash whose constant changes with every word it has hashed.
struct Hash {
    constant: u32,
    multiplier: u32,
}

impl Hash {
    fn hash(&mut self, word: u32) -> u32 {
        let word = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.multiplier);
        let word = word.wrapping_mul(self.constant);
        word ^ word >> 16
    }
}

fn mix(x: u32, y: u32) -> u32 {
    let mixed = x
        .wrapping_mul(0xca01_f9dd)
        .wrapping_sub(y.wrapping_mul(0x4973_f715));
    mixed ^ mixed >> 16
}

/// Hashes the entropy into the pool and mixes the pool with itself and with what did not fit.
fn pool(entropy: &[u32]) -> [u32; POOL] {
    let mut hash = Hash {
        constant: 0x43b0_d7e5,
        multiplier: 0x931e_8875,
    };
    let mut pool = std::array::from_fn(|i| hash.hash(entropy.get(i).copied().unwrap_or(0)));
    for source in 0..POOL {
        for target in 0..POOL {
            if source != target {
                pool[target] = mix(pool[target], hash.hash(pool[source]));
            }
        }
    }
    for &word in entropy.iter().skip(POOL) {
        for target in &mut pool {
            *target = mix(*target, hash.hash(word));
        }
    }
    pool
}

/// Stretches the pool to four 64-bit words: `SeedSequence.generate_state(4, uint64)`.
fn stretch(pool: [u32; POOL]) -> [u64; 4] {
    let mut hash = Hash {
        constant: 0x8b51_f9dd,
        multiplier: 0x58f3_8ded,
    };
    let words: [u32; 8] = std::array::from_fn(|i| hash.hash(pool[i % POOL]));
    std::array::from_fn(|i| u64::from(words[2 * i]) | u64::from(words[2 * i + 1]) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_numbers_are_those_of_numpy() {
        let mut rng = NumpyRng::from_seed(42);
        let raw = [
            14_276_969_152_011_380_360,
            8_095_878_257_575_067_585,
            15_838_336_090_824_644_132,
        ];
        assert_eq!([rng.next_u64(), rng.next_u64(), rng.next_u64()], raw);
    }

    #[test]
    fn uniform_numbers_are_those_of_numpy() {
        // numpy.random.default_rng(seed).uniform(-0.05, 0.05, 2), NumPy 2.4
        for (seed, expected) in UNIFORM {
            let mut rng = NumpyRng::from_seed(seed);
            assert_eq!(
                [rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05)].map(f64::to_bits),
                expected.map(f64::to_bits),
                "{seed}"
            );
        }
    }

    #[test]
    fn spawned_streams_are_those_of_numpy() {
        // numpy.random.default_rng(numpy.random.SeedSequence(seed, spawn_key=(1,))).random(2),
        // NumPy 2.4
        for (seed, expected) in SPAWNED {
            let mut rng = NumpyRng::spawned(seed, 1);
            assert_eq!(
                [rng.random(), rng.random()].map(f64::to_bits),
                expected.map(f64::to_bits),
                "{seed}"
            );
        }
    }

    #[test]
    fn a_32_bit_number_is_half_a_draw_and_the_other_half_waits() {
        // numpy.random.default_rng(7).integers(0, 2**32, 3, dtype="uint32"), with a random() after
        // the first
        let mut rng = NumpyRng::from_seed(7);
        let first = rng.next_u32();
        let between = rng.random();
        assert_eq!([first, rng.next_u32(), rng.next_u32()], HALVES);
        assert_eq!(between.to_bits(), BETWEEN.to_bits());
    }

    #[test]
    fn normal_numbers_are_those_of_numpy_in_the_tail_too() {
        // numpy.random.default_rng(42).standard_normal(200_000), NumPy 2.4; 59 lie in the tail.
        let mut rng = NumpyRng::from_seed(42);
        let numbers: Vec<f64> = (0..200_000).map(|_| rng.standard_normal()).collect();
        let sum = (numbers.iter()).fold(0_u64, |sum, number| sum.wrapping_add(number.to_bits()));
        assert_eq!(numbers[0].to_bits(), 0.304_717_079_754_431_35_f64.to_bits());
        assert_eq!(sum, NORMAL_BITS);
        assert!(numbers.iter().any(|number| *number > 5.0));
        assert_eq!(rng.integers(0, 10), 7);
        assert_eq!(
            rng.random().to_bits(),
            0.265_809_020_983_687_3_f64.to_bits()
        );
    }

    #[test]
    fn integers_are_those_of_numpy() {
        // default_rng(7).integers(low, high) one after the other, NumPy 2.4
        let mut rng = NumpyRng::from_seed(7);
        for (low, high, expected) in INTEGERS {
            assert_eq!(rng.integers(low, high), expected, "{low} .. {high}");
        }
        // Ranges in which a third or a quarter of all words is rejected.
        let mut rng = NumpyRng::from_seed(11);
        let short: i64 = (0..2000).map(|_| rng.integers(0, 3_000_000_000)).sum();
        let long = (0..2000)
            .map(|_| rng.integers(0, 3 << 61) as u64)
            .fold(0, u64::wrapping_add);
        assert_eq!(
            (short, long),
            (3_006_623_450_917, 2_632_856_691_744_073_448)
        );
        assert_eq!(rng.random().to_bits(), 0.605_831_296_297_429_f64.to_bits());
        assert_eq!(rng.integers(5, 5), 5);
    }

    const NORMAL_BITS: u64 = 2_109_066_011_298_008_678;
    const INTEGERS: [(i64, i64, i64); 10] = [
        (0, 2, 1),
        (0, 10, 6),
        (-5, 6, 2),
        (0, 3_000_000_000, 2_691_641_402),
        (0, 1 << 32, 2_483_747_170),
        (0, (1 << 32) + 1, 967_257_516),
        (-(1 << 40), 1 << 50, 337_187_716_911_595),
        (0, i64::MAX, 8_057_108_420_966_028_185),
        (3, 4, 3),
        (0, 7, 5),
    ];
    const UNIFORM: [(u64, [f64; 2]); 6] = [
        (0, [0.013_696_168_732_145_436, -0.023_021_328_623_612_97]),
        (1, [0.001_182_162_470_025_671_7, 0.045_046_369_632_593_536]),
        (42, [0.027_395_604_855_596_334, -0.006_112_156_024_794_771]),
        (
            4_294_967_295,
            [-0.024_805_643_195_500_35, -0.028_093_420_371_314_338],
        ),
        (
            4_294_967_296,
            [0.038_973_879_127_813_43, 0.005_713_805_020_622_631],
        ),
        (
            18_446_744_073_709_551_615,
            [0.018_002_667_896_169_305, 0.034_531_175_856_247_43],
        ),
    ];
    const SPAWNED: [(u64, [f64; 2]); 6] = [
        (0, [0.677_196_856_975_101_9, 0.242_986_748_542_821_2]),
        (1, [0.475_764_518_589_990_6, 0.600_588_403_908_478_1]),
        (42, [0.467_490_779_951_842_4, 0.046_448_896_448_687_33]),
        (
            4_294_967_295,
            [0.345_284_401_034_013_7, 0.415_056_084_560_743_94],
        ),
        (
            4_294_967_296,
            [0.124_097_252_958_906_5, 0.628_292_610_172_424_8],
        ),
        (
            18_446_744_073_709_551_615,
            [0.626_604_702_849_244_4, 0.003_316_920_404_323_076],
        ),
    ];
    const HALVES: [u32; 3] = [4_058_335_883, 2_684_764_585, 2_483_747_170];
    const BETWEEN: f64 = 0.897_213_800_969_575_5;
}
