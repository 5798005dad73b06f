//! Escaping of text for the formats of a report.

/// `text` as character data or an attribute of HTML and XML. Control characters, which XML does not
/// allow, become replacement characters.
pub(super) fn html(text: &str) -> String {
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

/// `text` inside a cell of a Markdown table.
pub(super) fn markdown(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// `text` as LaTeX, with special characters escaped.
pub(super) fn latex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '±' => escaped.push_str("$\\pm$"),
            '−' => escaped.push_str("$-$"),
            '–' => escaped.push_str("--"),
            '·' => escaped.push_str("$\\cdot$"),
            '>' | '<' => {
                escaped.push('$');
                escaped.push(character);
                escaped.push('$');
            }
            _ if character.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// `text` as a field of CSV (RFC 4180).
pub(super) fn csv(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// `text` as one word of a POSIX shell.
pub(super) fn shell(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:=,@".contains(letter);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        text.to_owned()
    } else {
        // A file name that begins with a dash would be an option.
        let dashed = if text.starts_with('-') { "./" } else { "" };
        format!("'{dashed}{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_becomes_markup() {
        assert_eq!(
            html("<a href=\"&\">\u{1}"),
            "&lt;a href=&quot;&amp;&quot;&gt;\u{fffd}"
        );
        assert_eq!(markdown("a|b\nc"), "a\\|b c");
        assert_eq!(
            latex("100% of $x_1\\{}"),
            "100\\% of \\$x\\_1\\textbackslash{}\\{\\}"
        );
        assert_eq!(csv("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv("plain"), "plain");
    }

    #[test]
    fn a_shell_reads_one_word() {
        assert_eq!(shell("runs/a-1"), "runs/a-1");
        assert_eq!(shell("it's"), "'it'\\''s'");
        assert_eq!(shell("$(rm)"), "'$(rm)'");
        assert_eq!(shell("-rf"), "'./-rf'");
        assert_eq!(shell(""), "''");
    }
}
