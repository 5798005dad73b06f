//! Reading the text of an environment.

use super::{
    Arguments, DELAYED, EnvConfig, Value, WrapperConfig,
    value::{infinity, is_of_word},
};

/// The item that is not an argument of a constructor.
pub(super) const LIMIT: &str = "max_episode_steps";
/// The deepest nesting of lists: no option has more than one level.
const DEEPEST: usize = 8;

/// Parses it; the error says what is wrong, and where.
pub(super) fn parse(text: &str) -> Result<EnvConfig, String> {
    let (name, items) = text
        .split_once('?')
        .map_or((text, None), |(name, items)| (name, Some(items)));
    let id = name.strip_prefix(DELAYED).unwrap_or(name);
    if id.is_empty() {
        return Err("there is no id".to_owned());
    }
    let mut config = EnvConfig::new(id);
    config.is_delayed = name.len() > id.len();
    let Some(items) = items else {
        return Ok(config);
    };
    let mut reader = Reader(items);
    loop {
        let name = reader.name()?;
        if reader.take('(') {
            let kwargs = reader.arguments(')', DEEPEST)?;
            config.wrappers.push(WrapperConfig { name, kwargs });
        } else if !reader.take('=') {
            return Err(format!("'=' or '(' is missing after '{name}'"));
        } else {
            let value = reader.value(DEEPEST)?;
            if name == LIMIT {
                let limit = value.as_count().filter(|&limit| limit > 0);
                let limit =
                    limit.ok_or_else(|| format!("'{LIMIT}' is not a whole number from 1 on"))?;
                if config.max_episode_steps.replace(limit).is_some() {
                    return Err(twice(&name));
                }
            } else {
                add(&mut config.kwargs, name, value)?;
            }
        }
        if reader.0.is_empty() {
            return Ok(config);
        }
        if !reader.take('&') {
            return Err(format!("'&' is missing before '{}'", reader.0));
        }
    }
}

fn add(arguments: &mut Arguments, name: String, value: Value) -> Result<(), String> {
    if arguments.iter().any(|(known, _)| *known == name) {
        return Err(twice(&name));
    }
    arguments.push((name, value));
    Ok(())
}

fn twice(name: &str) -> String {
    format!("'{name}' is given twice")
}

/// What has not been read yet.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn take(&mut self, letter: char) -> bool {
        let rest = self.0.strip_prefix(letter);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// The longest prefix of letters of this kind.
    fn while_is(&mut self, is_of_kind: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|letter| !is_of_kind(letter));
        let (taken, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The error that names what is missing here.
    fn missing(&self, what: &str) -> String {
        match self.0.chars().next() {
            None => format!("{what} is missing at the end"),
            Some(letter) => format!("{what} is missing before '{letter}'"),
        }
    }

    fn name(&mut self) -> Result<String, String> {
        let name = self.while_is(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if name.is_empty() {
            return Err(self.missing("a name"));
        }
        Ok(name.to_owned())
    }

    /// Named values up to the closing bracket; the opening one has been read.
    fn arguments(&mut self, closing: char, depth: usize) -> Result<Arguments, String> {
        let mut arguments = Vec::new();
        if self.take(closing) {
            return Ok(arguments);
        }
        if self.0.is_empty() {
            return Err(self.missing(&format!("'{closing}'")));
        }
        loop {
            let name = self.name()?;
            if !self.take('=') {
                return Err(format!("'=' is missing after '{name}'"));
            }
            let value = self.value(depth)?;
            add(&mut arguments, name, value)?;
            if self.take(closing) {
                return Ok(arguments);
            }
            if !self.take(',') {
                return Err(self.missing(&format!("',' or '{closing}'")));
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        let deeper = depth.checked_sub(1).ok_or("values are nested too deeply");
        if self.take('[') {
            return self.list(deeper?);
        }
        if self.take('{') {
            let entries = self.arguments('}', deeper?)?;
            return Ok(Value::Table(entries.into_iter().collect()));
        }
        if self.take('"') {
            return self.quoted();
        }
        let word = self.while_is(is_of_word);
        Ok(match word {
            "" => return Err(self.missing("a value")),
            "null" => Value::Null,
            "true" => Value::Flag(true),
            "false" => Value::Flag(false),
            _ => match infinity(word).or_else(|| word.parse().ok()) {
                Some(number) if number.is_nan() => return Err(format!("'{word}' is not a number")),
                Some(number) => Value::Number(number),
                None => Value::Text(word.to_owned()),
            },
        })
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        let mut values = Vec::new();
        if self.take(']') {
            return Ok(Value::List(values));
        }
        loop {
            values.push(self.value(depth)?);
            if self.take(']') {
                return Ok(Value::List(values));
            }
            if !self.take(',') {
                return Err(self.missing("',' or ']'"));
            }
        }
    }

    /// A quoted text, whose opening quote has been read.
    fn quoted(&mut self) -> Result<Value, String> {
        let mut text = String::new();
        let mut letters = self.0.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Ok(Value::Text(text));
                }
                '\\' => text.extend(letters.next().map(|(_, escaped)| escaped)),
                _ => text.push(letter),
            }
        }
        Err("the closing '\"' is missing".to_owned())
    }
}
