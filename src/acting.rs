//! How and where the policy of a run acts in evaluations.

use crate::device::{ChosenDevice, Device};
use crate::error::Error;
use crate::experiment::Experiment;
use crate::parallel::{self, World};
use crate::policy::{Acting, ActingMode};
use rtg_kernels::device as gpu;

/// As given, else as in the plan's evaluations; with `auto` on a GPU if there is one and the policy
/// can act on it, and with a message that says where and why.
///
/// # Errors
/// A way of acting or a device that the policy does not support, several ranks on a GPU, or a GPU
/// that cannot be used.
pub fn choose(
    plan: &Experiment,
    world: &World,
    (mode, device): (Option<ActingMode>, Option<Device>),
) -> Result<(Acting, Option<String>), Error> {
    let planned = plan.evaluation.acting();
    let acting = Acting {
        mode: mode.unwrap_or(planned.mode),
        device: device.unwrap_or(planned.device),
    };
    let on = |device| Acting { device, ..acting };
    match acting.device {
        Device::Auto => {
            let (gpu, cpu) = (on(Device::Cuda(0)), on(Device::Cpu));
            let (acting, device) = match usable(plan, world, gpu, 0) {
                Ok(()) => (gpu, ChosenDevice::Gpu(gpu.device.to_string())),
                Err(reason) => {
                    plan.check_acting(cpu)?;
                    (cpu, ChosenDevice::cpu(Device::Auto, reason))
                }
            };
            let message = device.message();
            Ok((
                acting,
                message.map(|message| format!("the policy {message}")),
            ))
        }
        Device::Cuda(ordinal) => {
            usable(plan, world, acting, ordinal)?;
            Ok((acting, None))
        }
        Device::Cpu => {
            plan.check_acting(acting)?;
            Ok((acting, None))
        }
    }
}

/// Whether the policy can act on this GPU.
fn usable(plan: &Experiment, world: &World, acting: Acting, ordinal: usize) -> Result<(), Error> {
    plan.check_acting(acting)?;
    if world.size() > 1 {
        let device = acting.device.to_string();
        return Err(parallel::Error::Device { device }.into());
    }
    Ok(gpu::check(ordinal)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::threads;

    fn plan(settings: &[&str]) -> Experiment {
        let parse = |setting: &&str| Experiment::parse_setting(setting).unwrap();
        let layers: Vec<_> = settings.iter().map(parse).collect();
        Experiment::from_layers(&layers).unwrap()
    }

    #[test]
    fn several_ranks_act_on_the_cpu() {
        let plan = plan(&["evaluation.device=auto"]);
        let (chosen, refused) = threads::run(2, |world| {
            let given = (None, Some(Device::Cuda(0)));
            let refused = choose(&plan, &world, given).unwrap_err();
            (choose(&plan, &world, (None, None)).unwrap(), refused)
        })
        .swap_remove(1);
        let (acting, message) = chosen;
        assert_eq!(acting.device, Device::Cpu);
        assert!(message.unwrap().contains("--mpi is for the CPU"));
        let hint = refused.hint().unwrap();
        assert!(hint.contains("--device cpu"), "{refused}: {hint}");
    }

    #[test]
    fn auto_is_the_cpu_for_what_only_the_cpu_can() {
        let plan = plan(&["evaluation.acting=streaming", "evaluation.device=auto"]);
        let (acting, message) = choose(&plan, &World::alone(), (None, None)).unwrap();
        let expected = Acting {
            mode: ActingMode::Streaming,
            device: Device::Cpu,
        };
        assert_eq!(acting, expected);
        let message = message.unwrap();
        assert!(
            message.contains("'evaluation.acting' is streaming"),
            "{message}"
        );
    }
}
