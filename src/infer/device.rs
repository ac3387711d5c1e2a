//! `setting -> Device`, and the instruction class of this processor.
//!
//! Deliberately names no runtime: whether a device is there is `session`'s to find out.

use std::fmt;
use std::str::FromStr;

/// Where the model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

impl Device {
    /// Name in settings and in the provenance of records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A device setting that names no device.
#[derive(Debug, thiserror::Error)]
#[error("no device is called `{0}`; use `cpu` or `cuda`")]
pub struct DeviceUnknown(String);

impl FromStr for Device {
    type Err = DeviceUnknown;

    fn from_str(name: &str) -> Result<Self, DeviceUnknown> {
        [Self::Cpu, Self::Cuda]
            .into_iter()
            .find(|device| device.name() == name)
            .ok_or_else(|| DeviceUnknown(name.to_owned()))
    }
}

/// The instruction class of this processor, such as `x86_64-avx512-vnni`: ONNX Runtime picks its
/// kernels by it, so that scores are bit for bit the same within a class only.
pub fn cpu_class() -> String {
    format!("{}-{}", std::env::consts::ARCH, kernel_class())
}

#[cfg(target_arch = "x86_64")]
fn kernel_class() -> &'static str {
    // In the order in which MLAS prefers its kernels. AMX is not told apart: it changes only int8
    // products, and those are exact in whatever order they are summed.
    let classes = [
        (is_x86_feature_detected!("avx512vnni"), "avx512-vnni"),
        (is_x86_feature_detected!("avx512f"), "avx512"),
        (is_x86_feature_detected!("avxvnni"), "avx2-vnni"),
        (is_x86_feature_detected!("avx2"), "avx2"),
    ];
    classes.into_iter().find(|(is_there, _)| *is_there).map_or("sse2", |(_, class)| class)
}

#[cfg(target_arch = "aarch64")]
fn kernel_class() -> &'static str {
    let classes = [
        (std::arch::is_aarch64_feature_detected!("i8mm"), "i8mm"),
        (std::arch::is_aarch64_feature_detected!("dotprod"), "dotprod"),
    ];
    classes.into_iter().find(|(is_there, _)| *is_there).map_or("neon", |(_, class)| class)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const fn kernel_class() -> &'static str {
    "generic"
}

#[cfg(test)]
mod tests {
    use super::{Device, cpu_class};

    #[test]
    fn names_go_there_and_back() {
        for device in [Device::Cpu, Device::Cuda] {
            assert_eq!(device.name().parse::<Device>().unwrap(), device);
        }
        let message = "gpu".parse::<Device>().unwrap_err().to_string();
        assert_eq!(message, "no device is called `gpu`; use `cpu` or `cuda`");
    }

    #[test]
    fn the_class_starts_with_the_architecture() {
        assert!(cpu_class().starts_with(std::env::consts::ARCH));
    }
}
