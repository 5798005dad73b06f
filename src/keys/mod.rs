//! Declarations of configuration keys.
//!
//! `keys!` declares a table of a plan once: for each key its field, type, default, range, unit and
//! published value. That one declaration generates the struct that is parsed, the defaults, the
//! names that are known, the ranges that are checked and the reference that `rtg keys` prints.

mod range;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::range::{KeyError, Range};
pub use toml::{Table, Value};

/// What is wrong with a plan's values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A value outside its range.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A value of the wrong type.
    #[error("wrong value: {0}")]
    Type(String),
}

/// The values of the table called `name` of a plan.
///
/// # Errors
/// Values of other types.
pub fn read<T: DeserializeOwned>(plan: &Table, name: &str) -> Result<T, PlanError> {
    let table = plan.get(name).cloned();
    let table = table.ok_or_else(|| PlanError::Type(format!("table '{name}' is missing")))?;
    table.try_into().map_err(|error| wrong_type(&error))
}

/// Puts values into the table called `name` of a plan.
///
/// # Errors
/// Values that TOML cannot represent.
pub fn write(plan: &mut Table, name: &str, values: &impl Serialize) -> Result<(), PlanError> {
    let table = Table::try_from(values).map_err(|error| PlanError::Type(error.to_string()))?;
    plan.insert(name.to_owned(), Value::Table(table));
    Ok(())
}

/// The parser's message, in one line.
pub fn wrong_type(error: &toml::de::Error) -> PlanError {
    PlanError::Type(error.to_string().trim().replace('\n', " "))
}

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name within the table.
    pub name: &'static str,
    /// The Rust type of its value; `Option` where the plan may leave it out.
    pub kind: &'static str,
    /// What it means.
    pub doc: &'static [&'static str],
    /// The values that are valid.
    pub range: Range,
    /// What the value counts; empty for numbers without a unit.
    pub unit: &'static str,
    /// Values in the published codes; empty where there are none.
    pub published: &'static str,
}

/// One table of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Its name; empty for the keys outside any table.
    pub table: &'static str,
    /// Its purpose.
    pub doc: &'static [&'static str],
    /// Its keys, in the order of their declaration.
    pub keys: &'static [Key],
}

impl Key {
    /// What it means, as one line.
    pub fn meaning(&self) -> String {
        one_line(self.doc)
    }
}

impl Keys {
    /// Its purpose, as one line.
    pub fn meaning(&self) -> String {
        one_line(self.doc)
    }

    /// The key with its table, as `--set` takes it.
    pub fn path(&self, key: &str) -> String {
        if self.table.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.table)
        }
    }

    /// Refuses the first value of `table` outside its key's range.
    ///
    /// # Errors
    /// The key, its value and the range.
    pub fn check(&self, table: &Table) -> Result<(), KeyError> {
        for key in self.keys {
            if let Some(value) = table.get(key.name) {
                key.range.check(&self.path(key.name), value)?;
            }
        }
        Ok(())
    }
}

fn one_line(doc: &[&str]) -> String {
    let words = doc.iter().flat_map(|line| line.split_whitespace());
    words.collect::<Vec<_>>().join(" ")
}

/// Declares a table of a plan: a struct, its defaults `of` a recipe, and its `KEYS`.
///
/// ```text
/// keys! {
///     /// What the table is for.
///     pub struct Config = "name_of_the_table", recipe: &str;
///
///     /// What the key means.
///     width: usize = 256, Range::at_least(1), "units", "256 (corl)";
/// }
/// ```
///
/// A type may be followed by `as ATTRIBUTE`, an attribute of the field. After `tables:` come fields
/// that are tables themselves, with their defaults only.
macro_rules! keys {
    (
        $(#[doc = $table_doc:literal])+
        pub struct $Name:ident = $table:literal, $recipe:ident: $Recipe:ty;
        $(
            $(#[doc = $doc:literal])+
            $field:ident: $Type:ty $(as $attribute:meta)? =
                $default:expr, $range:expr, $unit:literal, $published:literal;
        )+
        $(tables: $(
            $(#[doc = $inner_doc:literal])+
            $inner:ident: $Inner:ty $(as $inner_attribute:meta)? = $inner_default:expr;
        )+)?
    ) => {
        $(#[doc = $table_doc])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $Name {
            $(
                $(#[doc = $doc])+
                $(#[$attribute])?
                pub $field: $Type,
            )+
            $($(
                $(#[doc = $inner_doc])+
                $(#[$inner_attribute])?
                pub $inner: $Inner,
            )+)?
        }

        impl $Name {
            /// The declaration of every key.
            pub const KEYS: $crate::keys::Keys = $crate::keys::Keys {
                table: $table,
                doc: &[$($table_doc),+],
                keys: &[$(
                    $crate::keys::Key {
                        name: stringify!($field),
                        kind: stringify!($Type),
                        doc: &[$($doc),+],
                        range: $range,
                        unit: $unit,
                        published: $published,
                    },
                )+],
            };

            /// The defaults.
            pub fn of($recipe: $Recipe) -> Self {
                Self {
                    $($field: $default,)+
                    $($($inner: $inner_default,)+)?
                }
            }
        }
    };
}
pub(crate) use keys;

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro declares public types")]
mod tests {
    use super::*;

    keys! {
        /// A table
        /// of two keys.
        pub struct Config = "config", recipe: &str;

        /// Numbers in a layer.
        width: usize = if recipe == "large" { 512 } else { 16 },
            Range::at_least(1), "units", "512 (large)";
        /// Optional.
        scale: Option<f64> as serde(default) = None, Range::POSITIVE, "", "";
    }

    #[test]
    fn one_declaration_gives_fields_defaults_and_documentation() {
        assert_eq!((Config::of("large").width, Config::of("").width), (512, 16));
        assert_eq!(Config::KEYS.meaning(), "A table of two keys.");
        let [width, scale] = Config::KEYS.keys else {
            panic!("two keys");
        };
        assert_eq!(
            (width.name, width.kind, width.unit),
            ("width", "usize", "units")
        );
        assert_eq!(
            (scale.kind, scale.meaning().as_str()),
            ("Option<f64>", "Optional.")
        );
        let parsed: Config = "width = 3".parse::<Table>().unwrap().try_into().unwrap();
        assert_eq!((parsed.width, parsed.scale), (3, None));
    }

    #[test]
    fn a_value_outside_its_range_names_key_value_and_range() {
        let check = |text: &str| Config::KEYS.check(&text.parse().unwrap());
        assert!(check("width = 1\nscale = 0.5").is_ok());
        let error = check("width = 0").unwrap_err();
        assert_eq!(
            error.to_string(),
            "'config.width' is 0: it must be at least 1"
        );
        let error = check("width = 1\nscale = 0.0").unwrap_err();
        assert_eq!(
            error.to_string(),
            "'config.scale' is 0: it must be greater than 0"
        );
    }
}
