//! What goes together in a plan.

use super::config::{ActionHead, ConditionName, EngineKind, ModelConfig, mixer_word};
use crate::algorithms::{ACTING, ACTING_DEVICE};
use crate::device::Device;
use crate::keys::KeyError;
use crate::policy::{Acting, ActingMode};
use rtg_kernels::Precision;
use rtg_kernels::decision_transformer::{Condition, MixerKind, NormPlacement};
use rtg_kernels::layer_norm::EPSILON;

/// Attention heads must divide the width.
///
/// # Errors
/// Names the key.
pub fn check_heads(width: usize, heads: usize) -> Result<(), KeyError> {
    if heads > 0 && width.is_multiple_of(heads) {
        Ok(())
    } else {
        let key = ModelConfig::KEYS.path("heads");
        Err(KeyError::new(
            &key,
            heads,
            format!("a divisor of the width, {width}"),
        ))
    }
}

/// The composed model and the GPU kernels support only return-to-go tokens, attention and
/// deterministic actions, the GPU kernels only the usual norms; only attention has heads.
///
/// # Errors
/// Names the key.
pub fn check_switches(config: &ModelConfig, on_gpu: bool) -> Result<(), KeyError> {
    let mixer = mixer_word(config.mixer);
    if !config.mixer.attends() && config.heads > 1 {
        let key = ModelConfig::KEYS.path("heads");
        let expected = format!("1 with mixer = \"{mixer}\"");
        return Err(KeyError::new(&key, config.heads, expected));
    }
    check_guidance(config)?;
    check_predicted(config)?;
    let place = match (on_gpu, config.engine) {
        (true, _) => "on a GPU",
        (_, EngineKind::Composed) => "with the composed engine",
        _ => return Ok(()),
    };
    if config.condition != ConditionName::Token {
        let key = ModelConfig::KEYS.path("condition");
        let found = config.condition.word();
        return Err(KeyError::new(&key, found, format!("token {place}")));
    }
    for (name, found) in [
        ("condition_dropout", config.condition_dropout),
        ("next_observation_weight", config.next_observation_weight),
    ] {
        if found > 0.0 {
            let key = ModelConfig::KEYS.path(name);
            return Err(KeyError::new(&key, found, format!("0 {place}")));
        }
    }
    if config.mixer != MixerKind::Attention {
        let key = ModelConfig::KEYS.path("mixer");
        return Err(KeyError::new(&key, mixer, format!("attention {place}")));
    }
    if config.deviation().is_some() {
        return Err(deterministic_only(config, place));
    }
    if on_gpu && config.positions > 0 {
        let key = ModelConfig::KEYS.path("positions");
        return Err(KeyError::new(&key, config.positions, format!("0 {place}")));
    }
    if on_gpu && config.norm_placement != NormPlacement::Pre {
        let key = ModelConfig::KEYS.path("norm_placement");
        return Err(KeyError::new(&key, "post", format!("pre {place}")));
    }
    if on_gpu && config.norm_epsilon.to_bits() != EPSILON.to_bits() {
        let key = ModelConfig::KEYS.path("norm_epsilon");
        let expected = format!("{EPSILON} {place}");
        return Err(KeyError::new(&key, config.norm_epsilon, expected));
    }
    Ok(())
}

/// Only return-to-go tokens can be absent, and only a model that has learned without them can be
/// guided.
///
/// # Errors
/// Names the key.
pub fn check_guidance(config: &ModelConfig) -> Result<(), KeyError> {
    let dropout = config.condition_dropout;
    if dropout > 0.0 && config.condition != ConditionName::Token {
        let key = ModelConfig::KEYS.path("condition_dropout");
        let expected = format!("0 with condition = \"{}\"", config.condition.word());
        return Err(KeyError::new(&key, dropout, expected));
    }
    if config.is_guided() && config.condition() != Condition::Nullable {
        let key = ModelConfig::KEYS.path("guidance");
        let expected = "1 in a model that was trained without condition_dropout";
        return Err(KeyError::new(&key, config.guidance, expected));
    }
    Ok(())
}

