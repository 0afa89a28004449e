//! Disks that can be cut off, filled up and broken: an image file as a loop device, or memory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::compat;
use crate::workspace::{has_tool, run};

/// Large enough for xfs, which refuses less.
pub const SMALL: u64 = 320 << 20;
/// Large enough for what is sent until a directory is given up: a full disk deletes old messages.
pub const LARGE: u64 = 8 << 30;
const MEMORY_LEN: u64 = 48 << 20;

/// A directory whose syncs cost nothing, where there is memory for one.
pub fn memory() -> Result<TempDir> {
    TempDir::with_prefix_in("crash-", "/dev/shm").or_else(|_| Ok(TempDir::with_prefix("crash-")?))
}

/// What is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FileSystem {
    Ext4,
    Xfs,
    Tmpfs,
}

impl FileSystem {
    /// Its name, as `mount` calls it.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
            FileSystem::Tmpfs => "tmpfs",
        }
    }

    /// What this machine lacks for such a disk.
    pub fn missing(self, shutdown: bool) -> Option<String> {
        let user = Command::new("id").arg("-u").output();
        if user.map_or(true, |user| user.stdout != b"0\n") {
            return Some("only root can mount a disk".to_owned());
        }
        if self == FileSystem::Tmpfs {
            return None;
        }
        if !Path::new("/dev/loop-control").exists() {
            return Some("there are no loop devices".to_owned());
        }
        let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !known.split_whitespace().any(|word| word == self.name()) {
            return Some(format!("the kernel has no {}", self.name()));
        }
        let make = format!("mkfs.{}", self.name());
        if !has_tool(&make, &["-V"]) {
            return Some(format!("{make} is not installed"));
        }
        (shutdown && !has_tool("xfs_io", &["-V"])).then(|| "xfs_io is not installed".to_owned())
    }
}

/// A mounted disk; dropping it unmounts it and gives the device back.
pub struct Disk {
    file_system: FileSystem,
    home: TempDir,
    device: String,
    mounted: bool,
}

impl Disk {
    /// Makes and mounts an empty one of so many bytes; one in memory has a size of its own.
    pub fn make(file_system: FileSystem, len: u64) -> Result<Self> {
        fs::create_dir_all(compat::cache())?;
        let home = TempDir::with_prefix_in("disk-", compat::cache())?;
        fs::create_dir(home.path().join("mnt"))?;
        let device = "none".to_owned();
        let mut disk = Self { file_system, home, device, mounted: false };
        if file_system != FileSystem::Tmpfs {
            let image = disk.home.path().join("image");
            File::create(&image)?.set_len(len)?;
            run(Command::new(format!("mkfs.{}", file_system.name())).arg("-q").arg(&image))?;
            let set = Command::new("losetup").args(["--find", "--show"]).arg(&image).output()?;
            disk.device = String::from_utf8(set.stdout)?.trim().to_owned();
            anyhow::ensure!(!disk.device.is_empty(), "no loop device is free");
        }
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.home.path().join("mnt")
    }

    /// Cuts it off: what has not been synced never reaches the device, and every call fails.
    pub fn shut_down(&self) -> Result<()> {
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(self.path()))
    }

    /// Has the system forget what it holds in memory of the files below `data/` and these folders.
    pub fn forget(&self, folders: &[&str]) -> Result<()> {
        let roots = folders.iter().map(|folder| self.path().join("data").join(folder));
        let files = Command::new("find").args(roots).args(["-type", "f"]).output()?;
        run(Command::new("sync").arg("--file-system").arg(self.path()))?;
        for file in String::from_utf8(files.stdout)?.lines() {
            let mut forget = Command::new("dd");
            run(forget.args([&format!("if={file}"), "iflag=nocache", "count=0", "status=none"]))?;
        }
        Ok(())
    }

    /// Makes the file system find an error, for which it becomes read only. Of ext4 only.
    pub fn make_read_only(&self) -> Result<()> {
        let name = self.device.trim_start_matches("/dev/");
        let trigger = format!("/sys/fs/ext4/{name}/trigger_fs_error");
        fs::write(&trigger, "crash test").with_context(|| format!("cannot write {trigger}"))
    }

    /// Unmounts and mounts again, as after a power cut.
    pub fn remount(&mut self) -> Result<()> {
        self.unmount()?;
        self.mount()
    }

    fn mount(&mut self) -> Result<()> {
        let options = match self.file_system {
            FileSystem::Ext4 => "errors=remount-ro".to_owned(),
            FileSystem::Xfs => "rw".to_owned(),
            FileSystem::Tmpfs => format!("size={MEMORY_LEN}"),
        };
        let mut mount = Command::new("mount");
        mount.args(["-t", self.file_system.name(), "-o", &options, &self.device]);
        run(mount.arg(self.path()))?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<()> {
        run(Command::new("umount").arg(self.path()))?;
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // What is still open keeps it busy: it goes when that is closed.
            let _ = run(Command::new("umount").arg("--lazy").arg(self.path()));
        }
        if self.device.starts_with("/dev/") {
            let _ = run(Command::new("losetup").args(["--detach", &self.device]));
        }
    }
}
