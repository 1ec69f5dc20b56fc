//! A small file system of its own for a test, where mounting one is permitted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::Result;

use crate::{Options, Server};

/// A small file system of its own, unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> std::result::Result<SmallDisk, String> {
        fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).output();
        match output {
            Ok(output) if output.status.success() => Ok(SmallDisk(at.to_owned())),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Starts a server with its data on a file system of this size; none, and says why, when that is not permitted here.
    pub fn start(size: &str, options: Options) -> Result<Option<(SmallDisk, Server)>> {
        let home = Arc::new(tempfile::tempdir()?);
        match SmallDisk::mount(&home.path().join("data"), size) {
            Ok(disk) => Ok(Some((disk, options.home(&home).start()?))),
            Err(reason) => {
                println!("skipped: a tmpfs cannot be mounted here: {}", reason.trim());
                Ok(None)
            }
        }
    }

    /// Makes it so large.
    pub fn resize(&self, size: &str) -> Result<()> {
        let status = Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.0).status()?;
        anyhow::ensure!(status.success(), "remount: {status}");
        Ok(())
    }

    /// Bytes that are free.
    pub fn free(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.0)?;
        Ok(stat.f_bfree * stat.f_frsize)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()), "{} cannot be unmounted", self.0.display());
    }
}