/// Only predicted returns have bins and can be hidden, these from attention alone; only beside bins
/// there is an expectile, and only deterministic actions lead to next observations.
///
/// # Errors
/// Names the key.
pub fn check_predicted(config: &ModelConfig) -> Result<(), KeyError> {
    let is_predicted = config.condition == ConditionName::Predicted;
    if config.hide_returns && !(is_predicted && config.mixer == MixerKind::Attention) {
        let key = ModelConfig::KEYS.path("hide_returns");
        let expected = "false without condition = \"predicted\" and mixer = \"attention\"";
        return Err(KeyError::new(&key, true, expected));
    }
    if config.next_observation().is_some() && config.deviation().is_some() {
        let key = ModelConfig::KEYS.path("next_observation_weight");
        let head = config.action_head.map_or("", ActionHead::word);
        let expected = format!("0 with action_head = \"{head}\"");
        return Err(KeyError::new(
            &key,
            config.next_observation_weight,
            expected,
        ));
    }
    if config.expectile_weight > 0.0 && config.return_bins == 0 {
        let key = ModelConfig::KEYS.path("expectile_weight");
        let expected = "0 without return_bins, where the expectile alone is predicted";
        return Err(KeyError::new(&key, config.expectile_weight, expected));
    }
    if config.return_bins == 0 || is_predicted {
        return Ok(());
    }
    let key = ModelConfig::KEYS.path("return_bins");
    let expected = format!("0 with condition = \"{}\"", config.condition.word());
    Err(KeyError::new(&key, config.return_bins, expected))
}

/// What is wrong with a Gaussian head in this place.
pub(super) fn deterministic_only(config: &ModelConfig, place: &str) -> KeyError {
    let key = ModelConfig::KEYS.path("action_head");
    let found = config.action_head.map_or("", ActionHead::word);
    KeyError::new(&key, found, format!("tanh or logits {place}"))
}

/// Only softmax attention streams, and only predictions of returns are compared in a search. A GPU
/// acts exactly.
///
/// # Errors
/// Names the key.
pub fn check_acting(config: &ModelConfig, acting: Acting) -> Result<(), KeyError> {
    let on_gpu = matches!(acting.device, Device::Cuda(_));
    let expected = match acting.mode {
        ActingMode::Streaming | ActingMode::Search if on_gpu => {
            format!("exact with {ACTING_DEVICE} = \"{}\"", acting.device)
        }
        ActingMode::Streaming if config.mixer != MixerKind::Attention => {
            format!("exact with mixer = \"{}\"", mixer_word(config.mixer))
        }
        ActingMode::Search if config.condition != ConditionName::Predicted => {
            let condition = config.condition.word();
            format!("exact or streaming with condition = \"{condition}\"")
        }
        ActingMode::Search if config.return_bins > 0 && config.expectile_weight == 0.0 => {
            "exact or streaming with return_bins without expectile_weight: medians of few bins are \
                often equal"
                .to_owned()
        }
        _ if on_gpu => {
            let refused = |error: KeyError| {
                let expected = format!("cpu with {} = {}", error.key, error.value);
                KeyError::new(ACTING_DEVICE, acting.device, expected)
            };
            return check_switches(config, on_gpu).map_err(refused);
        }
        _ => return Ok(()),
    };
    Err(KeyError::new(ACTING, acting.mode.name(), expected))
}

/// Not every CPU has bfloat16 instructions.
///
/// # Errors
/// Names the key.
pub fn check_precision(precision: Precision) -> Result<(), KeyError> {
    if precision.is_available() {
        return Ok(());
    }
    let value = format!("{precision:?}").to_lowercase();
    let expected = "f32 here: bf16 needs a CPU with AVX512-BF16, tf32 a GPU (device = cuda)";
    Err(KeyError::new(
        &ModelConfig::KEYS.path("precision"),
        value,
        expected,
    ))
}
