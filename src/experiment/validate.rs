//! Values that make no sense are refused before anything is opened.

use super::error::invalid;
use super::{Device, Experiment, ExperimentError};
use crate::algorithms::Algorithm;
use crate::algorithms::decision_transformer::config::EngineKind;
use crate::kernels::Precision;

impl Experiment {
    pub(super) fn validate(&self) -> Result<(), ExperimentError> {
        let (model, optimiser) = (&self.model, &self.optimiser);
        let positive = |key, value: usize| match value {
            0 => Err(invalid(key, &0, "it must be at least 1")),
            _ => Ok(()),
        };
        positive("threads", self.threads)?;
        positive("checkpoint_every", self.checkpoint_every as usize)?;
        positive("logging.every", self.logging.every as usize)?;
        positive("evaluation.episodes", self.evaluation.episodes)?;
        positive("evaluation.final_episodes", self.evaluation.final_episodes)?;
        positive("model.context", model.context)?;
        positive("model.width", model.width)?;
        positive("model.layers", model.layers)?;
        positive("model.heads", model.heads)?;
        positive("bc.context", self.bc.context)?;
        positive("bc.width", self.bc.width)?;
        positive("bc.layers", self.bc.layers)?;
        positive("optimiser.batch_size", optimiser.batch_size)?;
        positive("optimiser.accumulation", optimiser.accumulation)?;
        positive("model.episode_length", model.episode_length.unwrap_or(1))?;
        check_heads(model.width, model.heads)?;
        match self.device {
            Device::Cuda(_) if self.algorithm == Algorithm::Bc => {
                let reason = "behaviour cloning runs on the CPU";
                return Err(invalid("device", &"cuda", reason));
            }
            Device::Cuda(_) if model.engine == EngineKind::Composed => {
                let reason = "the composed model runs on the CPU; a GPU needs the fused engine";
                return Err(invalid("model.engine", &"composed", reason));
            }
            Device::Cuda(_) => {}
            Device::Auto | Device::Cpu => check_precision(model.precision)?,
        }
        for (key, value) in [
            ("model.attention_dropout", model.attention_dropout),
            ("model.residual_dropout", model.residual_dropout),
            ("model.embedding_dropout", model.embedding_dropout),
            ("bc.dropout", self.bc.dropout),
        ] {
            check_dropout(key, value)?;
        }
        let numbers = [
            (
                "optimiser.learning_rate",
                optimiser.learning_rate,
                f64::MIN_POSITIVE..f64::MAX,
            ),
            (
                "optimiser.epsilon",
                optimiser.epsilon,
                f64::MIN_POSITIVE..f64::MAX,
            ),
            (
                "optimiser.weight_decay",
                optimiser.weight_decay,
                0.0..f64::MAX,
            ),
            (
                "optimiser.gradient_clip",
                optimiser.gradient_clip,
                0.0..f64::MAX,
            ),
            ("optimiser.beta_1", optimiser.beta_1, 0.0..1.0),
            ("optimiser.beta_2", optimiser.beta_2, 0.0..1.0),
            (
                "model.return_scale",
                model.return_scale.unwrap_or(1.0),
                f64::MIN_POSITIVE..f64::MAX,
            ),
        ];
        for (key, value, range) in numbers {
            if !range.contains(&value) {
                return Err(invalid(
                    key,
                    &value,
                    "it is outside the range that makes sense",
                ));
            }
        }
        match &self.evaluation.targets {
            Some(targets)
                if targets.is_empty() || targets.iter().any(|target| !target.is_finite()) =>
            {
                Err(invalid(
                    "evaluation.targets",
                    &format!("{targets:?}"),
                    "it must list finite returns",
                ))
            }
            _ => Ok(()),
        }
    }
}

/// Attention heads must divide the width.
pub fn check_heads(width: usize, heads: usize) -> Result<(), ExperimentError> {
    if width.is_multiple_of(heads) {
        Ok(())
    } else {
        Err(invalid("model.heads", &heads, "it must divide the width"))
    }
}

/// Not every CPU multiplies bfloat16 numbers.
pub fn check_precision(precision: Precision) -> Result<(), ExperimentError> {
    if precision.is_available() {
        Ok(())
    } else {
        let value = format!("{precision:?}").to_lowercase();
        Err(invalid(
            "model.precision",
            &value,
            "bf16 needs a CPU with AVX512-BF16, tf32 a GPU (device = cuda); f32 works everywhere",
        ))
    }
}

/// A dropout probability is in [0, 1).
pub fn check_dropout(key: &'static str, value: f32) -> Result<(), ExperimentError> {
    if (0.0..1.0).contains(&value) {
        Ok(())
    } else {
        Err(invalid(
            key,
            &value,
            "it must be at least 0 and less than 1",
        ))
    }
}
