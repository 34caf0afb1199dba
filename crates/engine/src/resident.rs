//! Memory of this process, where the system says.

/// Bytes in memory now, mapped files included.
pub fn now_bytes() -> Option<u64> {
    field("VmRSS:")
}

/// The most that it has been so far.
pub fn peak_bytes() -> Option<u64> {
    field("VmHWM:")
}

fn field(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_at_least_what_there_is() {
        // other systems do not say
        if let Some(now) = now_bytes() {
            assert!(now > 1 << 20);
            assert!(peak_bytes().unwrap() >= now);
        }
    }
}
