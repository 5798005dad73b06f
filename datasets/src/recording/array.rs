//! Numbers with their type: what a NumPy array is, as bytes.

use rtg_envs::Dtype;

use crate::Error;

/// An array of one type, row-major, its numbers as little-endian bytes.
///
/// The first axis counts rows where the array belongs to an episode. Keeping the bytes keeps the
/// type, so a conversion changes no number.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    /// An array of these bytes; their number must be that of the shape.
    pub fn new(dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Self, Error> {
        let expected = product(&shape).and_then(|numbers| numbers.checked_mul(size(dtype)));
        if expected == Some(bytes.len()) {
            return Ok(Self {
                dtype,
                shape,
                bytes,
            });
        }
        Err(Error::Damaged(format!(
            "{} bytes for an array of shape {shape:?} and type {}",
            bytes.len(),
            name(dtype)
        )))
    }

    /// An array of these numbers, each rounded to the type.
    ///
    /// # Panics
    /// If the number of numbers does not fit the shape.
    pub fn of(dtype: Dtype, shape: Vec<usize>, numbers: &[f64]) -> Self {
        assert_eq!(product(&shape), Some(numbers.len()), "numbers for a shape");
        let mut bytes = Vec::with_capacity(numbers.len() * size(dtype));
        for &number in numbers {
            encode(dtype, number, &mut bytes);
        }
        Self {
            dtype,
            shape,
            bytes,
        }
    }

    /// An array of booleans with one axis.
    pub fn of_flags(flags: &[bool]) -> Self {
        Self {
            dtype: Dtype::Bool,
            shape: vec![flags.len()],
            bytes: flags.iter().map(|&flag| flag.into()).collect(),
        }
    }

    /// The type of the numbers.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The sizes of the axes; none for a single number.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers as little-endian bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The size of the first axis, 1 if there is none.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The sizes of the other axes.
    pub fn row_shape(&self) -> &[usize] {
        self.shape.get(1..).unwrap_or(&[])
    }

    /// How many numbers there are.
    pub fn numbers(&self) -> usize {
        self.bytes.len() / size(self.dtype)
    }

    /// How many numbers a row has.
    pub fn row_numbers(&self) -> usize {
        self.row_shape().iter().product()
    }

    /// The same numbers in another shape.
    pub fn reshaped(self, shape: Vec<usize>) -> Result<Self, Error> {
        Self::new(self.dtype, shape, self.bytes)
    }

    /// The rows `range`, copied.
    ///
    /// # Panics
    /// If there are fewer rows, or no axis.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let row = self.row_numbers() * size(self.dtype);
        let mut shape = self.shape.clone();
        shape[0] = range.len();
        Self {
            dtype: self.dtype,
            shape,
            bytes: self.bytes[range.start * row..range.end * row].to_vec(),
        }
    }

    /// Appends the rows of another array of the same type and row shape.
    pub fn extend(&mut self, other: &Self) -> Result<(), Error> {
        if self.dtype != other.dtype || self.row_shape() != other.row_shape() {
            return Err(Error::Shape {
                what: "a part of a column".into(),
                found: other.shape.clone(),
                expected: format!("rows {:?} of {}", self.row_shape(), name(self.dtype)),
            });
        }
        self.bytes.extend_from_slice(&other.bytes);
        self.shape[0] += other.rows();
        Ok(())
    }

    /// Appends zeros to reach that many rows.
    pub(crate) fn pad(&mut self, rows: usize) {
        if rows > self.rows() && !self.shape.is_empty() {
            let row = self.row_numbers() * size(self.dtype);
            self.bytes.resize(rows * row, 0);
            self.shape[0] = rows;
        }
    }

    /// The same numbers in another type, each rounded to it.
    pub(crate) fn cast(&self, dtype: Dtype) -> Self {
        Self::of(dtype, self.shape.clone(), &self.to_f64())
    }

    /// All numbers. Integers beyond 2^53 are rounded; booleans are 0 and 1.
    pub fn to_f64(&self) -> Vec<f64> {
        let mut numbers = Vec::with_capacity(self.numbers());
        self.decode_into(&mut numbers);
        numbers
    }

    /// Appends all numbers to `numbers`.
    pub fn decode_into(&self, numbers: &mut Vec<f64>) {
        macro_rules! decode {
            ($number:ty) => {{
                let (items, _) = self.bytes.as_chunks::<{ size_of::<$number>() }>();
                numbers.extend(
                    items
                        .iter()
                        .map(|&item| <$number>::from_le_bytes(item) as f64),
                );
            }};
        }
        match self.dtype {
            Dtype::Bool => numbers.extend(self.bytes.iter().map(|&byte| f64::from(byte != 0))),
            Dtype::Float16 => {
                let (items, _) = self.bytes.as_chunks::<2>();
                numbers.extend(items.iter().map(|&item| half(u16::from_le_bytes(item))));
            }
            Dtype::Float32 => decode!(f32),
            Dtype::Float64 => decode!(f64),
            Dtype::Int8 => decode!(i8),
            Dtype::Int16 => decode!(i16),
            Dtype::Int32 => decode!(i32),
            Dtype::Int64 => decode!(i64),
            Dtype::Uint8 => decode!(u8),
            Dtype::Uint16 => decode!(u16),
            Dtype::Uint32 => decode!(u32),
            Dtype::Uint64 => decode!(u64),
        }
    }
}

