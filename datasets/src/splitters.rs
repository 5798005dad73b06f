//! Cuts flat D4RL columns into episodes as its users do: three splitters with different results.
//!
//! D4RL files hold rows in time order and two flags a row, `terminals` and `timeouts`. Training on
//! trajectories requires cutting them, and published numbers depend on how:
//!
//! | splitter | a row with a timeout | rows after the last end | observation after the last row |
//! |---|---|---|---|
//! | [`Splitter::SequenceDataset`], `d4rl.sequence_dataset` | is kept | are dropped | none |
//! | [`Splitter::QlearningDataset`], `d4rl.qlearning_dataset` | is dropped | are kept except the very last | the row that follows |
//! | [`Splitter::DecisionTransformer`], the official `download_d4rl_datasets.py` | is kept | are dropped | `next_observations` |
//!
//! Old files have no `timeouts`. Then a counter ends episodes at the time limit, and what the
//! counter counts differs too: in the first and the third splitter it is set to 0 at an episode's
//! end and raised *afterwards*, so that the first episode may have as many rows as the limit, but
//! every later one a row less. In the second that happens after terminal rows only. The third takes
//! 1000 for the limit whatever the environment. All of this is reproduced here.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// The limit that the official Decision Transformer's script assumes.
const OFFICIAL_LIMIT: usize = 1000;

/// How flat columns are cut into episodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Splitter {
    /// `d4rl.sequence_dataset`.
    SequenceDataset,
    /// `d4rl.qlearning_dataset` with its default, `terminate_on_end=False`. The transitions of all
    /// segments, one after the other, are the arrays that it returns; `terminals` is true in the
    /// last row of a terminated segment only.
    QlearningDataset,
    /// The official Decision Transformer's conversion into pickles.
    DecisionTransformer,
}

/// All splitters.
pub const SPLITTERS: [Splitter; 3] = [
    Splitter::SequenceDataset,
    Splitter::QlearningDataset,
    Splitter::DecisionTransformer,
];

/// The flags of `N` rows.
#[derive(Clone, Copy, Debug)]
pub struct Flags<'a> {
    /// Whether a terminal state was reached, for each row.
    pub terminals: &'a [bool],
    /// Whether the episode was cut off, for each row; old files do not have this.
    pub timeouts: Option<&'a [bool]>,
}

/// Rows that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The rows whose actions and rewards it has.
    pub rows: Range<usize>,
    /// Whether its last row is terminal.
    pub terminated: bool,
    /// Whether it ends at a timeout or at the limit.
    pub truncated: bool,
}

impl fmt::Display for Splitter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::SequenceDataset => "sequence_dataset",
            Self::QlearningDataset => "qlearning_dataset",
            Self::DecisionTransformer => "decision_transformer",
        })
    }
}

/// By name, as [`Display`](fmt::Display) writes it.
impl FromStr for Splitter {
    type Err = crate::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = |splitter: &Splitter| splitter.to_string() == name;
        SPLITTERS.into_iter().find(known).ok_or_else(|| {
            let names = SPLITTERS.map(|splitter| splitter.to_string());
            crate::Error::Selection(format!(
                "unknown splitter '{name}' (expected one of {})",
                names.join(", ")
            ))
        })
    }
}

impl Splitter {
    /// Cuts rows with these flags; `limit` is the environment's time limit.
    ///
    /// # Panics
    /// If the flags differ in length.
    pub fn split(self, flags: Flags<'_>, limit: usize) -> Vec<Segment> {
        if let Some(timeouts) = flags.timeouts {
            assert_eq!(timeouts.len(), flags.terminals.len(), "one flag a row");
        }
        match self {
            Self::SequenceDataset => sequences(flags, limit),
            Self::QlearningDataset => transitions(flags, limit),
            Self::DecisionTransformer => sequences(flags, OFFICIAL_LIMIT),
        }
    }
}

impl Flags<'_> {
    /// Whether `row` is cut off, the counter standing at `counted`.
    fn times_out(&self, row: usize, counted: usize, limit: usize) -> bool {
        self.timeouts
            .map_or(counted + 1 == limit, |timeouts| timeouts[row])
    }
}

fn sequences(flags: Flags<'_>, limit: usize) -> Vec<Segment> {
    let mut segments = Vec::new();
    let (mut start, mut counted) = (0, 0);
    for (row, &terminated) in flags.terminals.iter().enumerate() {
        let truncated = flags.times_out(row, counted, limit);
        if terminated || truncated {
            segments.push(Segment {
                rows: start..row + 1,
                terminated,
                truncated,
            });
            start = row + 1;
            counted = 0;
        }
        counted += 1;
    }
    segments
}

