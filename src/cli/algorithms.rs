//! `rtg algorithms`: the list of algorithms and what they learn from.

use std::fmt::Write;

use clap::Args;

use super::{print, print_json};
use crate::algorithms::{AlgorithmRef, Card, Input};
use crate::error::Error;

/// List the algorithms.
#[derive(Args)]
#[command(
    after_help = "`rtg keys NAME` lists the keys of an algorithm; docs/algorithms/NAME.md is its page.\n\n\
    Example: rtg algorithms --json"
)]
pub(super) struct Algorithms {
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Algorithms {
    pub(super) fn run(self) -> Result<(), Error> {
        let cards: Vec<Card> = AlgorithmRef::all()
            .map(|algorithm| algorithm.card())
            .collect();
        if self.json {
            return print_json(&cards);
        }
        let mut text = format!(
            "{:<22} {:<12} {:<22} {:<18} summary\n",
            "algorithm", "learns from", "actions", "recipes"
        );
        for card in cards {
            let input = match card.input {
                Input::Windows => "windows",
                Input::Transitions => "transitions",
                Input::Environment => "environment",
            };
            let actions = match (card.continuous, card.discrete) {
                (true, true) => "continuous, discrete",
                (true, false) => "continuous",
                _ => "discrete",
            };
            let recipes = card.recipes.join(", ");
            let _ = writeln!(
                text,
                "{:<22} {input:<12} {actions:<22} {recipes:<18} {}",
                card.name, card.summary
            );
        }
        print(&text)
    }
}
