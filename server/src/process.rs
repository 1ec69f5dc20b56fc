//! What the process takes of the machine beside memory, as the system counts it.

/// Processor time, seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Times {
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
    /// Of processes that it started and that have ended.
    pub(crate) children_user_s: f64,
    pub(crate) children_system_s: f64,
}

/// What processor time it has taken, with all its threads. None where the system does not say.
pub(crate) fn times() -> Option<Times> {
    // Fields 14 to 17 of /proc/self/stat, counted after the command's name, which may hold spaces.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let a_second = rustix::param::clock_ticks_per_second().max(1) as f64;
    let ticks = after_name.split_whitespace().skip(11).map_while(|word| word.parse::<u64>().ok());
    let mut seconds = ticks.map(|ticks| ticks as f64 / a_second);
    Some(Times {
        user_s: seconds.next()?,
        system_s: seconds.next()?,
        children_user_s: seconds.next()?,
        children_system_s: seconds.next()?,
    })
}

/// How many file descriptors are open, the one that looks among them.
pub(crate) fn open_files() -> Option<u64> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}

/// How many may be open; none where there is no bound.
pub(crate) fn open_files_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// How many threads there are.
pub(crate) fn threads() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_proc() {
        let before = times().unwrap();
        assert!(before.user_s + before.system_s >= 0.0);
        let files = open_files().unwrap();
        let held = std::fs::File::open("/proc/self/stat").unwrap();
        // Other tests open and close files meanwhile, so only that it is counted is asked.
        assert!(files > 2 && open_files().unwrap() > 2);
        drop(held);
        assert!(open_files_max().is_none_or(|most| most >= files));
        assert!(threads().unwrap() >= 1);
    }
}
