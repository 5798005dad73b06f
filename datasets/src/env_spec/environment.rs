//! Between a dataset's `env_spec` and the text by which [`rtg_envs`] makes an environment.

use rtg_envs::config::{self, EnvConfig, WrapperConfig};
use rtg_envs::{registry, wrappers};
use serde_json::{Map, Number, Value};

use super::{EnvSpec, WrapperSpec};

impl EnvSpec {
    /// The environment in which the data were recorded, as for [`registry::make`]: with options,
    /// time limit and wrappers, where the id is registered; else the id alone.
    pub fn environment(&self) -> String {
        if registry::spec(&self.id).is_err() {
            return self.id.clone();
        }
        let config = EnvConfig {
            kwargs: arguments(&self.kwargs),
            max_episode_steps: self.max_episode_steps,
            wrappers: self.wrappers.iter().map(config_of).collect(),
            ..EnvConfig::new(self.id.as_str())
        };
        let text = config.to_string();
        registry::resolve(&text).map_or(text, |config| config.to_string())
    }

    /// How Python makes an environment that is registered here.
    ///
    /// # Errors
    /// Those of [`registry::resolve`].
    pub fn of(environment: &str) -> Result<Self, rtg_envs::Error> {
        let config = registry::resolve(environment)?;
        let spec = registry::spec(environment)?;
        let plain = EnvConfig {
            kwargs: Vec::new(),
            max_episode_steps: None,
            wrappers: Vec::new(),
            ..config.clone()
        };
        Ok(Self {
            id: plain.to_string(),
            // Python has no delayed reward.
            entry_point: registry::entry_point(&config.id).filter(|_| !config.is_delayed),
            max_episode_steps: spec.max_episode_steps,
            reward_threshold: spec.reward_threshold,
            kwargs: object(&config.kwargs),
            wrappers: (config.wrappers.iter())
                .map(|wrapper| WrapperSpec {
                    name: wrapper.name.clone(),
                    entry_point: wrappers::entry_point(&wrapper.name),
                    kwargs: Some(object(&wrapper.kwargs)),
                })
                .collect(),
        })
    }
}

/// A wrapper whose arguments Gymnasium could not record is made without any, or refused.
fn config_of(wrapper: &WrapperSpec) -> WrapperConfig {
    WrapperConfig {
        name: wrapper.name.clone(),
        kwargs: wrapper.kwargs.as_ref().map_or_else(Vec::new, arguments),
    }
}

fn arguments(object: &Map<String, Value>) -> config::Arguments {
    let value =
        |value: &Value| serde_json::from_value(value.clone()).unwrap_or(config::Value::Null);
    (object.iter())
        .map(|(name, given)| (name.clone(), value(given)))
        .collect()
}

fn object(arguments: &config::Arguments) -> Map<String, Value> {
    (arguments.iter())
        .map(|(name, value)| (name.clone(), json(value)))
        .collect()
}

/// Python distinguishes whole numbers from others: a count of frames must be one.
fn json(value: &config::Value) -> Value {
    match value {
        config::Value::Null => Value::Null,
        config::Value::Flag(flag) => Value::Bool(*flag),
        config::Value::Number(number) if *number == f64::INFINITY => "Infinity".into(),
        config::Value::Number(number) if *number == f64::NEG_INFINITY => "-Infinity".into(),
        config::Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            Value::from(*number as i64)
        }
        config::Value::Number(number) => {
            Number::from_f64(*number).map_or(Value::Null, Value::Number)
        }
        config::Value::Text(text) => Value::String(text.clone()),
        config::Value::List(values) => values.iter().map(json).collect(),
        config::Value::Table(values) => {
            let entries = values
                .iter()
                .map(|(name, value)| (name.clone(), json(value)));
            Value::Object(entries.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOPPER: &str = r#"{"id": "Hopper-v5", "max_episode_steps": 1000,
        "kwargs": {"frame_skip": 8, "healthy_z_range": [0.6, Infinity], "ctrl_cost_weight": 0.001,
            "render_mode": null, "default_camera_config": {"distance": 4.0, "lookat": [0, 0, 1]}},
        "additional_wrappers": [
            {"name": "RecordEpisodeStatistics", "entry_point": "a:R", "kwargs": {"buffer_length": 100}},
            {"name": "RescaleAction", "entry_point": "a:R", "kwargs": {"min_action": -2.0, "max_action": 2}}]}"#;

    #[test]
    fn a_spec_names_its_environment_and_comes_back_from_it() {
        let spec = EnvSpec::parse(HOPPER).unwrap();
        let text = spec.environment();
        assert_eq!(
            text,
            "Hopper-v5?frame_skip=8&healthy_z_range=[0.6,inf]&RescaleAction(min_action=-2,max_action=2)"
        );
        let back = EnvSpec::of(&text).unwrap();
        assert_eq!(back.environment(), text);
        assert_eq!(back.kwargs["frame_skip"], json!(8));
        assert_eq!(back.kwargs["healthy_z_range"], json!([0.6, "Infinity"]));
        assert_eq!(back.max_episode_steps, Some(1000));
        let rescale = "gymnasium.wrappers.transform_action:RescaleAction";
        assert_eq!(back.wrappers[0].entry_point.as_deref(), Some(rescale));
    }

    #[test]
    fn an_unsupported_option_is_reported_with_the_whole_id() {
        let mut spec = EnvSpec::new("Hopper-v5");
        spec.kwargs.insert("xml_file".into(), "./mine.xml".into());
        spec.max_episode_steps = Some(300);
        let text = spec.environment();
        assert_eq!(text, "Hopper-v5?xml_file=./mine.xml&max_episode_steps=300");
        let error = registry::make(&text).err().unwrap().to_string();
        assert!(
            error.contains("xml_file") && error.contains("hopper.xml"),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_environment_is_its_id() {
        let mut spec = EnvSpec::new("PointMaze_UMaze-v3");
        spec.kwargs
            .insert("maze_map".into(), json!([[1, 1], ["r", "g"]]));
        assert_eq!(spec.environment(), "PointMaze_UMaze-v3");
    }

    #[test]
    fn python_has_no_delayed_reward() {
        let spec = EnvSpec::of("delayed/CartPole-v1?max_episode_steps=15").unwrap();
        assert_eq!(
            (spec.id.as_str(), spec.entry_point.as_ref()),
            ("delayed/CartPole-v1", None)
        );
        assert_eq!(
            spec.environment(),
            "delayed/CartPole-v1?max_episode_steps=15"
        );
    }
}