fn encode(dtype: Dtype, number: f64, bytes: &mut Vec<u8>) {
    match dtype {
        Dtype::Bool => bytes.push(u8::from(number != 0.0)),
        Dtype::Float16 => bytes.extend(half_bits(dtype.round(number)).to_le_bytes()),
        Dtype::Float32 => bytes.extend((number as f32).to_le_bytes()),
        Dtype::Float64 => bytes.extend(number.to_le_bytes()),
        Dtype::Int8 => bytes.extend((number as i8).to_le_bytes()),
        Dtype::Int16 => bytes.extend((number as i16).to_le_bytes()),
        Dtype::Int32 => bytes.extend((number as i32).to_le_bytes()),
        Dtype::Int64 => bytes.extend((number as i64).to_le_bytes()),
        Dtype::Uint8 => bytes.push(number as u8),
        Dtype::Uint16 => bytes.extend((number as u16).to_le_bytes()),
        Dtype::Uint32 => bytes.extend((number as u32).to_le_bytes()),
        Dtype::Uint64 => bytes.extend((number as u64).to_le_bytes()),
    }
}

/// The number with these half-precision bits.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let fraction = f64::from(bits & 0x3ff);
    match (bits >> 10) & 0x1f {
        0 => sign * fraction / 16_777_216.0,
        0x1f if fraction == 0.0 => sign * f64::INFINITY,
        0x1f => f64::NAN,
        exponent => sign * (1.0 + fraction / 1024.0) * 2.0_f64.powi(i32::from(exponent) - 15),
    }
}

