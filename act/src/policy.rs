//! A policy that acts, one step at a time.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::Error;
use crate::network::{Network, Sizes, Step};
use crate::preprocessing::{Codec, Normaliser, normalise};
use crate::reader::Reader;

/// A trained policy with its memory of the running episode.
///
/// `B` holds the file's bytes, whose weights are read where they are: a `Vec<u8>`, or a
/// `&'static [u8]` that stays in flash. A step allocates nothing.
pub struct Policy<B> {
    bytes: B,
    entries: Vec<(String, String)>,
    targets: Vec<f64>,
    normaliser: Option<Normaliser>,
    codec: Codec,
    network: Network,
    /// What is left of the target.
    return_to_go: f64,
    observation: Vec<f32>,
    previous_action: Vec<f32>,
    action: Vec<f64>,
}

/// The actions of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actions {
    /// This many numbers.
    Continuous(usize),
    /// One number: one of the choices `first`, `first + 1`, ... `first + count - 1`.
    Discrete {
        /// How many choices there are.
        count: usize,
        /// The first.
        first: i64,
    },
}

impl<B: AsRef<[u8]>> Policy<B> {
    /// Reads a file of `rtg export --act`; an episode has begun, towards the first of
    /// [`Policy::targets`] if the policy takes a target.
    ///
    /// # Errors
    /// Bytes that are not such a file, or are damaged; too little memory.
    pub fn load(bytes: B) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes.as_ref())?;
        let sizes = Sizes {
            observation: reader.size("observation")?,
            action: reader.size("action")?,
        };
        let network = Network::read(&mut reader, sizes)?;
        let normaliser = Normaliser::read(&mut reader, sizes.observation)?;
        let codec = Codec::read(&mut reader, sizes.action)?;
        let targets = match reader.dimensions("targets") {
            Ok(&[count]) => reader.vector("targets", count)?,
            _ => Vec::new(),
        };
        let entries = reader.finish()?;
        // The weights are there, so these sizes are below the file's.
        let mut policy = Self {
            bytes,
            entries,
            normaliser,
            network,
            return_to_go: 0.0,
            observation: vec![0.0; sizes.observation],
            previous_action: vec![0.0; sizes.action],
            action: vec![0.0; codec.width()],
            codec,
            targets,
        };
        policy.reset(policy.targets.first().copied().unwrap_or(0.0));
        Ok(policy)
    }

    /// An episode begins. `target` is the return to reach, in the environment's units; a policy
    /// without a target ignores it.
    pub fn reset(&mut self, target: f64) {
        self.return_to_go = target;
        self.action.fill(0.0);
        self.network.begin(target);
    }

    /// The action for an observation, greedily. Of discrete actions it is the choice as a number.
    ///
    /// # Errors
    /// An observation of another length, or numbers that are not finite; the step then does not
    /// count, but for an action that is not finite.
    pub fn act(&mut self, observation: &[f64]) -> Result<&[f64], Error> {
        check("observation", self.observation.len(), observation)?;
        normalise(self.normaliser.as_ref(), observation, &mut self.observation);
        if !self.observation.iter().all(|number| number.is_finite()) {
            return Err(Error::NotFinite {
                what: "observation",
            });
        }
        if self.takes_target() && !self.return_to_go.is_finite() {
            return Err(Error::NotFinite { what: "target" });
        }
        self.codec.encode(&self.action, &mut self.previous_action);
        let step = Step {
            observation: &self.observation,
            previous_action: &self.previous_action,
            return_to_go: self.return_to_go,
        };
        let outputs = self.network.act(self.bytes.as_ref(), &step);
        let are_finite = outputs.iter().all(|output| output.is_finite());
        self.codec.decode(outputs, &mut self.action);
        if are_finite && self.action.iter().all(|number| number.is_finite()) {
            Ok(&self.action)
        } else {
            Err(Error::NotFinite { what: "action" })
        }
    }

    /// The reward of the step that the last action led to: what is left of the target falls by it.
    /// Several rewards for one action add up.
    ///
    /// # Errors
    /// A number that is not finite; it does not count.
    pub fn reward(&mut self, reward: f64) -> Result<(), Error> {
        if !reward.is_finite() {
            return Err(Error::NotFinite { what: "reward" });
        }
        self.return_to_go -= reward;
        Ok(())
    }

    /// The action that was carried out instead of the last one, which a policy that sees its former
    /// actions then sees.
    ///
    /// # Errors
    /// An action of another length, or numbers that are not finite; it does not count.
    pub fn carried_out(&mut self, action: &[f64]) -> Result<(), Error> {
        check("action", self.action.len(), action)?;
        if !action.iter().all(|number| number.is_finite()) {
            return Err(Error::NotFinite { what: "action" });
        }
        self.action.copy_from_slice(action);
        Ok(())
    }

    /// Whether it acts towards a target return.
    pub fn takes_target(&self) -> bool {
        self.network.takes_target()
    }

    /// What is left of the target.
    pub fn return_to_go(&self) -> f64 {
        self.return_to_go
    }

    /// The target returns that the run was evaluated with.
    pub fn targets(&self) -> &[f64] {
        &self.targets
    }

    /// Numbers in an observation.
    pub fn observation_len(&self) -> usize {
        self.observation.len()
    }

    /// What an action is.
    pub fn actions(&self) -> Actions {
        match &self.codec {
            Codec::Discrete { count, first } => Actions::Discrete {
                count: *count,
                first: *first,
            },
            Codec::Continuous { scale, .. } => Actions::Continuous(scale.len()),
        }
    }

    /// An entry of the file, such as `algorithm`, `recipe`, `environment` or `step`.
    pub fn entry(&self, key: &str) -> Option<&str> {
        let found = self.entries.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| &**value)
    }
}

