//! How much memory this process can still use.

use std::fs;
use std::path::Path;

/// Bytes that this process can still use: what the machine has free, and no more than its control
/// group and its own limits allow. `None` where the system does not report it.
pub fn free_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let free: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let free = groups
        .lines()
        .filter_map(group_room)
        .fold(free * 1024, u64::min);
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    Some(free.min(own_room(&limits, &status)))
}

/// The bytes that `ulimit -v` and `ulimit -d` leave, from `/proc/self/limits` and
/// `/proc/self/status`.
fn own_room(limits: &str, status: &str) -> u64 {
    let limit = |name: &str| -> Option<u64> {
        let rest = limits.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    let used = |name: &str| -> u64 {
        let rest = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = rest.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1024
    };
    [
        ("Max address space", "VmSize:"),
        ("Max data size", "VmData:"),
    ]
    .into_iter()
    .filter_map(|(bound, use_)| Some(limit(bound)?.saturating_sub(used(use_))))
    .fold(u64::MAX, u64::min)
}

/// The bytes left to the group in a line of `/proc/self/cgroup`, and to its parent groups.
fn group_room(line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let (root, limit, usage) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
        "memory" => (
            "/sys/fs/cgroup/memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
        ),
        _ => return None,
    };
    let number =
        |path: &Path| -> Option<u64> { fs::read_to_string(path).ok()?.trim().parse().ok() };
    let group = Path::new(root).join(path.trim_start_matches('/'));
    group
        .ancestors()
        .take_while(|folder| folder.starts_with(root))
        .filter_map(|folder| {
            let used = number(&folder.join(usage))?;
            Some(number(&folder.join(limit))?.saturating_sub(used))
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_the_process_allow_what_it_has_not_used() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max data size             unlimited            unlimited            bytes     \n\
            Max address space         1000000              unlimited            bytes     \n";
        assert_eq!(own_room(limits, "VmSize:\t     500 kB\n"), 488_000);
        assert_eq!(own_room("", ""), u64::MAX);
    }
}
