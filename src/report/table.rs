//! Tables of text and numbers, written as Markdown, LaTeX or HTML.

use std::fmt::Write as _;

use super::escape;

/// A column's title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) title: String,
    /// Whether it contains numbers, which are right-aligned.
    pub(super) numeric: bool,
}

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    pub(super) text: String,
    /// The cell's sort key; cells without it are sorted as text, after all numbers.
    pub(super) value: Option<f64>,
    /// Whether the text is a command to copy.
    pub(super) command: bool,
}

/// Rows of cells under column titles.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    /// The table's name; also its element's id on the page.
    pub(super) name: &'static str,
    /// One sentence above the table.
    pub(super) caption: &'static str,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A column of text.
pub(super) fn words(title: &str) -> Column {
    Column {
        title: title.to_owned(),
        numeric: false,
    }
}

/// A column of numbers.
pub(super) fn numbers(title: &str) -> Column {
    Column {
        title: title.to_owned(),
        numeric: true,
    }
}

impl Cell {
    /// A number as `text`, sorted by `value`.
    pub(super) fn number(text: impl Into<String>, value: f64) -> Self {
        let value = (!value.is_nan()).then_some(value);
        Self {
            text: text.into(),
            value,
            command: false,
        }
    }

    /// A command to copy.
    pub(super) fn command(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            value: None,
            command: true,
        }
    }

    /// A dash for a missing value.
    pub(super) fn missing() -> Self {
        Self::from("–")
    }

    /// The cell of a value that may be missing.
    pub(super) fn optional<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or_else(Self::missing, cell)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            value: None,
            command: false,
        }
    }
}

impl Table {
    /// The columns with these titles, in their current order; unknown titles are ignored.
    pub(super) fn only(self, titles: &[&str]) -> Self {
        self.keeping(|title| titles.contains(&title))
    }

    /// All columns except the one with this title.
    pub(super) fn without(self, title: &str) -> Self {
        self.keeping(|other| other != title)
    }

    fn keeping(mut self, is_kept: impl Fn(&str) -> bool) -> Self {
        let keep: Vec<bool> = (self.columns.iter())
            .map(|column| is_kept(&column.title))
            .collect();
        for row in &mut self.rows {
            let mut keep = keep.iter();
            row.retain(|_| keep.next().is_some_and(|keep| *keep));
        }
        self.columns.retain(|column| is_kept(&column.title));
        self
    }

    pub(super) fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let titles = self
            .columns
            .iter()
            .map(|column| escape::markdown(&column.title))
            .collect();
        let rule = |numeric| if numeric { "---:" } else { "---" }.to_owned();
        let rules = self
            .columns
            .iter()
            .map(|column| rule(column.numeric))
            .collect();
        let rows = self.rows.iter().map(|row| {
            line(
                row.iter()
                    .map(|cell| escape::markdown(&cell.text))
                    .collect(),
            )
        });
        line(titles) + &line(rules) + &rows.collect::<String>()
    }

    /// A `tabular` with the rules of the package booktabs.
    pub(super) fn latex(&self) -> String {
        let line = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
        let layout = self
            .columns
            .iter()
            .map(|column| if column.numeric { 'r' } else { 'l' });
        let titles = self
            .columns
            .iter()
            .map(|column| escape::latex(&column.title))
            .collect();
        let rows = self
            .rows
            .iter()
            .map(|row| line(row.iter().map(|cell| escape::latex(&cell.text)).collect()));
        format!(
            "\\begin{{tabular}}{{{}}}\n\\toprule\n{}\\midrule\n{}\\bottomrule\n\\end{{tabular}}\n",
            layout.collect::<String>(),
            line(titles),
            rows.collect::<String>()
        )
    }

    /// A table that a script can sort: cells with numbers have their value in `data-v`.
    pub(super) fn html(&self) -> String {
        let class = |numeric| if numeric { " class=\"number\"" } else { "" };
        let mut html = format!(
            "<p class=\"caption\">{}</p>\n<div class=\"wide\"><table id=\"{}\"><thead><tr>",
            escape::html(self.caption),
            self.name
        );
        for Column { title, numeric } in &self.columns {
            let _ = write!(
                html,
                "<th{} aria-sort=\"none\"><button type=\"button\">{}</button></th>",
                class(*numeric),
                escape::html(title)
            );
        }
        html += "</tr></thead><tbody>\n";
        for row in &self.rows {
            html += "<tr>";
            for (cell, column) in row.iter().zip(&self.columns) {
                html += &cell.html(class(column.numeric));
            }
            html += "</tr>\n";
        }
        html + "</tbody></table></div>\n"
    }
}

impl Cell {
    fn html(&self, class: &str) -> String {
        let text = escape::html(&self.text);
        if self.command {
            return format!(
                "<td{class}><code>{text}</code> <button type=\"button\" class=\"copy\">copy\
                 </button></td>"
            );
        }
        match self.value {
            Some(value) => format!("<td{class} data-v=\"{value}\">{text}</td>"),
            None => format!("<td{class}>{text}</td>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            name: "t",
            caption: "What it shows.",
            columns: vec![words("run"), numbers("re|turn")],
            rows: vec![vec![Cell::from("a_b"), Cell::number("1.50 ± 0.1", 1.5)]],
        }
    }

    #[test]
    fn one_table_has_three_forms() {
        assert_eq!(
            table().markdown(),
            "| run | re\\|turn |\n| --- | ---: |\n| a_b | 1.50 ± 0.1 |\n"
        );
        assert!(
            table()
                .latex()
                .contains("{lr}\n\\toprule\nrun & re|turn \\\\\n")
        );
        assert!(table().latex().contains("a\\_b & 1.50 $\\pm$ 0.1 \\\\\n"));
        let html = table().html();
        assert!(
            html.contains("<td class=\"number\" data-v=\"1.5\">1.50 ± 0.1</td>"),
            "{html}"
        );
    }

    #[test]
    fn some_columns_of_a_table_are_a_table() {
        let text = table().only(&["re|turn", "no such"]).markdown();
        assert_eq!(text, "| re\\|turn |\n| ---: |\n| 1.50 ± 0.1 |\n");
        assert_eq!(table().without("run").markdown(), text);
    }

    #[test]
    fn a_nan_has_no_sort_value() {
        assert_eq!(Cell::number("NaN", f64::NAN).value, None);
        assert_eq!(Cell::optional(None::<f64>, |_| Cell::from("x")).text, "–");
        assert!(Cell::command("ls").html("").contains("<code>ls</code>"));
    }
}
