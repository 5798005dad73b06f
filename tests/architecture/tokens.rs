//! A tokenizer for Rust, and the tokens of a production build.

/// A token, and the line it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

/// The tokens of a source without its comments. A string or a character is the token `""`; `::` and
/// `#[` are one token each.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let letters: Vec<char> = source.chars().collect();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < letters.len() {
        let end = token_end(&letters, at);
        let text: String = letters[at..end].iter().collect();
        let is_comment = text.starts_with("//") || text.starts_with("/*");
        let lines = text.matches('\n').count();
        if !letters[at].is_whitespace() && !is_comment {
            let is_literal = text.ends_with(['"', '\'', '#']) && text.contains(['"', '\'']);
            let text = if is_literal { "\"\"".to_owned() } else { text };
            tokens.push(Token { text, line });
        }
        line += lines;
        at = end;
    }
    tokens
}

/// Where the token, comment or blank that begins at `at` ends.
fn token_end(letters: &[char], at: usize) -> usize {
    let next = |offset: usize| letters.get(at + offset).copied().unwrap_or('\0');
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let word_end = |from: usize| {
        let word = letters[from..]
            .iter()
            .take_while(|letter| is_word(**letter));
        from + word.count()
    };
    match (next(0), next(1)) {
        ('/', '/') => find(letters, at, &['\n']).unwrap_or(letters.len()),
        ('/', '*') => comment_end(letters, at),
        ('"', _) => string_end(letters, at),
        ('b' | 'c', '"') => string_end(letters, at + 1),
        ('b', '\'') => quote_end(letters, at + 1).unwrap_or(at + 1),
        ('r', '"' | '#') => raw_end(letters, at + 1).unwrap_or_else(|| word_end(at + 2)),
        ('b' | 'c', 'r') if matches!(next(2), '"' | '#') => {
            raw_end(letters, at + 2).unwrap_or_else(|| word_end(at))
        }
        ('\'', _) => quote_end(letters, at).unwrap_or_else(|| word_end(at + 1)),
        (':', ':') | ('#', '[') => at + 2,
        (letter, _) if is_word(letter) => word_end(at),
        _ => at + 1,
    }
}

fn find(letters: &[char], from: usize, text: &[char]) -> Option<usize> {
    let found = (letters.get(from..)?.windows(text.len())).position(|window| window == text);
    found.map(|offset| from + offset)
}

/// Where a comment ends; comments may be nested.
fn comment_end(letters: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at + 1 < letters.len() {
        match (letters[at], letters[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    letters.len()
}

/// Where the string ends whose first quote is at `at`.
fn string_end(letters: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < letters.len() && letters[at] != '"' {
        at += if letters[at] == '\\' { 2 } else { 1 };
    }
    letters.len().min(at + 1)
}

/// Where the raw string ends whose hashes, or quote, begin at `at`; none if that is an identifier.
fn raw_end(letters: &[char], at: usize) -> Option<usize> {
    let hashes = letters[at..]
        .iter()
        .take_while(|letter| **letter == '#')
        .count();
    if letters.get(at + hashes) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = ['"'].into_iter().chain(vec!['#'; hashes]).collect();
    Some(find(letters, at + hashes + 1, &close)? + close.len())
}

/// Where the character at `at` ends; none if that is a lifetime.
fn quote_end(letters: &[char], at: usize) -> Option<usize> {
    match (letters.get(at + 1)?, letters.get(at + 2)?) {
        ('\\', _) => Some(find(letters, at + 3, &['\''])? + 1),
        (_, '\'') => Some(at + 3),
        _ => None,
    }
}

/// The tokens of a production build: all items not marked `#[cfg(test)]`, at any level; and the
/// names of the files that are such items (`#[cfg(test)] mod tests;`).
pub(super) fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let (mut kept, mut tests, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        if let Some(marker) = marker(&tokens[at..]) {
            let end = item_end(tokens, at + marker);
            if let [.., keyword, name, semicolon] = &tokens[at..end]
                && keyword.text == "mod"
                && semicolon.text == ";"
            {
                tests.push(name.text.clone());
            }
            at = end;
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    (kept, tests)
}

/// How many tokens mark an item as one for tests: `#[cfg(test)]`, `#[cfg(all(test, ...))]`.
fn marker(tokens: &[Token]) -> Option<usize> {
    let begins = |marker: &[&str]| {
        let texts = tokens.iter().map(|token| token.text.as_str());
        texts.take(marker.len()).eq(marker.iter().copied())
    };
    let is_marker = begins(&["#[", "cfg", "(", "test", ")", "]"])
        || begins(&["#[", "cfg", "(", "all", "(", "test", ","]);
    let end = tokens.iter().position(|token| token.text == "]")?;
    is_marker.then_some(end + 1)
}

/// Where the item that begins at `at` ends: after its body or its semicolon, or where the block
/// around it ends.
fn item_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "{" | "(" | "[" | "#[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return index;
        }
        let next = tokens.get(index + 1).map(|token| token.text.as_str());
        let is_last = match token.text.as_str() {
            "}" => next != Some(";"),
            text => text == ";",
        };
        if depth == 0 && is_last {
            return index + 1;
        }
    }
    tokens.len()
}

#[test]
fn strings_comments_and_lifetimes_name_nothing() {
    let source = "a /* b /* c */ */ r#\"d \" e\"# 'f' '\\'' &'g str // h\n b\"i\\\"j\" ::k";
    let texts: Vec<String> = tokens(source).into_iter().map(|token| token.text).collect();
    let literal = "\"\"";
    let expected = [
        "a", literal, literal, literal, "&", "'g", "str", literal, "::", "k",
    ];
    assert_eq!(texts, expected);
    assert_eq!(tokens(source).last().unwrap().line, 2);
}

#[test]
fn code_behind_a_test_is_production_code() {
    let source = "
        #[cfg(test)]
        #[expect(unused, reason = \"}\")]
        mod tests { fn f() { g::h(); } }
        #[cfg(test)]
        use a::{b, c};
        use d::e;
        #[cfg(test)]
        mod more;
        #[cfg(all(test, unix))]
        mod unix { use a::f; }
        fn last() { #[cfg(test)] f::check() }
        fn end() {}";
    let (kept, tests) = without_tests(&tokens(source));
    let texts: Vec<&str> = kept.iter().map(|token| token.text.as_str()).collect();
    assert_eq!(
        texts.join(" "),
        "use d :: e ; fn last ( ) { } fn end ( ) { }"
    );
    assert_eq!(tests, ["more"]);
}
