//! Audio as it goes to a provider and comes from it: two encodings, no containers.

/// Rates of PCM that can be played to a caller, in hertz: those the engine converts between.
pub const PLAYABLE_HZ: [u32; 5] = [8_000, 16_000, 22_050, 24_000, 48_000];

/// How audio is encoded, mono.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioFormat {
    /// 16-bit linear PCM.
    Pcm16 {
        /// Samples a second.
        sample_rate_hz: u32,
    },
    /// G.711 mu-law, 8 kHz, one byte a sample.
    MuLaw,
}

impl AudioFormat {
    /// PCM at the rate the engine hears at.
    pub const PCM_16K: Self = Self::Pcm16 { sample_rate_hz: 16_000 };

    /// Samples a second.
    pub fn sample_rate_hz(self) -> u32 {
        match self {
            Self::Pcm16 { sample_rate_hz } => sample_rate_hz,
            Self::MuLaw => 8_000,
        }
    }
}

/// A stretch of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audio<'a> {
    /// 16-bit linear PCM.
    Pcm16(&'a [i16]),
    /// G.711 mu-law, 8 kHz.
    MuLaw(&'a [u8]),
}

impl Audio<'_> {
    /// How many samples it has.
    pub fn samples(&self) -> usize {
        match self {
            Self::Pcm16(samples) => samples.len(),
            Self::MuLaw(bytes) => bytes.len(),
        }
    }
}

/// The bytes of PCM as all vendors take it: little-endian.
pub fn little_endian(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// A stretch of audio of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnedAudio {
    /// 16-bit linear PCM.
    Pcm16(Vec<i16>),
    /// G.711 mu-law, 8 kHz.
    MuLaw(Vec<u8>),
}

impl OwnedAudio {
    /// The same, borrowed.
    pub fn borrowed(&self) -> Audio<'_> {
        match self {
            Self::Pcm16(samples) => Audio::Pcm16(samples),
            Self::MuLaw(bytes) => Audio::MuLaw(bytes),
        }
    }
}

/// Turns a stream of audio from one format into another, stretch by stretch. Providers know no signal processing, so it
/// is handed in.
pub trait Convert: Send {
    /// The next stretch.
    fn convert(&mut self, audio: Audio<'_>) -> OwnedAudio;
}

/// Makes converters from the first format to the second.
pub type Converters = std::sync::Arc<dyn Fn(AudioFormat, AudioFormat) -> Box<dyn Convert> + Send + Sync>;
