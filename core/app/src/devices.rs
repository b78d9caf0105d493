//! The devices of a sweep: one, or several GPUs among which runs are divided.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use candle_core::Device;
use hashlab_kernels::device::{DeviceError, DeviceName, devices_from};
use hashlab_pipeline::{device_count, needs_gpu};
use hashlab_store::RunConfig;

use crate::error::bad_input;

/// Devices as `--device` names them: `cpu`, `cuda:1`, or `cuda:0,cuda:1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices(Vec<DeviceName>);

impl Default for Devices {
    fn default() -> Self {
        Self(vec![DeviceName::Cpu])
    }
}

impl FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<DeviceName> = text.split(',').map(|name| name.trim().parse()).collect::<Result<_, _>>()?;
        let repeated = names.iter().enumerate().any(|(at, name)| names[..at].contains(name));
        match names.len() > 1 && (names.contains(&DeviceName::Cpu) || repeated) {
            true => Err("several devices are different GPUs, e.g. `cuda:0,cuda:1`".to_owned()),
            false => Ok(Self(names)),
        }
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(","))
    }
}

impl Devices {
    /// The number of devices.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Opens every device, and those that a run on `most` devices uses, so that what runs would fail at is said before
    /// anything starts.
    pub(crate) fn open(&self, most: usize) -> Result<(), DeviceError> {
        match self.0.as_slice() {
            [one] => devices_from(&one.open()?, most).map(drop),
            _ => self.0.iter().try_for_each(|device| device.open().map(drop)),
        }
    }

    /// Checks that there are enough devices for runs of these configurations, and GPUs where they need them; returns the
    /// largest number that one uses.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) if they are not.
    pub(crate) fn check<'c>(&self, runs: impl Iterator<Item = &'c RunConfig>) -> Result<usize> {
        let mut most = 1;
        for config in runs {
            most = most.max(device_count(config)?);
            if self.0 == [DeviceName::Cpu] {
                check_gpu(config, &Device::Cpu)?;
            }
        }
        self.check_count(most).map(|()| most)
    }

    /// Refuses fewer GPUs than a run uses. A single device stands for those behind it, too.
    fn check_count(&self, most: usize) -> Result<()> {
        if self.0.len() > 1 && self.0.len() < most {
            return Err(bad_input(format!(
                "`devices = {most}` in [train] needs as many GPUs, and `--device {self}` names {}",
                self.0.len()
            )));
        }
        Ok(())
    }

    /// The device as the process of a run names it. Of several GPUs it sees those that it uses, by numbers of their own.
    pub(crate) fn of_worker(&self) -> DeviceName {
        match self.0.as_slice() {
            [one] => *one,
            _ => DeviceName::Cuda(0),
        }
    }

    /// Several GPUs as `CUDA_VISIBLE_DEVICES` names them; none for a single device.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) if one is not among those that the environment makes visible.
    pub(crate) fn visible(&self) -> Result<Vec<String>> {
        let listed = std::env::var("CUDA_VISIBLE_DEVICES").ok().filter(|list| !list.trim().is_empty());
        self.among(listed.as_deref())
    }

    fn among(&self, listed: Option<&str>) -> Result<Vec<String>> {
        if self.0.len() < 2 {
            return Ok(Vec::new());
        }
        let listed: Option<Vec<&str>> = listed.map(|list| list.split(',').map(str::trim).collect());
        let numbers = self.0.iter().filter_map(|device| match device {
            DeviceName::Cuda(number) => Some(*number),
            DeviceName::Cpu => None,
        });
        let visible = |number: usize| match &listed {
            None => Ok(number.to_string()),
            Some(listed) => listed.get(number).map(|name| (*name).to_owned()).ok_or_else(|| {
                let list = listed.join(",");
                bad_input(format!(
                    "there is no `cuda:{number}`: CUDA_VISIBLE_DEVICES={list} makes {} visible",
                    listed.len()
                ))
            }),
        };
        numbers.map(visible).collect()
    }
}

/// Refuses the CPU for a run that needs a GPU.
///
/// # Errors
/// [`BadInput`](crate::BadInput) if it is one.
pub(crate) fn check_gpu(config: &RunConfig, device: &Device) -> Result<()> {
    if device.is_cpu() && needs_gpu(config)? {
        let help = "`--device cuda`, or `dtype = \"f32\"`";
        return Err(bad_input(format!("`dtype = \"tf32\"` needs a GPU: a CPU has no products in TF32\nhelp: {help}")));
    }
    Ok(())
}

/// An error of one of the devices that a run uses, which the user need not have named.
pub(crate) fn of_devices(error: DeviceError, most: usize) -> anyhow::Error {
    let error = anyhow::Error::from(error);
    if most == 1 {
        error
    } else {
        error.context(format!("`devices = {most}` in [train] asks for {most} GPUs in a row"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_devices_are_different_gpus() {
        let read = |text: &str| text.parse::<Devices>().map(|devices| devices.to_string());
        assert_eq!(read("cpu"), Ok("cpu".into()));
        assert_eq!(read("cuda:1, cuda:0"), Ok("cuda:1,cuda:0".into()));
        for wrong in ["", "cuda,", "cpu,cuda", "cuda:1,cuda:1", "cuda,cuda:0", "tpu"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_run_on_several_devices_needs_as_many_gpus_or_one_with_others_behind_it() {
        let devices = |text: &str| text.parse::<Devices>().unwrap();
        assert!(devices("cuda:0,cuda:1").check_count(2).is_ok() && devices("cuda:1").check_count(8).is_ok());
        let error = devices("cuda:0,cuda:1").check_count(3).unwrap_err().to_string();
        assert!(error.contains("needs as many GPUs, and `--device cuda:0,cuda:1` names 2"), "{error}");
        assert_eq!(devices("cpu").open(4), Ok(()));
    }

    #[test]
    fn gpus_are_counted_among_the_visible_ones() {
        let among = |text: &str, listed| text.parse::<Devices>().unwrap().among(listed);
        assert_eq!(among("cuda:1", Some("4,6")).unwrap(), Vec::<String>::new(), "the process of a run counts itself");
        assert_eq!(among("cuda:0,cuda:1", None).unwrap(), ["0", "1"]);
        assert_eq!(among("cuda:1,cuda:0", Some("4, GPU-7f")).unwrap(), ["GPU-7f", "4"]);
        let error = among("cuda:0,cuda:2", Some("4,6")).unwrap_err().to_string();
        assert_eq!(error, "there is no `cuda:2`: CUDA_VISIBLE_DEVICES=4,6 makes 2 visible");
    }
}
