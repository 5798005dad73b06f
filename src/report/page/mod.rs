//! The report as a single HTML file that works offline.
//!
//! Tables are HTML; charts are drawn by the script in `page.js` with
//! [uPlot](https://github.com/leeoniya/uPlot) 1.6.32 (MIT, `uplot.LICENSE`), from numbers that
//! [`series`] collects. The page's content security policy forbids all requests.

mod series;

use std::fmt::Write as _;

use super::aggregate::Aggregate;
use super::calibration::{calibration_table, not_asked};
use super::findings::findings;
use super::tables::{difference_table, group_table, method_table, pair_table, run_table};
use super::{Comparison, RunReport, escape};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const UPLOT: &str = include_str!("uplot.min.js");
const UPLOT_STYLE: &str = include_str!("uplot.min.css");
const UPLOT_LICENCE: &str = include_str!("uplot.LICENSE");

/// The page of `runs`. With `reload_secs` it reloads itself at this interval, for a file that is
/// rewritten while runs continue.
pub fn page(runs: &[RunReport], reload_secs: Option<u64>) -> String {
    let comparison = Comparison::of(runs);
    let aggregate = Aggregate::of(&comparison);
    let reload = reload_secs.map_or_else(String::new, |secs| {
        format!("<meta http-equiv=\"refresh\" content=\"{secs}\">\n")
    });
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\" data-theme=\"light\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n{reload}\
         <title>rtg report</title>\n<style>\n{UPLOT_STYLE}\n{STYLE}</style>\n"
    );
    html += &head(&comparison, runs);
    if let Some(aggregate) = &aggregate {
        html += &sentences(&findings(&comparison, aggregate));
    }
    html += CURVES;
    if let Some(aggregate) = &aggregate {
        html += &methods(&comparison, aggregate);
    }
    if comparison
        .groups
        .iter()
        .any(|group| group.targets().len() > 1)
    {
        html += CALIBRATION;
    }
    if let Some(table) = calibration_table(&comparison) {
        html += &table.html();
        let sentence = not_asked(&comparison).map(|text| escape::html(&text));
        html += &sentence.map_or_else(String::new, |text| {
            format!("<p class=\"caption\">{text}</p>\n")
        });
    }
    html += "<h2>Over seeds</h2>\n";
    html += &group_table(&comparison, true).html();
    if !comparison.differing.is_empty() {
        html += &differences(&comparison);
    }
    html += "<h2>Runs</h2>\n";
    html += &run_table(runs, true).html();
    html += &foot();
    let data =
        series::Collector::default().collect(&comparison, aggregate.as_ref(), &comparison.methods);
    let data = serde_json::to_string(&data).unwrap_or_default();
    let _ = write!(
        html,
        "<script type=\"application/json\" id=\"data\">{}</script>\n\
         <script>\n/*\n{UPLOT_LICENCE}*/\n{UPLOT}</script>\n<script>\n{SCRIPT}</script>\n</html>\n",
        // Otherwise a name in the data could end the script element.
        data.replace('<', "\\u003c")
    );
    html
}

const CURVES: &str = "\
<h2>Curves</h2>
<p class=\"caption\">Interquartile mean over the seeds; band: its 95 % bootstrap interval. Drag over a
chart to zoom, double-click to reset; click a name to show or hide its curve.</p>
<div class=\"controls\"><label>show <select id=\"metric\"></select></label>
<label>over <select id=\"axis\"></select></label>
<label><input type=\"checkbox\" id=\"log\"> logarithmic</label></div>
<div class=\"charts\" id=\"curves\"></div>
";

const CALIBRATION: &str = "\
<h2>Calibration</h2>
<p class=\"caption\">Achieved return of the last evaluation over the target return: interquartile mean
over the seeds with its 95 % interval, or for a single run the mean over its episodes with its
interval. Dotted: achieved equals target. Shaded: the data's returns from the 5th to the 95th
percentile, the range in which targets count.</p>
<div class=\"charts\" id=\"calibration\"></div>
";

