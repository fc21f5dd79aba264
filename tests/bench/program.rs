//! A built program: how it is linked, and the size of its package.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

impl Program {
    pub(crate) fn read(path: PathBuf) -> io::Result<Self> {
        let bytes = fs::read(&path)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        Ok(Self { path, bytes })
    }

    /// `static`, or `dynamic` if the program names an interpreter that loads its libraries
    /// (`PT_INTERP` in its program headers, elf(5)).
    pub(crate) fn link(&self) -> &'static str {
        const PT_INTERP: u64 = 3;
        let number = |at: usize, size: usize| {
            let bytes = self.bytes.get(at..at + size).unwrap_or_default();
            bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let (offset, size, count) = (number(32, 8), number(54, 2), number(56, 2));
        let kind = |index: u64| number(usize::try_from(offset + index * size).unwrap_or(0), 4);
        if (0..count).any(|index| kind(index) == PT_INTERP) { "dynamic" } else { "static" }
    }

    /// Megabytes of a package with this program alone, compressed as SAM does it.
    pub(crate) fn zip_megabytes(&self, folder: &Path) -> io::Result<f64> {
        let zip = folder.join("package.zip");
        let zipped = Command::new("python3")
            .args(["-m", "zipfile", "-c"])
            .args([&zip, &self.path])
            .status()?;
        if !zipped.success() {
            return Err(io::Error::other("python3 could not compress the program"));
        }
        Ok(fs::metadata(&zip)?.len() as f64 / 1e6)
    }
}
