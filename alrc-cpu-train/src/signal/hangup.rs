//! The signal of a terminal that is closed. A process may have been told to ignore it, by `nohup`, and must then go on;
//! only Linux tells that without unsafe code, so that elsewhere it does what it does by default.

/// The number of the signal; none if it is not to be listened for.
#[cfg(not(target_os = "linux"))]
pub(super) fn signal() -> Option<i32> {
    None
}

/// The number of the signal; none if it is not to be listened for.
#[cfg(target_os = "linux")]
pub(super) fn signal() -> Option<i32> {
    use signal_hook::consts::SIGHUP;

    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    // A mask in hexadecimal digits, the lowest bit of which is for signal 1.
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let ignored = u128::from_str_radix(ignored.trim(), 16).ok()?;
    (ignored >> (SIGHUP - 1) & 1 == 0).then_some(SIGHUP)
}
