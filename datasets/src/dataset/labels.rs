//! Labels: numbers that windows have in place of the returns-to-go, one for each step.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Dataset, hexadecimal};
use crate::{Error, returns_to_go};

/// What a label is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelKind {
    /// A return-to-go, from which the rewards are subtracted while acting.
    Return {
        /// Whether only the last step of a window has its own label, and each step before it its
        /// reward plus the label after it, so that a window's labels follow from each other as
        /// those of an episode in acting do.
        consistent: bool,
    },
    /// A number that stays constant while acting, an advantage for instance.
    Constant,
}

/// The labels of a dataset, in the order of its steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    kind: LabelKind,
    values: Arc<Vec<f64>>,
    source: String,
}

impl Labels {
    /// These labels, with a hash of what they were computed by.
    pub fn new(kind: LabelKind, values: Vec<f64>, source: &str) -> Self {
        Self {
            kind,
            values: Arc::new(values),
            source: source.to_owned(),
        }
    }

    /// A hash of what they were computed by.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What they are.
    pub fn kind(&self) -> LabelKind {
        self.kind
    }

    /// One for each step of all episodes.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

impl Dataset {
    /// Gives every step a label; an episode that is added later removes them all.
    ///
    /// # Errors
    /// Another number of labels than steps, or one that is not finite.
    pub fn set_labels(&mut self, labels: Labels) -> Result<(), Error> {
        let (found, steps) = (labels.values.len(), self.steps());
        if found != steps {
            let reason = format!("there are {found} labels for {steps} steps");
            return Err(Error::Sampling(reason));
        }
        if let Some(at) = labels.values.iter().position(|label| !label.is_finite()) {
            let episode = self.starts.partition_point(|&start| start <= at) - 1;
            let (step, label) = (at - self.starts[episode], labels.values[at]);
            let reason = format!("the label of episode {episode}, step {step} is {label}");
            return Err(Error::Sampling(reason));
        }
        self.labels = Some(labels);
        Ok(())
    }

    /// The labels, where it has any.
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// The returns-to-go of all steps, or their labels.
    pub fn returns_to_go(&self) -> Vec<f64> {
        match &self.labels {
            None => (self.iter())
                .flat_map(|episode| returns_to_go(episode.rewards, 1.0))
                .collect(),
            Some(labels) => labels.values.to_vec(),
        }
    }

    /// The numbers that targets of a policy correspond to: the returns of all episodes, the labels
    /// at which they begin, or, where labels are constant, those of all steps.
    pub fn conditions(&self) -> Vec<f64> {
        match &self.labels {
            None => self.iter().map(|episode| episode.return_()).collect(),
            Some(Labels { kind, values, .. }) => match kind {
                LabelKind::Constant => values.to_vec(),
                LabelKind::Return { .. } => {
                    let begins = &self.starts[..self.episodes()];
                    begins.iter().map(|&step| values[step]).collect()
                }
            },
        }
    }
}

/// The SHA-256 of some bytes: 64 hexadecimal digits.
pub fn hash_of(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hexadecimal(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::super::tests::staircase;
    use super::*;

    fn labelled(kind: LabelKind) -> Dataset {
        let mut dataset = staircase(&[2, 3]);
        let values = vec![5.0, 4.0, 3.0, 2.0, 1.0];
        dataset.set_labels(Labels::new(kind, values, "")).unwrap();
        dataset
    }

    #[test]
    fn targets_correspond_to_first_labels_or_to_all_constant_ones() {
        assert_eq!(staircase(&[2, 3]).conditions(), [1.0, 6.0]);
        let kind = LabelKind::Return { consistent: true };
        assert_eq!(labelled(kind).conditions(), [5.0, 3.0]);
        let all = labelled(LabelKind::Constant).conditions();
        assert_eq!(all, [5.0, 4.0, 3.0, 2.0, 1.0]);
    }

    #[test]
    fn labels_are_one_finite_number_for_each_step() {
        let mut dataset = staircase(&[2, 3]);
        let mut set = |values| {
            let labels = Labels::new(LabelKind::Constant, values, "");
            dataset.set_labels(labels).unwrap_err().to_string()
        };
        let error = set(vec![0.0; 4]);
        assert!(error.ends_with("there are 4 labels for 5 steps"), "{error}");
        let error = set(vec![0.0, 0.0, 0.0, f64::NAN, 0.0]);
        assert!(
            error.contains("label of episode 1, step 1 is NaN"),
            "{error}"
        );
    }

    #[test]
    fn neither_the_hash_nor_a_selection_has_labels() {
        let dataset = labelled(LabelKind::Constant);
        assert_eq!(dataset.hash(), staircase(&[2, 3]).hash());
        let part = dataset.select(&crate::Selection::default()).unwrap();
        assert_eq!(part.labels(), None);
        let mut grown = dataset.clone();
        grown.push(dataset.episode(0).to_owned()).unwrap();
        assert_eq!(grown.labels(), None);
    }
}
