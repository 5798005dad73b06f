//! The bar on stderr while something long goes on.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `length` things called `what`, with the rate and the time left.
pub(super) fn bar(length: usize, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    let template = format!("{{bar:30}} {{pos}}/{{len}} {what}, {{per_sec}}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}
