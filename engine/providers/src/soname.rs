//! Opening a system library by its soname while the engine runs, so that the build needs none.
//!
//! Decides how a missing library is told to the reader (which package brings it). Which symbols
//! exist and what they mean is the business of each provider's `ffi`. Enter at [`open`].

use libloading::Library;

use crate::{Error, ErrorKind};

/// Opens `soname` for the rest of the process. `package` is the Debian package that carries it.
///
/// The library is never closed: its code may be on the stack of a worker thread, and a voice or
/// a decoder made by it lives as long as the process.
pub(crate) fn open(provider: &str, soname: &str, package: &str) -> Result<&'static Library, Error> {
    // SAFETY: the sonames are those of known C libraries whose initialisers only set up static data.
    let library = unsafe { Library::new(soname) }
        .map_err(|_| missing(provider, &format!("{soname} is not installed"), package))?;
    Ok(Box::leak(Box::new(library)))
}

/// The function `name` of `library`, as the C type `F`.
///
/// # Safety
/// `F` must be the function's real signature.
pub(crate) unsafe fn function<F: Copy>(provider: &str, library: &Library, name: &str) -> Result<F, Error> {
    // SAFETY: the caller vouches for the signature; the library stays open for good (see `open`).
    unsafe { library.get::<F>(name.as_bytes()) }.map(|symbol| *symbol).map_err(|_| {
        let message = format!("the installed library has no `{name}`; another version is needed");
        Error::new(provider, ErrorKind::NotInstalled, message)
    })
}

/// What to say when something that a Debian package carries isn't there.
pub(crate) fn missing(provider: &str, what: &str, package: &str) -> Error {
    Error::new(provider, ErrorKind::NotInstalled, format!("{what}; run: {}", install(&[package])))
}

/// The command that brings `packages` on Debian and Ubuntu.
pub(crate) fn install(packages: &[&str]) -> String {
    format!("apt-get install --no-install-recommends {}", packages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_told_with_the_command_that_brings_it() {
        let error = open("choir", "libchoir.so.7", "libchoir7").map(drop).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotInstalled);
        let expected =
            "choir: libchoir.so.7 is not installed; run: apt-get install --no-install-recommends libchoir7";
        assert_eq!(error.to_string(), expected);
    }
}
