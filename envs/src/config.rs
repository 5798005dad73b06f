//! The description of an environment as one line of text that can be stored, typed and compared.
//!
//! ```text
//! [delayed/]ID[?ITEM&ITEM...]
//!
//! Hopper-v5?frame_skip=8&healthy_z_range=[0.7,inf]
//! CartPole-v1?max_episode_steps=15
//! Pendulum-v1?g=2&RescaleAction(min_action=-1,max_action=1)
//! ```
//!
//! An item `name=value` is an argument of Gymnasium's constructor, or `max_episode_steps`; an item
//! `Name(...)` is a wrapper, the innermost first. It corresponds to Gymnasium's `EnvSpec` fields
//! `kwargs`, `max_episode_steps` and `additional_wrappers`.
//!
//! [`EnvConfig`] is the same as a value. It may name things that do not exist: only the
//! [registry](crate::registry) can tell.

mod text;
mod value;

pub use value::Value;

use crate::Error;
use std::{fmt, str::FromStr};
use value::visible;

/// Before an id: that environment with [`DelayedReward`](crate::DelayedReward).
pub const DELAYED: &str = "delayed/";

/// Named values in the order in which they were given.
pub type Arguments = Vec<(String, Value)>;

/// The description of an environment. See the [module](self) for its text, which [`FromStr`] reads
/// and [`Display`](fmt::Display) writes.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvConfig {
    /// The registered id, such as `Hopper-v5`.
    pub id: String,
    /// Whether an episode's whole reward is given at its last step.
    pub is_delayed: bool,
    /// Arguments of the constructor.
    pub kwargs: Arguments,
    /// The time limit, if it is not the registered one.
    pub max_episode_steps: Option<usize>,
    /// The wrappers, the innermost first.
    pub wrappers: Vec<WrapperConfig>,
}

/// A wrapper by name, as `gymnasium.envs.registration.WrapperSpec` has it.
#[derive(Clone, Debug, PartialEq)]
pub struct WrapperConfig {
    /// Its class, such as `RescaleAction`.
    pub name: String,
    /// Arguments of the constructor.
    pub kwargs: Arguments,
}

impl EnvConfig {
    /// An environment with nothing changed; `id` is not parsed.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            is_delayed: false,
            kwargs: Vec::new(),
            max_episode_steps: None,
            wrappers: Vec::new(),
        }
    }

    /// With an argument of the constructor.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.kwargs.push((name.into(), value.into()));
        self
    }

    /// With this time limit.
    #[must_use]
    pub fn limited(mut self, max_episode_steps: usize) -> Self {
        self.max_episode_steps = Some(max_episode_steps);
        self
    }

    /// Inside a wrapper.
    #[must_use]
    pub fn wrapped(mut self, wrapper: WrapperConfig) -> Self {
        self.wrappers.push(wrapper);
        self
    }

    /// Whether it is the environment that the registry has under this id: no argument, time limit
    /// or wrapper is given. Delayed reward does not count as a change, because returns stay the
    /// same.
    pub fn is_plain(&self) -> bool {
        self.kwargs.is_empty() && self.max_episode_steps.is_none() && self.wrappers.is_empty()
    }
}

impl WrapperConfig {
    /// A wrapper without arguments.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kwargs: Vec::new(),
        }
    }

    /// With an argument of the constructor.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.kwargs.push((name.into(), value.into()));
        self
    }
}

impl FromStr for EnvConfig {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text::parse(text).map_err(|reason| Error::EnvText {
            text: text.to_owned(),
            reason,
        })
    }
}

