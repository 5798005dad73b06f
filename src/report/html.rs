//! The report as one HTML page that needs no other file.

use std::fmt::Write as _;

use super::table::{OVER_SEEDS, Table, run_table, seed_table};
use super::{RunReport, curves_svg};

const STYLE: &str = "\
body { font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', sans-serif; color: #1f2933;
  background: #fff; max-width: 1100px; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.4rem; }
figure { margin: 1.5rem 0; }
svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; text-align: left; border-bottom: 1px solid #e4e8ec;
  white-space: nowrap; }
th { border-bottom-color: #66727f; }
.number { text-align: right; }
";

/// The learning curves and the tables of `runs` on one self-contained page.
pub fn html(runs: &[RunReport]) -> String {
    let curves = curves_svg(runs);
    let table = html_table(&run_table(runs));
    let seeds = seed_table(runs);
    let seeds = if seeds.rows.is_empty() {
        String::new()
    } else {
        format!("<p>{OVER_SEEDS}</p>\n{}", html_table(&seeds))
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>rtg report</title>\n\
         <style>\n{STYLE}</style>\n<h1>Runs</h1>\n<figure>\n{curves}</figure>\n{table}{seeds}\
         </html>\n"
    )
}

fn html_table(table: &Table) -> String {
    let class = |numeric| if numeric { " class=\"number\"" } else { "" };
    let mut html = String::from("<div class=\"wide\"><table>\n<tr>");
    for (title, numeric) in table.columns() {
        let _ = write!(html, "<th{}>{title}</th>", class(numeric));
    }
    html += "</tr>\n";
    for row in &table.rows {
        html += "<tr>";
        for (cell, (_, numeric)) in row.iter().zip(table.columns()) {
            let _ = write!(html, "<td{}>{}</td>", class(numeric), escape(cell));
        }
        html += "</tr>\n";
    }
    html + "</table></div>\n"
}

/// `text` as character data or an attribute of HTML and XML. Control characters, which XML cannot
/// hold at all, become replacement characters.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ if character.is_control() => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_curves_and_tables_and_no_name_becomes_markup() {
        let mut runs = super::super::tests::runs();
        runs[0].name = "<script>\u{1}".into();
        let page = html(&runs);
        assert!(page.contains("&lt;script&gt;\u{fffd}"));
        assert!(!page.contains("<script>"));
        assert_eq!(page.matches("<table>").count(), 2);
        assert_eq!(page.matches("<svg ").count(), 1);
        // Nothing is loaded: the one address is the name of SVG's namespace.
        assert_eq!(page.matches("http").count(), 1);
    }
}
