//! The device of a run and its text form: `cpu`, `auto`, `cuda`, `cuda:1`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The device of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The driver's first GPU if it can be used, or else the CPU engine.
    Auto,
    /// The CPU engine.
    #[default]
    Cpu,
    /// The GPU with this number.
    Cuda(usize),
}

/// Where a learner computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChosenDevice {
    /// The CPU, as planned.
    Cpu,
    /// The CPU in place of a GPU, and why.
    Fallback(String),
    /// The GPU of this name.
    Gpu(String),
}

impl ChosenDevice {
    /// The CPU, where a GPU is not possible for this reason.
    pub fn cpu(planned: Device, reason: impl fmt::Display) -> Self {
        match planned {
            Device::Auto => Self::Fallback(reason.to_string()),
            Device::Cpu | Device::Cuda(_) => Self::Cpu,
        }
    }

    /// What a run says about it; nothing where it is as planned.
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Cpu => None,
            Self::Fallback(reason) => Some(format!("computes on the CPU: {reason}")),
            Self::Gpu(name) => Some(format!("computes on {name}")),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| match text.strip_prefix(':') {
            None if text.is_empty() => Some(0),
            None => None,
            Some(number) => number.parse().ok(),
        };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => text
                .strip_prefix("cuda")
                .and_then(number)
                .map(Self::Cuda)
                .ok_or_else(|| {
                    format!("unknown device '{text}' (expected auto, cpu, cuda or cuda:N)")
                }),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(0) => formatter.write_str("cuda"),
            Self::Cuda(ordinal) => write!(formatter, "cuda:{ordinal}"),
        }
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for (text, device) in [
            ("auto", Device::Auto),
            ("cpu", Device::Cpu),
            ("cuda", Device::Cuda(0)),
            ("cuda:3", Device::Cuda(3)),
        ] {
            assert_eq!(text.parse(), Ok(device));
            assert_eq!(device.to_string(), text);
        }
        assert_eq!("cuda:0".parse(), Ok(Device::Cuda(0)));
        for wrong in ["", "gpu", "cuda:", "cuda1", "cuda:-1", "cuda:x", "CPU"] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong}");
        }
    }
}
