//! The description of a recording, in any format.

use rtg_envs::{Dtype, Space};
use serde_json::{Map, Value};

use super::flatten::flat_width;
use super::spaces;
use crate::dataset::Part;
use crate::{Budget, EnvSpec, Error, Info};

/// Entry for the time limit of data that do not name their environment.
pub(crate) const MAX_EPISODE_STEPS: &str = "max_episode_steps";

/// The description of a dataset, without its episodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Minari's id, or a file's name without its extension.
    pub id: String,
    /// The space of the observations.
    pub observation_space: RecordingSpace,
    /// The space of the actions.
    pub action_space: RecordingSpace,
    /// How many episodes there are, where the format states it beforehand.
    pub total_episodes: Option<usize>,
    /// How many steps there are, where the format states it beforehand.
    pub total_steps: Option<usize>,
    /// Every other entry of Minari's `metadata.json`, under its name there: `env_spec` (JSON as a
    /// text), `algorithm_name`, `author` (a list), `description`, `code_permalink` ...
    pub entries: Map<String, Value>,
}

impl Recording {
    /// A recording of which only the spaces are known.
    pub fn new(id: &str, observation_space: Space, action_space: Space) -> Self {
        Self {
            id: id.to_owned(),
            observation_space: RecordingSpace::from(observation_space),
            action_space: RecordingSpace::from(action_space),
            total_episodes: None,
            total_steps: None,
            entries: Map::new(),
        }
    }

    /// Adds an entry of Minari's `metadata.json`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.entries.insert(name.to_owned(), value.into());
        self
    }

    /// Adds the environment, so that Python's `recover_environment` creates the same one.
    #[must_use]
    pub fn with_env_spec(self, spec: &EnvSpec) -> Self {
        self.with("env_spec", spec.to_text())
    }

    /// A text entry.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.entries.get(name)?.as_str()
    }

    /// The environment, its options and its wrappers; `None` where the data do not name it.
    pub fn env_spec(&self) -> Option<EnvSpec> {
        EnvSpec::parse(self.text("env_spec")?)
    }

    /// The environment as Gymnasium names it.
    pub fn env_id(&self) -> Option<String> {
        Some(self.env_spec()?.id)
    }

    /// The environment's time limit.
    pub fn max_episode_steps(&self) -> Option<usize> {
        let own = self.entries.get(MAX_EPISODE_STEPS).and_then(Value::as_u64);
        own.and_then(|limit| usize::try_from(limit).ok())
            .or_else(|| self.env_spec()?.max_episode_steps)
    }

    /// One line for display: version, algorithm, authors.
    pub fn provenance(&self) -> String {
        if let Some(source) = self.text("source") {
            return source.to_owned();
        }
        let authors = match self.entries.get("author") {
            Some(Value::Array(authors)) => authors.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(authors)) => vec![authors.as_str()],
            _ => Vec::new(),
        };
        let version = self.text("minari_version").unwrap_or("dataset");
        let mut parts = vec![format!("Minari {version}")];
        parts.extend(self.text("algorithm_name").map(str::to_owned));
        if !authors.is_empty() {
            parts.push(format!("by {}", authors.join(", ")));
        }
        parts.join(", ")
    }

    /// The description of a dataset in memory; its spaces are the flattened ones.
    pub(crate) fn info(&self, observation_space: Space, action_space: Space) -> Info {
        Info {
            env_spec: self.env_spec(),
            max_episode_steps: self.max_episode_steps(),
            observation_parts: parts(self.observation_space.space()),
            action_parts: parts(self.action_space.space()),
            provenance: self.provenance(),
            ..Info::new(&self.id, observation_space, action_space)
        }
    }
}

/// The parts of a Dict or Tuple with their widths when flattened; none for other spaces.
fn parts(space: &Space) -> Vec<Part> {
    let part = |name: &str, space: &Space| Part {
        name: name.to_owned(),
        width: flat_width(space).unwrap_or(usize::MAX),
    };
    match space {
        Space::Dict(parts) => parts
            .iter()
            .map(|(name, space)| part(name, space))
            .collect(),
        Space::Tuple(parts) => {
            let parts = parts.iter().enumerate();
            parts
                .map(|(index, space)| part(&index.to_string(), space))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// A space as it was recorded, with the text that Minari stores for it.
///
/// The text is kept since [`Space`] stores its bounds as `f64`, which cannot represent every 64-bit
/// integer: a conversion writes what it has read.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordingSpace {
    space: Space,
    layout: Layout,
    text: String,
}

impl RecordingSpace {
    /// Parses Minari's JSON; `name` is for messages.
    pub fn parse(text: &str, name: &str, budget: &Budget) -> Result<Self, Error> {
        budget.fork().take_items(&[text.len()], 32, name)?;
        let value = crate::json::parse(text)?;
        let space = spaces::parse(&value, name, budget)?;
        Ok(Self {
            layout: spaces::layout(&value, &space),
            space,
            text: text.to_owned(),
        })
    }

    /// The space.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Minari's JSON.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }
}

impl From<Space> for RecordingSpace {
    fn from(space: Space) -> Self {
        let value = spaces::to_json(&space);
        let layout = Layout::of(&space);
        Self {
            space,
            layout,
            text: crate::json::write(&value),
        }
    }
}

/// How the rows of a space are stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Layout {
    /// Numbers of a row shape.
    Rows { dtype: Dtype, shape: Vec<usize> },
    /// One choice.
    Choice,
    /// Pixels, which Minari stores as JPEG files by default.
    Image { shape: Vec<usize> },
    /// A text.
    Text,
    /// Named parts, in the space's order.
    Dict(Vec<(String, Layout)>),
    /// Numbered parts.
    Tuple(Vec<Layout>),
}

impl Layout {
    pub(crate) fn of(space: &Space) -> Self {
        let rows = |dtype, shape: &[usize]| Self::Rows {
            dtype,
            shape: shape.to_vec(),
        };
        match space {
            Space::Box(space) if spaces::is_image(space) => Self::Image {
                shape: space.shape.clone(),
            },
            Space::Box(space) => rows(space.dtype, &space.shape),
            Space::Discrete { .. } => Self::Choice,
            Space::MultiDiscrete { nvec, .. } => rows(Dtype::Int64, &[nvec.len()]),
            Space::MultiBinary { shape } => rows(Dtype::Int8, shape),
            Space::Dict(parts) => Self::Dict(
                parts
                    .iter()
                    .map(|(name, part)| (name.clone(), Self::of(part)))
                    .collect(),
            ),
            Space::Tuple(parts) => Self::Tuple(parts.iter().map(Self::of).collect()),
            Space::Text { .. } => Self::Text,
        }
    }
}
