//! The paths that a source names, with its `use` trees taken apart.

use super::tokens::Token;

/// A path, from its first name on, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) names: Vec<String>,
    pub(super) line: usize,
}

/// What a source names.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// What it imports, with its local name: `use a::b as c;` is `("c", a::b)`. The name of a glob
    /// is `*`.
    pub(super) imports: Vec<(String, Path)>,
    /// Paths of at least two names outside imports. One that begins with `::` has an empty first
    /// name.
    pub(super) mentions: Vec<Path>,
}

/// Reads all paths of a source.
pub(super) fn paths(tokens: &[Token]) -> Paths {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut found = Paths::default();
    let mut at = 0;
    while at < tokens.len() {
        let before = if at == 0 { "" } else { text(at - 1) };
        if text(at) == "use" && before != "::" && text(at + 1) != "<" {
            at = tree(tokens, at + 1, &[], &mut found.imports);
        } else if is_name(text(at)) && before != "::" && text(at + 1) == "::" {
            at = mention(tokens, at, Vec::new(), &mut found.mentions);
        } else if text(at) == "::" && is_name(text(at + 1)) && !is_name(before) && before != ">" {
            at = mention(tokens, at + 1, vec![String::new()], &mut found.mentions);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads the path at `at`; returns where it ends.
fn mention(tokens: &[Token], at: usize, start: Vec<String>, found: &mut Vec<Path>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let line = tokens[at].line;
    let (mut names, mut at) = (start, at);
    names.push(text(at).to_owned());
    while text(at + 1) == "::" && is_name(text(at + 2)) {
        at += 2;
        names.push(text(at).to_owned());
    }
    found.push(Path { names, line });
    at + 1
}

/// Reads the `use` tree at `at`, of which `prefix` is read already; returns where it ends.
fn tree(tokens: &[Token], at: usize, prefix: &[String], found: &mut Vec<(String, Path)>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let line = tokens.get(at).map_or(0, |token| token.line);
    let (mut names, mut at) = (prefix.to_vec(), at);
    if text(at) == "::" {
        names.push(String::new());
        at += 1;
    }
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while !matches!(text(at), "}" | "") {
                    at = match text(at) {
                        "," => at + 1,
                        _ => tree(tokens, at, &names, found),
                    };
                }
                return at + 1;
            }
            "*" => {
                found.push(("*".to_owned(), Path { names, line }));
                return at + 1;
            }
            // In a list, `self` is the module before the list.
            "self" if !names.is_empty() => {}
            name => names.push(name.to_owned()),
        }
        at += 1;
        if text(at) != "::" {
            break;
        }
        at += 1;
    }
    let mut name = names.last().cloned().unwrap_or_default();
    if text(at) == "as" {
        text(at + 1).clone_into(&mut name);
        at += 2;
    }
    found.push((name, Path { names, line }));
    at
}

fn is_name(text: &str) -> bool {
    let first = text.chars().next().unwrap_or('\0');
    first.is_alphabetic() || first == '_'
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokens;
    use super::*;

    fn imports(source: &str) -> Vec<String> {
        let found = paths(&tokens(source)).imports;
        let shown = |(name, path): &(String, Path)| {
            format!("{name} = {} ({})", path.names.join("::"), path.line)
        };
        found.iter().map(shown).collect()
    }

    #[test]
    fn a_use_tree_over_several_lines_is_parsed() {
        let source = "use crate::{
            a,
            b::{c, d::{self, E as F}},
        };
        pub(crate) use super::super::x::*;
        use self::y::Z;";
        assert_eq!(
            imports(source),
            [
                "a = crate::a (2)",
                "c = crate::b::c (3)",
                "d = crate::b::d (3)",
                "F = crate::b::d::E (3)",
                "* = super::super::x (5)",
                "Z = self::y::Z (6)",
            ]
        );
    }

    #[test]
    fn paths_in_code_are_read_without_their_generic_arguments() {
        let source = "fn f(x: crate::a::B<super::C>) -> Vec<d::E> { ::g::h::<i::J>(x.k); l }";
        let mentions = paths(&tokens(source)).mentions;
        let names: Vec<String> = mentions.iter().map(|path| path.names.join("::")).collect();
        assert_eq!(names, ["crate::a::B", "super::C", "d::E", "::g::h", "i::J"]);
    }
}