/// The half-precision bits of a number that half precision represents exactly.
fn half_bits(number: f64) -> u16 {
    let sign = u16::from(number.is_sign_negative()) << 15;
    let magnitude = number.abs();
    if magnitude.is_nan() {
        return sign | 0x7e00;
    }
    if magnitude.is_infinite() {
        return sign | 0x7c00;
    }
    let exponent = ((magnitude.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    if exponent < -14 {
        return sign | (magnitude * 16_777_216.0) as u16;
    }
    let fraction = (magnitude / 2.0_f64.powi(exponent) - 1.0) * 1024.0;
    sign | (((exponent + 15) as u16) << 10) | fraction as u16
}

/// Bytes of one number.
pub(crate) fn size(dtype: Dtype) -> usize {
    match dtype {
        Dtype::Bool | Dtype::Int8 | Dtype::Uint8 => 1,
        Dtype::Float16 | Dtype::Int16 | Dtype::Uint16 => 2,
        Dtype::Float32 | Dtype::Int32 | Dtype::Uint32 => 4,
        Dtype::Float64 | Dtype::Int64 | Dtype::Uint64 => 8,
    }
}

/// NumPy's name of a type.
pub(crate) fn name(dtype: Dtype) -> &'static str {
    NAMES
        .iter()
        .find(|(_, known)| *known == dtype)
        .map_or("", |(name, _)| name)
}

/// The type of that NumPy name.
pub(crate) fn named(name: &str) -> Option<Dtype> {
    let (_, dtype) = NAMES.iter().find(|(known, _)| *known == name)?;
    Some(*dtype)
}

const NAMES: [(&str, Dtype); 12] = [
    ("bool", Dtype::Bool),
    ("float16", Dtype::Float16),
    ("float32", Dtype::Float32),
    ("float64", Dtype::Float64),
    ("int8", Dtype::Int8),
    ("int16", Dtype::Int16),
    ("int32", Dtype::Int32),
    ("int64", Dtype::Int64),
    ("uint8", Dtype::Uint8),
    ("uint16", Dtype::Uint16),
    ("uint32", Dtype::Uint32),
    ("uint64", Dtype::Uint64),
];

/// The product of sizes, unless it is larger than memory.
pub(crate) fn product(sizes: &[usize]) -> Option<usize> {
    sizes
        .iter()
        .try_fold(1, |product: usize, &size| product.checked_mul(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_type_come_back() {
        for (name, dtype) in NAMES {
            let numbers = [0.0, 1.0, 1.0, 0.0];
            let array = Array::of(dtype, vec![2, 2], &numbers);
            assert_eq!(array.to_f64(), numbers, "{name}");
            assert_eq!(array.bytes().len(), 4 * size(dtype));
            assert_eq!(named(super::name(dtype)), Some(dtype));
        }
        assert_eq!(Array::of(Dtype::Int8, vec![1], &[-3.0]).bytes(), [0xfd]);
        for (dtype, bytes, number) in [
            (Dtype::Uint8, vec![255], 255.0),
            (Dtype::Int16, vec![255, 255], -1.0),
            (Dtype::Uint16, vec![255, 255], 65535.0),
            (Dtype::Int32, vec![249, 255, 255, 255], -7.0),
            (Dtype::Uint32, vec![7, 0, 0, 1], 16_777_223.0),
            (Dtype::Uint64, vec![7, 0, 0, 0, 0, 0, 0, 0], 7.0),
            (
                Dtype::Float32,
                0.1_f32.to_le_bytes().to_vec(),
                f64::from(0.1_f32),
            ),
            (Dtype::Bool, vec![255], 1.0),
        ] {
            assert_eq!(
                Array::new(dtype, vec![1], bytes).unwrap().to_f64(),
                [number]
            );
        }
        let large = Array::of(Dtype::Int64, vec![1], &[-7.0]);
        assert_eq!(large.bytes(), (-7_i64).to_le_bytes());
    }

    #[test]
    fn every_half_precision_number_survives() {
        for bits in 0..=u16::MAX {
            let number = half(bits);
            if !number.is_nan() {
                assert_eq!(half_bits(number), bits, "{bits:x} is {number}");
            }
        }
        assert_eq!(half(0x3555).to_bits(), 0.333_251_953_125_f64.to_bits());
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn bytes_must_fit_the_shape() {
        assert!(Array::new(Dtype::Float32, vec![2, 3], vec![0; 24]).is_ok());
        for shape in [vec![2, 2], vec![usize::MAX, 2], vec![]] {
            assert!(Array::new(Dtype::Float32, shape, vec![0; 24]).is_err());
        }
    }

    #[test]
    fn rows_are_cut_joined_and_padded() {
        let array = Array::of(Dtype::Int16, vec![3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut part = array.slice(1..2);
        assert_eq!(part.to_f64(), [3.0, 4.0]);
        part.extend(&array.slice(0..1)).unwrap();
        part.pad(3);
        assert_eq!(part.shape(), [3, 2]);
        assert_eq!(part.to_f64(), [3.0, 4.0, 1.0, 2.0, 0.0, 0.0]);
        assert!(part.extend(&Array::of_flags(&[true])).is_err());
    }
}