fn head(comparison: &Comparison<'_>, runs: &[RunReport]) -> String {
    let going = runs.iter().filter(|run| !run.ended).count();
    let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    let mut text = [
        count(runs.len(), "run"),
        count(comparison.groups.len(), "plan"),
        count(comparison.tasks.len(), "task"),
    ]
    .join(", ");
    if going > 0 {
        let _ = write!(text, "; {going} not finished");
    }
    format!(
        "<header><h1>Runs</h1><span class=\"count\">{text}</span><button type=\"button\" \
         id=\"theme\">light / dark</button></header>\n"
    )
}

fn sentences(findings: &[String]) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let items = findings
        .iter()
        .map(|finding| format!("<li>{}</li>", escape::html(finding)));
    format!(
        "<ul class=\"findings\">{}</ul>\n",
        items.collect::<String>()
    )
}

fn methods(comparison: &Comparison<'_>, aggregate: &Aggregate) -> String {
    let mut html = String::from("<h2>Methods</h2>\n");
    html += &method_table(comparison, aggregate).html();
    html += "<div class=\"charts\"><figure><h3>Performance profile</h3><p class=\"caption\">Share of \
             runs above a score; band: 95 % interval.</p><div id=\"profile\"></div></figure>";
    let pairs = pair_table(comparison, aggregate);
    if pairs.is_some() {
        html += "<figure><h3>Probability of improvement</h3><p class=\"caption\">The probability that a \
                 run of <select id=\"opponent\" aria-label=\"method\"></select> scores above a run \
                 of another method; bar: 95 % interval.</p><div class=\"forest\" id=\"forest\">\
                 </div></figure>";
    }
    html += "</div>\n";
    html += &pairs.map_or_else(String::new, |pairs| pairs.html());
    html
}

/// Plans of different algorithms differ in all keys of their tables: long tables are folded.
fn differences(comparison: &Comparison<'_>) -> String {
    const UNFOLDED: usize = 20;
    let table = difference_table(comparison).html();
    let count = comparison.differing.len();
    let table = if count > UNFOLDED {
        format!("<details><summary>{count} keys</summary>\n{table}</details>\n")
    } else {
        table
    };
    format!("<h2>Differences between the plans</h2>\n{table}")
}

fn foot() -> String {
    format!(
        "<footer><p>The headline is the <em>last</em> evaluation. <em>Best</em> is the largest of all \
         of a run's evaluations and favours runs with more of them, so the number of looks is \
         shown next to it. A run with several targets counts with the first one of its plan. \
         Seconds are those of training, without evaluations. Statistics as in Agarwal et al. 2021 \
         (rliable), 2,000 draws of the stratified bootstrap, 500 for curves.</p><p>rtg {}</p></footer>\n",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{many_runs, runs};
    use super::*;

    #[test]
    fn no_name_becomes_markup_and_nothing_is_loaded() {
        let mut runs = runs();
        runs[0].name = "<script>\u{1}".into();
        runs[0].dataset = "</script><b>".into();
        let page = page(&runs, None);
        assert!(page.contains("&lt;script&gt;\u{fffd}"));
        assert!(!page.contains("<b>") && page.contains("\\u003c/script>\\u003cb>"));
        assert_eq!(page.matches("<script").count(), 3);
        for loading in ["src=", "href=\"http", "@import", "url("] {
            assert!(!page.contains(loading), "{loading}");
        }
    }

    #[test]
    fn a_comparison_opens_with_a_sentence_and_has_every_part() {
        let page = page(&many_runs(), Some(7));
        assert!(page.contains("<li>official beats corl: P = 1.00 [1.00, 1.00].</li>"));
        for id in [
            "curves",
            "profile",
            "forest",
            "methods",
            "pairs",
            "groups",
            "differences",
            "runs",
        ] {
            assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
        }
        assert!(page.contains("content=\"7\""));
        assert!(page.contains("8 runs, 2 plans, 1 task"));
    }

    #[test]
    fn many_differences_are_folded() {
        let mut runs = many_runs();
        assert!(!page(&runs, None).contains("<details>"));
        for key in 0..20 {
            runs[0].settings.insert(format!("own.{key:02}"), "1".into());
        }
        assert!(page(&runs, None).contains("<details><summary>21 keys</summary>"));
    }

    #[test]
    fn a_page_without_runs_is_a_page() {
        let page = page(&[], None);
        assert!(page.contains("0 runs") && !page.contains("refresh"));
    }
}