fn check(what: &'static str, expected: usize, numbers: &[f64]) -> Result<(), Error> {
    if numbers.len() == expected {
        return Ok(());
    }
    Err(Error::Length {
        what,
        expected,
        found: numbers.len(),
    })
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exactly this number")]
mod tests {
    use alloc::format;

    use super::*;
    use crate::format::VERSION;
    use crate::testing::TestFile;

    /// Twice the newest observation plus the one before it, of one number each.
    fn perceptron() -> TestFile {
        let mut file = TestFile::default();
        let entries = [
            ("policy", "perceptron"),
            ("observation", "1"),
            ("action", "1"),
            ("actions", "continuous"),
            ("activation", "relu"),
            ("norm", "none"),
            ("rule", "outputs"),
        ];
        for (key, value) in entries {
            file.entry(key, value);
        }
        file.double("action.scale", &[10.0]);
        file.double("action.offset", &[-1.0]);
        file.single("layer.0.weight", &[2, 1], &[1.0, 2.0]);
        file.single("layer.0.bias", &[1], &[0.0]);
        file
    }

    /// One block of two heads with the context 3.
    fn sequence() -> TestFile {
        let mut file = TestFile::default();
        let entries = [
            ("policy", "sequence"),
            ("observation", "2"),
            ("action", "3"),
            ("actions", "discrete"),
            ("first_action", "5"),
            ("activation", "gelu"),
            ("context", "3"),
            ("layers", "1"),
            ("heads", "2"),
            ("episode_length", "9"),
            ("condition", "token"),
            ("mixer", "attention"),
            ("head", "logits"),
        ];
        for (key, value) in entries {
            file.entry(key, value);
        }
        file.double("return_scale", &[2.0]);
        file.double("targets", &[7.0, 3.0]);
        file.single("embed.timestep", &[9, 4], &crate::testing::numbers(1, 36));
        let pairs: [(&str, &[usize]); 12] = [
            ("embed.return_to_go", &[1, 4]),
            ("embed.observation", &[2, 4]),
            ("embed.action", &[3, 4]),
            ("embed.norm", &[4]),
            ("block.0.norm_1", &[4]),
            ("block.0.norm_2", &[4]),
            ("block.0.attention.qkv", &[4, 12]),
            ("block.0.attention.projection", &[4, 4]),
            ("block.0.mlp.up", &[4, 16]),
            ("block.0.mlp.down", &[16, 4]),
            ("final_norm", &[4]),
            ("head", &[4, 3]),
        ];
        for (seed, (name, dimensions)) in (2..).zip(pairs) {
            file.pair(name, seed, dimensions);
        }
        file
    }

    fn refused(file: &TestFile) -> Error {
        match Policy::load(file.bytes()) {
            Ok(_) => panic!("the file was loaded"),
            Err(error) => error,
        }
    }

    #[test]
    fn a_perceptron_sees_its_last_observations_and_zeros_before_the_first() {
        let mut policy = Policy::load(perceptron().bytes()).unwrap();
        assert_eq!(policy.act(&[1.0]).unwrap(), [19.0]);
        assert_eq!(policy.act(&[2.0]).unwrap(), [49.0]);
        policy.reset(0.0);
        assert_eq!(policy.act(&[2.0]).unwrap(), [39.0]);
        assert!(!policy.takes_target() && policy.targets().is_empty());
        assert_eq!(policy.actions(), Actions::Continuous(1));
        assert_eq!(policy.entry("rule"), Some("outputs"));
        assert_eq!(policy.entry("step"), None);
    }

    #[test]
    fn an_episode_depends_on_nothing_before_it_and_on_the_actions_carried_out() {
        let mut policy = Policy::load(sequence().bytes()).unwrap();
        assert_eq!(
            (policy.targets(), policy.return_to_go()),
            (&[7.0, 3.0][..], 7.0)
        );
        let play = |policy: &mut Policy<Vec<u8>>, other: Option<f64>| -> Vec<f32> {
            policy.reset(3.0);
            let steps = (0..8).map(|step| {
                let observation = [f64::from(step) / 4.0 - 1.0, 0.5];
                let action = policy.act(&observation).unwrap()[0];
                assert!([5.0, 6.0, 7.0].contains(&action), "{action}");
                policy.reward(0.5).unwrap();
                policy.carried_out(&[other.unwrap_or(action)]).unwrap();
                policy.previous_action.clone()
            });
            steps.collect::<Vec<_>>().concat()
        };
        let first = play(&mut policy, None);
        assert_eq!(policy.return_to_go(), -1.0);
        let other = play(&mut policy, Some(6.0));
        assert_eq!(play(&mut policy, None), first);
        assert_eq!(other[3..6], [0.0, 1.0, 0.0]);
    }

    #[test]
    fn numbers_that_are_not_finite_or_too_many_are_errors_and_do_not_count() {
        let mut policy = Policy::load(perceptron().bytes()).unwrap();
        let wrong = Error::Length {
            what: "observation",
            expected: 1,
            found: 2,
        };
        assert_eq!(policy.act(&[1.0, 2.0]), Err(wrong));
        for number in [f64::NAN, f64::INFINITY, 1e300] {
            let what = "observation";
            assert_eq!(policy.act(&[number]), Err(Error::NotFinite { what }));
        }
        assert_eq!(
            policy.reward(f64::NAN),
            Err(Error::NotFinite { what: "reward" })
        );
        assert_eq!(
            policy.carried_out(&[f64::NAN]),
            Err(Error::NotFinite { what: "action" })
        );
        assert_eq!(policy.act(&[1.0]).unwrap(), [19.0]);
        let mut policy = Policy::load(sequence().bytes()).unwrap();
        policy.reset(f64::NAN);
        assert_eq!(
            policy.act(&[0.0; 2]),
            Err(Error::NotFinite { what: "target" })
        );
    }

    #[test]
    fn an_entry_with_a_wrong_value_is_refused_by_its_name() {
        let wrong = [
            ("context", "0"),
            ("context", "-1"),
            ("heads", "3"),
            ("layers", "0"),
            ("mixer", "state-space"),
            ("first_action", "9223372036854775807"),
            ("episode_length", "0"),
        ];
        for (key, value) in wrong {
            let error = refused(sequence().entry(key, value));
            assert_eq!(
                error,
                Error::Invalid { name: key.into() },
                "{key} = {value}"
            );
        }
        let huge = refused(sequence().entry("context", "1000000000"));
        assert!(matches!(huge, Error::Memory { .. }), "{huge}");
        let overflow = refused(sequence().entry("context", &format!("{}", usize::MAX)));
        assert_eq!(
            overflow,
            Error::Invalid {
                name: "context".into()
            }
        );
        let more = refused(sequence().entry("layers", "2"));
        let name = "block.1.attention.qkv.weight".into();
        assert_eq!(more, Error::Missing { name });
        let other = refused(sequence().entry("observation", "3"));
        assert!(matches!(other, Error::Shape { .. }), "{other}");
        let mut left_over = sequence();
        left_over.pair("block.1.norm_1", 1, &[4]);
        let left_over = refused(&left_over);
        assert!(matches!(left_over, Error::Unexpected { .. }), "{left_over}");
        let mut infinite = sequence();
        infinite.double("normaliser.mean", &[f64::NAN, 0.0]);
        let name = "normaliser.mean".into();
        assert_eq!(refused(&infinite), Error::Invalid { name });
    }

    #[test]
    fn damaged_bytes_are_errors() {
        let file = sequence();
        let bytes = file.bytes();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(Policy::load(&changed).is_err(), "byte {at}");
            assert!(Policy::load(&bytes[..at]).is_err(), "{at} bytes");
        }
        let text = format!("version = {VERSION}0\n");
        let version = Error::Version { found: "10".into() };
        assert_eq!(Policy::load(file.with_text(&text)).err(), Some(version));
        let headers = [
            "",
            "{",
            "[]",
            "{\"a\":1}",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,8],\"data_offsets\":[0,0]}}",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[18446744073709551612,0]}}",
            "{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]},\
              \"b\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}",
            "{\"__metadata__\":{\"rtg-act\":\"version = 1\"}}",
            "{\"__metadata__\":{\"rtg-act\":\"\"}}",
        ];
        for header in headers {
            assert!(Policy::load(file.with_header(header)).is_err(), "{header}");
        }
        let length = u64::MAX.to_le_bytes();
        assert!(Policy::load(length).is_err());
    }
}
