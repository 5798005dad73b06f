//! Numbers and files for tests.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::format::{CHECKSUM, ENTRY, checksum};
use crate::reader::{Pair, Reader};

/// Numbers between -1 and 1 that follow from the seed.
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    // Knuth's linear congruential generator (MMIX).
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005);
        state = state.wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    next();
    (0..count).map(|_| next()).collect()
}

/// A file with one weight and one bias, and where they are.
pub(crate) fn weights(weight: &[f32], bias: &[f32]) -> (Vec<u8>, Pair) {
    let mut file = TestFile::default();
    file.single("x.weight", &[weight.len()], weight);
    file.single("x.bias", &[bias.len()], bias);
    let bytes = file.bytes();
    let mut reader = Reader::new(&bytes).unwrap();
    let pair = Pair {
        weight: reader.place("x.weight", &[weight.len()]).unwrap(),
        bias: reader.place("x.bias", &[bias.len()]).unwrap(),
    };
    (bytes, pair)
}

/// A file in the making.
#[derive(Clone, Default)]
pub(crate) struct TestFile {
    /// Its lines but for the version and the checksum.
    pub(crate) entries: Vec<(String, String)>,
    tensors: Vec<String>,
    data: Vec<u8>,
}

impl TestFile {
    pub(crate) fn entry(&mut self, key: &str, value: &str) -> &mut Self {
        self.entries.retain(|(known, _)| known != key);
        self.entries.push((key.into(), value.into()));
        self
    }

    pub(crate) fn single(&mut self, name: &str, dimensions: &[usize], numbers: &[f32]) {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
        self.tensor((name, "F32"), dimensions, bytes.collect());
    }

    pub(crate) fn double(&mut self, name: &str, numbers: &[f64]) {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
        self.tensor((name, "F64"), &[numbers.len()], bytes.collect());
    }

    fn tensor(&mut self, (name, kind): (&str, &str), dimensions: &[usize], bytes: Vec<u8>) {
        let (start, end) = (self.data.len(), self.data.len() + bytes.len());
        self.data.extend(bytes);
        self.tensors.push(format!(
            r#""{name}":{{"dtype":"{kind}","shape":{dimensions:?},"data_offsets":[{start},{end}]}}"#
        ));
    }

    /// Weight and bias of a layer or gain and bias of a norm, numbers that follow from the seed.
    pub(crate) fn pair(&mut self, name: &str, seed: u64, dimensions: &[usize]) {
        let count = dimensions.iter().product();
        self.single(&format!("{name}.weight"), dimensions, &numbers(seed, count));
        let outputs = dimensions[dimensions.len() - 1];
        self.single(
            &format!("{name}.bias"),
            &[outputs],
            &numbers(seed + 1, outputs),
        );
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = String::from("version = 1\n");
        for (key, value) in &self.entries {
            text.extend([key.as_str(), " = ", value.as_str(), "\n"]);
        }
        let crc = checksum(&[text.as_bytes(), &self.data]);
        text.extend([CHECKSUM, " = ", &format!("{crc:08x}"), "\n"]);
        self.with_text(&text)
    }

    pub(crate) fn with_text(&self, text: &str) -> Vec<u8> {
        let mut members = vec![format!(
            r#""__metadata__":{{"{ENTRY}":"{}"}}"#,
            text.replace('\n', "\\n")
        )];
        members.extend(self.tensors.iter().cloned());
        self.with_header(&format!("{{{}}}", members.join(",")))
    }

    pub(crate) fn with_header(&self, header: &str) -> Vec<u8> {
        let length = (header.len() as u64).to_le_bytes();
        [&length, header.as_bytes(), &self.data].concat()
    }
}
