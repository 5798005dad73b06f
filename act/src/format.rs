//! The file of a policy, for programs that write or read one.
//!
//! It is a safetensors file: 8 bytes with the length of the header (little-endian), the header in
//! JSON, and the numbers of all tensors, little-endian, without gaps. Every tensor is `F32` or
//! `F64`. Every weight is inputs x outputs, row-major.
//!
//! `__metadata__` has one entry, [`ENTRY`]: a text of lines `key = value`. Its last line is the
//! [`checksum`] of the lines before it and of all tensors' bytes.
//!
//! | key | value |
//! |---|---|
//! | `version` | [`VERSION`] |
//! | `policy` | `perceptron` or `sequence` |
//! | `algorithm`, `recipe`, `environment`, `step` | where the policy comes from |
//! | `observation`, `action` | S and A: numbers in an observation; numbers of an action, or choices |
//! | `actions` | `continuous` or `discrete` |
//! | `first_action` | discrete: the choices are counted from here |
//! | `activation` | `relu`, `gelu`, and of a perceptron `tanh` |
//! | `crc32` | eight hexadecimal digits |
//!
//! Tensors of every policy, `F64` (those in brackets may be missing):
//!
//! | tensor | dimensions | |
//! |---|---|---|
//! | (`normaliser.mean`, `normaliser.std`) | S | the network sees (observation - mean) / std |
//! | `action.scale`, `action.offset` | A | continuous: action = output x scale + offset |
//! | (`action.low`, `action.high`) | A | continuous: actions are clamped to these |
//! | (`targets`) | n | target returns of the run's evaluation, the first is the default |
//!
//! A **perceptron** sees the last K observations, the newest last, zeros before an episode's first:
//! its first layer has K S inputs, one more if it takes a target.
//!
//! | key or tensor | |
//! |---|---|
//! | `rule` | `outputs`; `tanh`: `largest_action` x tanh; `values`; `constrained` |
//! | `norm` | `none`, or `before` or `after` the activation of a hidden layer |
//! | `quantiles`, `dueling` | `values`: an action's value is the mean of this many outputs; `yes`: A advantages and a value |
//! | `norm.epsilon` | F64, 1: added to the variance |
//! | `largest_action` | F64, 1 |
//! | `threshold`, `ruled_out` | F64, 1: `constrained`, where a second network's logits rule actions out |
//! | (`target_divisor`) | F64, 1: the last input is the target over this |
//! | `layer.N.weight`, `layer.N.bias` | F32; `member.0.layer.N.weight` and so on if there are two networks |
//! | `layer.N.norm.weight`, `layer.N.norm.bias` | F32: gain and bias of a hidden layer's norm |
//!
//! A **sequence** model sees the last K steps, as a Decision Transformer does.
//!
//! | key or tensor | |
//! |---|---|
//! | `context`, `layers`, `heads` | K, L, H |
//! | `episode_length` | time steps beyond the last of an episode count as that one |
//! | `condition` | `token`: the return-to-go is a token; `adaln`: it moves the last norm |
//! | `mixer` | `attention` or `convolution` |
//! | `head` | `tanh` (`largest_action` x tanh) or `logits` |
//! | `return_scale` | F64, 1: returns-to-go are divided by this |
//! | `largest_action` | F64, 1: of the head `tanh` |
//! | `embed.timestep` | rows x C |
//! | `embed.return_to_go.*` | 1 x C: of the condition `token` |
//! | `embed.observation.*`, `embed.action.*` | S x C, A x C |
//! | `embed.norm.*`, `block.N.norm_1.*`, `block.N.norm_2.*`, `final_norm.*` | C |
//! | (`norm.epsilon`) | F64, 1: added to the variance in all norms but `embed.norm`; without it, and there, 1e-5 |
//! | `block.N.attention.qkv.*`, `block.N.attention.projection.*` | C x 3C, C x C |
//! | `block.N.convolution.KIND.*` | 6 x C for each kind of token: `return_to_go`, `observation`, `action` |
//! | `block.N.mlp.up.*`, `block.N.mlp.down.*` | C x 4C, 4C x C |
//! | `condition.weight` | 1 x 2C: of the condition `adaln` |
//! | `head.*` | C x A |
//!
//! `.*` stands for `.weight` and `.bias`, F32 both.

/// The entry of `__metadata__`.
pub const ENTRY: &str = "rtg-act";
/// The version that this crate reads and rtg writes.
pub const VERSION: &str = "1";
/// The key of the last line.
pub const CHECKSUM: &str = "crc32";
/// No policy takes more working memory than this, in bytes: whatever a file says.
pub const MOST_MEMORY: usize = 256 << 20;

/// CRC-32 (the polynomial of IEEE 802.3, as in zip and PNG) of the concatenated `parts`.
///
/// ```
/// assert_eq!(rtg_act::format::checksum(&[b"12345", b"6789"]), 0xcbf4_3926);
/// ```
pub fn checksum(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    !bytes.fold(!0, |crc: u32, byte| {
        (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)]
    })
}

/// The remainder of each byte.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};