fn transitions(flags: Flags<'_>, limit: usize) -> Vec<Segment> {
    let mut segments = Vec::new();
    let (mut start, mut counted) = (0, 0);
    let mut end = |rows: Range<usize>, terminated, truncated| {
        if !rows.is_empty() {
            segments.push(Segment {
                rows,
                terminated,
                truncated,
            });
        }
    };
    // The last row has no row after it to take its next observation from.
    let last = flags.terminals.len().saturating_sub(1);
    for (row, &terminated) in flags.terminals[..last].iter().enumerate() {
        if flags.times_out(row, counted, limit) {
            end(start..row, false, true);
            start = row + 1;
            counted = 0;
            continue;
        }
        if terminated {
            end(start..row + 1, true, false);
            start = row + 1;
            counted = 0;
        }
        counted += 1;
    }
    end(start..last, false, false);
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row by row: `t` terminal, `o` timeout, `b` both, `.` neither.
    fn cut(
        splitter: Splitter,
        rows: &str,
        marked: bool,
        limit: usize,
    ) -> Vec<(Range<usize>, char)> {
        let flags = |letters: &str| -> Vec<bool> {
            rows.chars().map(|row| letters.contains(row)).collect()
        };
        let (terminals, timeouts) = (flags("tb"), flags("ob"));
        let flags = Flags {
            terminals: &terminals,
            timeouts: marked.then_some(&timeouts),
        };
        let end = |segment: Segment| match (segment.terminated, segment.truncated) {
            (true, true) => (segment.rows, 'b'),
            (true, false) => (segment.rows, 't'),
            (false, true) => (segment.rows, 'o'),
            (false, false) => (segment.rows, '.'),
        };
        splitter.split(flags, limit).into_iter().map(end).collect()
    }

    #[test]
    fn sequences_end_at_either_flag_and_lose_the_unfinished_tail() {
        for splitter in [Splitter::SequenceDataset, Splitter::DecisionTransformer] {
            // The limit does not matter where timeouts are marked.
            let found = cut(splitter, "..t...o.b.t..", true, 2);
            assert_eq!(found, [(0..3, 't'), (3..7, 'o'), (7..9, 'b'), (9..11, 't')]);
            assert_eq!(cut(splitter, "....", true, 4), []);
            assert_eq!(cut(splitter, "", true, 4), []);
        }
    }

    #[test]
    fn without_timeouts_the_first_sequence_has_the_limit_and_later_ones_a_row_less() {
        let found = cut(Splitter::SequenceDataset, "............", false, 4);
        assert_eq!(found, [(0..4, 'o'), (4..7, 'o'), (7..10, 'o')]);
        // A terminal end resets the counter in the same way.
        let found = cut(Splitter::SequenceDataset, ".t.......", false, 4);
        assert_eq!(found, [(0..2, 't'), (2..5, 'o'), (5..8, 'o')]);
        // A terminal last row counts as both.
        let found = cut(Splitter::SequenceDataset, "...t", false, 4);
        assert_eq!(found, [(0..4, 'b')]);
        // With a limit of one row only the first ends.
        assert_eq!(
            cut(Splitter::SequenceDataset, "...", false, 1),
            [(0..1, 'o')]
        );
    }

    #[test]
    fn the_official_script_takes_a_thousand_rows_for_the_limit() {
        let rows = ".".repeat(2500);
        let found = cut(Splitter::DecisionTransformer, &rows, false, 200);
        assert_eq!(found, [(0..1000, 'o'), (1000..1999, 'o')]);
    }

    #[test]
    fn transitions_lose_every_row_with_a_timeout_and_the_last_row_of_all() {
        let found = cut(Splitter::QlearningDataset, "..t...o.b.t..", true, 2);
        assert_eq!(
            found,
            [
                (0..3, 't'),
                (3..6, 'o'),
                (7..8, 'o'),
                (9..11, 't'),
                (11..12, '.')
            ]
        );
        // No row is left of an episode of one row, and the last row goes even if it is terminal.
        assert_eq!(
            cut(Splitter::QlearningDataset, "o.t", true, 9),
            [(1..2, '.')]
        );
        assert_eq!(cut(Splitter::QlearningDataset, "t", true, 9), []);
        assert_eq!(cut(Splitter::QlearningDataset, "", true, 9), []);
    }

    #[test]
    fn without_timeouts_transitions_miscount_after_terminal_rows_only() {
        // Rows 3, 7 and 11 would be the fourth of their episodes: dropped.
        let found = cut(Splitter::QlearningDataset, "............", false, 4);
        assert_eq!(found, [(0..3, 'o'), (4..7, 'o'), (8..11, '.')]);
        // After a terminal row the counter is one ahead: row 4 is dropped, then every fourth.
        let found = cut(Splitter::QlearningDataset, ".t.......", false, 4);
        assert_eq!(found, [(0..2, 't'), (2..4, 'o'), (5..8, '.')]);
    }

    #[test]
    fn splitters_are_found_by_their_names() {
        for splitter in SPLITTERS {
            assert_eq!(splitter.to_string().parse::<Splitter>().unwrap(), splitter);
        }
        let error = "sequences".parse::<Splitter>().unwrap_err().to_string();
        assert!(
            error.contains("sequence_dataset, qlearning_dataset"),
            "{error}"
        );
    }
}
