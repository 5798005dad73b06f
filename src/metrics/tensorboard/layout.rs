//! The layout of TensorBoard's custom scalars: one chart for each question, with the runs of all
//! seeds in it.

use tensorboard_proto::layout::{Category, Chart, Layout, MultilineChartContent};

use crate::metrics::{EVAL_CALIBRATION_ERROR, EVAL_RETURN_MEAN, EVAL_SCORE, VALIDATION_LOSS};

/// The tag of a layout.
pub(super) const TAG: &str = "custom_scalars__config__";
/// The plugin that reads it.
pub(super) const PLUGIN: &str = "custom_scalars";

/// Title and, as regular expressions that match from the first letter on, the tags of each chart.
fn charts() -> [(&'static str, String); 4] {
    let of_targets = |metric: &str| format!("{metric}(/target_[^/]*)?$");
    [
        ("return", of_targets(EVAL_RETURN_MEAN)),
        ("score", of_targets(EVAL_SCORE)),
        (
            "calibration: distance of returns from targets over the data's range",
            format!("{EVAL_CALIBRATION_ERROR}$"),
        ),
        ("losses", format!("(train/.*loss|{VALIDATION_LOSS})$")),
    ]
}

/// The layout of every run. TensorBoard merges those of the runs that it shows.
pub(super) fn layout() -> Layout {
    let mut category = Category::new();
    category.set_title("rtg".to_owned());
    for (title, tags) in charts() {
        let mut lines = MultilineChartContent::new();
        lines.mut_tag().push(tags);
        let mut chart = Chart::new();
        chart.set_title(title.to_owned());
        chart.set_multiline(lines);
        category.mut_chart().push(chart);
    }
    let mut layout = Layout::new();
    layout.mut_category().push(category);
    layout
}
