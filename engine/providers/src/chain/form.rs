//! Which audio of a voice goes to the caller: PCM at a rate that can be played or mu-law, and one of them to the end of
//! a sentence.
//!
//! Whatever else a voice delivers is its own failure, found before the session has it, so that another voice can speak.
//! Enter at [`Form::of`].

use std::fmt;

use crate::audio::PLAYABLE_HZ;
use crate::tts::Sound;
use crate::{Error, ErrorKind};

/// How audio is written: the same for all of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    rate_hz: u32,
    is_mu_law: bool,
}

impl Form {
    /// Of audio that can be played.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for any other.
    pub(super) fn of(sound: &Sound, provider: &str) -> Result<Self, Error> {
        let (rate_hz, is_mu_law) = match sound {
            Sound::Pcm16 { sample_rate_hz, .. } => (*sample_rate_hz, false),
            Sound::MuLaw(_) => (8_000, true),
        };
        if PLAYABLE_HZ.contains(&rate_hz) {
            return Ok(Self { rate_hz, is_mu_law });
        }
        let message =
            format!("its audio has {rate_hz} Hz, which can't be played; these can: {PLAYABLE_HZ:?}");
        Err(Error::new(provider, ErrorKind::Protocol, message))
    }

    /// Behind what came before.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] where it is another one.
    pub(super) fn follows(self, before: &mut Option<Self>, provider: &str) -> Result<(), Error> {
        match *before.get_or_insert(self) {
            first if first == self => Ok(()),
            first => {
                let message = format!("its audio changed in mid-sentence, from {first} to {self}");
                Err(Error::new(provider, ErrorKind::Protocol, message))
            }
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} Hz", if self.is_mu_law { "mu-law" } else { "PCM" }, self.rate_hz)
    }
}
