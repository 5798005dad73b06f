//! The options of an environment's constructor: read from named values, written back where they
//! differ from the defaults.

use crate::{
    Error,
    config::{Arguments, Value},
};
use std::ops::{Range, RangeInclusive};

/// Most time steps of the model in one step of the environment.
const MOST_FRAMES: usize = 1000;
/// Largest weight, reward or physical constant.
const LARGEST: f64 = 1e12;

/// The options of a Gymnasium constructor. The default values are Gymnasium's.
pub trait Options: Clone + Default {
    /// Options that only pictures depend on. They are accepted and have no effect, because pictures
    /// are drawn differently here.
    const PICTURE: &'static [&'static str] = &["render_mode"];

    /// All options, under Gymnasium's names.
    fn options(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        Vec::new()
    }
}

/// The field that an option sets, by its type.
#[derive(Debug)]
pub enum Slot<'a> {
    /// A truth value.
    Flag(&'a mut bool),
    /// Time steps of a model, 1 to 1000.
    Frames(&'a mut usize),
    /// A finite number of up to 1e12.
    Number(&'a mut f64),
    /// A number that is not negative.
    Noise(&'a mut f64),
    /// Two bounds that are excluded.
    Between(&'a mut Range<f64>),
    /// Two bounds that are included.
    Within(&'a mut RangeInclusive<f64>),
    /// An index into a list of which most entries have names: given by index or name.
    Named(&'a mut usize, &'static [&'static str]),
    /// One of several strings.
    OneOf(&'a mut &'static str, &'static [&'static str]),
    /// Exactly this string.
    Only(&'static str),
}

impl<'a> From<&'a mut bool> for Slot<'a> {
    fn from(flag: &'a mut bool) -> Self {
        Self::Flag(flag)
    }
}

impl<'a> From<&'a mut usize> for Slot<'a> {
    fn from(frames: &'a mut usize) -> Self {
        Self::Frames(frames)
    }
}

impl<'a> From<&'a mut f64> for Slot<'a> {
    fn from(number: &'a mut f64) -> Self {
        Self::Number(number)
    }
}

impl<'a> From<&'a mut Range<f64>> for Slot<'a> {
    fn from(range: &'a mut Range<f64>) -> Self {
        Self::Between(range)
    }
}

impl<'a> From<&'a mut RangeInclusive<f64>> for Slot<'a> {
    fn from(range: &'a mut RangeInclusive<f64>) -> Self {
        Self::Within(range)
    }
}

/// The slots of fields that have the options' names.
macro_rules! slots {
    ($options:ident: $($name:ident),+ $(,)?) => {
        vec![$((stringify!($name), $crate::options::Slot::from(&mut $options.$name))),+]
    };
}
pub(crate) use slots;

impl Slot<'_> {
    fn value(&self) -> Value {
        let pair = |low: f64, high: f64| Value::List(vec![low.into(), high.into()]);
        match self {
            Self::Flag(flag) => Value::Flag(**flag),
            Self::Frames(frames) => Value::Number(**frames as f64),
            Self::Number(number) | Self::Noise(number) => Value::Number(**number),
            Self::Between(range) => pair(range.start, range.end),
            Self::Within(range) => pair(*range.start(), *range.end()),
            Self::Named(place, _) => Value::Number(**place as f64),
            Self::OneOf(text, _) => (**text).into(),
            Self::Only(text) => (*text).into(),
        }
    }

    /// Sets the value; an error says which values are allowed.
    fn set(&mut self, value: &Value) -> Result<(), String> {
        match self {
            Self::Flag(flag) => match value {
                Value::Flag(given) => **flag = *given,
                _ => return Err("true or false".to_owned()),
            },
            Self::Frames(frames) => {
                let given = value.as_count().filter(|n| (1..=MOST_FRAMES).contains(n));
                **frames = given.ok_or(format!("a whole number from 1 to {MOST_FRAMES}"))?;
            }
            Self::Number(number) => {
                let given = value.as_number().filter(|number| number.abs() <= LARGEST);
                **number = given.ok_or(format!("a number from -{LARGEST:e} to {LARGEST:e}"))?;
            }
            Self::Noise(number) => {
                let given = value.as_number().filter(|n| (0.0..=LARGEST).contains(n));
                **number = given.ok_or(format!("a number from 0 to {LARGEST:e}"))?;
            }
            Self::Between(range) => {
                let (low, high) = bounds(value)?;
                **range = low..high;
            }
            Self::Within(range) => {
                let (low, high) = bounds(value)?;
                **range = low..=high;
            }
            Self::Named(place, names) => {
                let given = match value {
                    Value::Text(name) if name.is_empty() => None,
                    Value::Text(name) => names.iter().position(|known| known == name),
                    _ => value.as_count().filter(|place| *place < names.len()),
                };
                **place = given.ok_or_else(|| {
                    let known: Vec<&str> = names
                        .iter()
                        .copied()
                        .filter(|name| !name.is_empty())
                        .collect();
                    format!("{}, or a number below {}", known.join(", "), names.len())
                })?;
            }
            Self::OneOf(text, known) => {
                let given = |known: &&&str| *value == Value::from(**known);
                **text = known.iter().find(given).ok_or_else(|| only(known))?;
            }
            Self::Only(text) => {
                if *value != Value::from(*text) {
                    return Err(only(&[text]));
                }
            }
        }
        Ok(())
    }
}

fn only(known: &[&str]) -> String {
    format!("only {} can be simulated here", known.join(" or "))
}

fn bounds(value: &Value) -> Result<(f64, f64), String> {
    let pair = match value {
        Value::List(pair) => match pair.as_slice() {
            [low, high] => low.as_number().zip(high.as_number()),
            _ => None,
        },
        _ => None,
    };
    pair.filter(|(low, high)| !low.is_nan() && !high.is_nan())
        .ok_or_else(|| "two numbers, such as [-1,1] or [0.7,inf]".to_owned())
}

/// The options with these values.
///
/// # Errors
/// A name that the environment does not have, with the nearest ones, and a value that is not
/// allowed.
pub(crate) fn configured<T: Options>(id: &str, arguments: &Arguments) -> Result<T, Error> {
    let mut made = T::default();
    for (name, value) in arguments {
        if T::PICTURE.contains(&name.as_str()) {
            continue;
        }
        let mut options = made.options();
        let Some((_, slot)) = options.iter_mut().find(|(known, _)| known == name) else {
            return Err(Error::UnknownOption {
                id: id.to_owned(),
                option: name.clone(),
                known: options
                    .iter()
                    .map(|(known, _)| (*known).to_owned())
                    .collect(),
            });
        };
        slot.set(value).map_err(|expected| Error::OptionValue {
            id: id.to_owned(),
            option: name.clone(),
            value: value.to_string(),
            expected,
        })?;
    }
    Ok(made)
}

/// The options that differ from the default values, in the order of [`Options::options`].
pub(crate) fn changed<T: Options>(made: &T) -> Arguments {
    let (mut made, mut default) = (made.clone(), T::default());
    (made.options().iter().zip(default.options().iter()))
        .map(|((name, slot), (_, default))| (*name, slot.value(), default.value()))
        .filter(|(_, value, default)| value != default)
        .map(|(name, value, _)| (name.to_owned(), value))
        .collect()
}

/// All options with their default values.
pub(crate) fn defaults<T: Options>() -> Arguments {
    let mut default = T::default();
    (default.options().iter())
        .map(|(name, slot)| ((*name).to_owned(), slot.value()))
        .collect()
}
