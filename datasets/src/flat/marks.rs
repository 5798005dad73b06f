//! The ends of episodes according to the columns of a file.

use super::roles::{Role, role};

/// Rows at which an episode ends, by what is known of the end.
#[derive(Default)]
pub(crate) struct Marks {
    /// A terminal state was reached.
    pub(super) terminals: Option<Vec<bool>>,
    /// The episode was cut off.
    pub(super) timeouts: Option<Vec<bool>>,
    /// The episode ends, for whatever reason.
    pub(super) ends: Option<Vec<bool>>,
    /// The episode ends, since the next row is of another one.
    pub(super) changes: Option<Vec<bool>>,
    /// The columns of `ends`.
    pub(super) unclear: Vec<String>,
    /// Columns with unknown names.
    pub(super) others: Vec<String>,
}

impl Marks {
    /// Takes a column of one number a row, if it marks ends by its name.
    pub(crate) fn add(&mut self, name: &str, numbers: impl FnOnce() -> Vec<f64>) -> bool {
        let Some((role, _)) = role(name) else {
            return false;
        };
        let flags = |numbers: Vec<f64>| numbers.into_iter().map(|flag| flag != 0.0).collect();
        match role {
            Role::Terminal => join(&mut self.terminals, flags(numbers())),
            Role::Timeout => join(&mut self.timeouts, flags(numbers())),
            Role::End => {
                join(&mut self.ends, flags(numbers()));
                self.unclear.push(name.to_owned());
            }
            Role::Episode => join(&mut self.changes, changes(&numbers())),
            Role::Start => {
                let starts: Vec<bool> = flags(numbers());
                let next = starts.iter().skip(1).copied().chain([true]);
                join(&mut self.changes, next.take(starts.len()).collect());
            }
            _ => return false,
        }
        true
    }

    /// Records a column that is not part of a step and marks no ends.
    pub(crate) fn pass_over(&mut self, name: &str) {
        self.others.push(name.to_owned());
    }

    /// An end without a terminal state is a truncation where the file marks terminal states; an end
    /// without a truncation is a terminal state where it marks only truncations.
    pub(super) fn settle(&mut self) {
        let Some(ends) = self.ends.take() else {
            return;
        };
        let without = |known: &[bool]| -> Vec<bool> {
            let both = ends.iter().zip(known);
            both.map(|(&end, &known)| end && !known).collect()
        };
        if let Some(terminals) = &self.terminals {
            join(&mut self.timeouts, without(terminals));
        } else if let Some(timeouts) = &self.timeouts {
            join(&mut self.terminals, without(timeouts));
        } else {
            self.ends = Some(ends);
            return;
        }
        self.unclear.clear();
    }

    /// Whether any column states where episodes end.
    pub(super) fn are_there(&self) -> bool {
        [&self.terminals, &self.timeouts, &self.ends, &self.changes]
            .into_iter()
            .any(Option::is_some)
    }

    /// The numbers of rows of the columns, by what they say.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&'static str, usize)> {
        [
            ("terminal flags", &self.terminals),
            ("timeout flags", &self.timeouts),
            ("end flags", &self.ends),
            ("episode numbers", &self.changes),
        ]
        .into_iter()
        .filter_map(|(name, flags)| Some((name, flags.as_ref()?.len())))
    }
}

/// Either of two columns, with the length of the longer one, so that a wrong length is noticed.
fn join(known: &mut Option<Vec<bool>>, more: Vec<bool>) {
    match known {
        None => *known = Some(more),
        Some(known) => {
            known.resize(known.len().max(more.len()), false);
            for (known, more) in known.iter_mut().zip(more) {
                *known |= more;
            }
        }
    }
}

/// For each row whether the number after it is another; true for the last one.
fn changes(ids: &[f64]) -> Vec<bool> {
    let last = ids.len().saturating_sub(1);
    (0..ids.len())
        .map(|row| row == last || ids[row].to_bits() != ids[row + 1].to_bits())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_ends_where_its_number_changes_and_before_the_next_starts() {
        let ends = |name: &str, numbers: &[f64]| {
            let mut marks = Marks::default();
            assert!(marks.add(name, || numbers.to_vec()), "{name}");
            marks.changes.unwrap()
        };
        assert_eq!(
            ends("episode_id", &[0.0, 0.0, 1.0, 7.0]),
            [false, true, true, true]
        );
        assert_eq!(ends("is_first", &[1.0, 0.0, 1.0]), [false, true, true]);
        assert!(ends("traj", &[]).is_empty());
    }

    #[test]
    fn an_end_without_a_terminal_state_is_a_truncation() {
        let mut marks = Marks::default();
        assert!(marks.add("dones", || vec![0.0, 1.0, 0.0, 1.0]));
        assert!(marks.add("terminals", || vec![0.0, 1.0, 0.0, 0.0]));
        assert!(!marks.add("speed", || panic!("not read")));
        marks.settle();
        assert_eq!(marks.timeouts, Some(vec![false, false, false, true]));
        assert_eq!(marks.ends, None);
        let mut marks = Marks::default();
        assert!(marks.add("dones", || vec![0.0, 1.0, 0.0, 1.0]));
        assert!(marks.add("timeouts", || vec![0.0, 1.0, 0.0, 0.0]));
        marks.settle();
        assert_eq!(marks.terminals, Some(vec![false, false, false, true]));
        assert!(marks.unclear.is_empty());
    }
}