impl fmt::Display for EnvConfig {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.is_delayed {
            f.write_str(DELAYED)?;
        }
        f.write_str(&visible(&self.id))?;
        let mut separator = '?';
        let mut item = |f: &mut fmt::Formatter, item: &dyn fmt::Display| {
            write!(f, "{separator}{item}")?;
            separator = '&';
            Ok(())
        };
        for (name, value) in &self.kwargs {
            item(f, &format_args!("{}={value}", visible(name)))?;
        }
        if let Some(limit) = self.max_episode_steps {
            item(f, &format_args!("{}={limit}", text::LIMIT))?;
        }
        for wrapper in &self.wrappers {
            item(f, wrapper)?;
        }
        Ok(())
    }
}

impl fmt::Display for WrapperConfig {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}(", visible(&self.name))?;
        for (i, (name, value)) in self.kwargs.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}={value}", visible(name))?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> EnvConfig {
        let camera = Value::Table([("distance".to_owned(), 4.5.into())].into());
        let rescale = WrapperConfig::new("RescaleAction")
            .with("min_action", -1.0)
            .with("max_action", vec![Value::Number(1.0), Value::Number(0.5)]);
        let mut config = EnvConfig::new("Hopper-v5")
            .with("frame_skip", 8.0)
            .with("terminate_when_unhealthy", false)
            .with("default_camera_config", camera)
            .with("xml_file", "./my models/a&b=\"c\".xml")
            .with("healthy_z_range", vec![0.7.into(), f64::INFINITY.into()])
            .limited(15)
            .wrapped(rescale)
            .wrapped(WrapperConfig::new("ClipAction"));
        config.is_delayed = true;
        config
    }

    #[test]
    fn the_text_has_everything_and_is_read_back() {
        let config = everything();
        let text = config.to_string();
        assert_eq!(
            text,
            r#"delayed/Hopper-v5?frame_skip=8&terminate_when_unhealthy=false&default_camera_config={distance=4.5}&xml_file="./my models/a&b=\"c\".xml"&healthy_z_range=[0.7,inf]&max_episode_steps=15&RescaleAction(min_action=-1,max_action=[1,0.5])&ClipAction()"#
        );
        assert_eq!(text.parse(), Ok(config));
    }

    #[test]
    fn control_characters_are_escaped() {
        let config = EnvConfig::new("A\u{1b}[31m-v0").with("x\r", "\u{7}");
        assert!(!config.to_string().contains(char::is_control));
    }

    #[test]
    fn a_bare_id_is_plain() {
        let config: EnvConfig = "delayed/CartPole-v1".parse().unwrap();
        assert!(config.is_delayed && config.is_plain());
        assert_eq!(config.id, "CartPole-v1");
        assert!(!everything().is_plain());
    }

    #[test]
    fn an_invalid_text_is_refused_with_its_position() {
        for (text, reason) in [
            ("", "there is no id"),
            ("?g=2", "there is no id"),
            ("Pendulum-v1?", "a name is missing at the end"),
            ("Pendulum-v1?g", "'=' or '(' is missing after 'g'"),
            ("Pendulum-v1?g=", "a value is missing at the end"),
            ("Pendulum-v1?g=[1,2", "',' or ']' is missing at the end"),
            ("Pendulum-v1?g=\"x", "the closing '\"' is missing"),
            ("Pendulum-v1?g=1=2", "'&' is missing before '=2'"),
            ("Pendulum-v1?g=nan", "'nan' is not a number"),
            ("Pendulum-v1?g=1&g=2", "'g' is given twice"),
            (
                "CartPole-v1?max_episode_steps=1.5",
                "'max_episode_steps' is not a whole number from 1 on",
            ),
            (
                "CartPole-v1?max_episode_steps=0",
                "'max_episode_steps' is not a whole number from 1 on",
            ),
            ("Pendulum-v1?Clip(", "')' is missing at the end"),
        ] {
            let Err(Error::EnvText { reason: said, .. }) = text.parse::<EnvConfig>() else {
                panic!("{text} was read")
            };
            assert_eq!(said, reason, "{text}");
        }
        let deep = format!("Pendulum-v1?g={}", "[".repeat(100_000));
        assert!(deep.parse::<EnvConfig>().is_err());
    }
}
